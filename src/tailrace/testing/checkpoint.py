"""What every checkpoint must do, as a suite that a third party runs on its own. Never imports a test runner.

def test_my_checkpoint_keeps_its_promises(tmp_path):
    check_checkpoint(lambda: MyCheckpoint(tmp_path / "positions"))
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import cast

from tailrace.contract import Checkpoint, Movable, Positions
from tailrace.error import Fenced, Retryable
from tailrace.model import Position

__all__ = ["check_checkpoint"]

_A, _B = "test/a", "test/b"


def check_checkpoint(make: Callable[[], Checkpoint]) -> None:
    """Try every promise of `Positions`; AssertionError says which one is broken.

    `make` returns a new object for the same place each time, as a restarted process would; the place must be empty.
    """
    for number, promise in enumerate(_PROMISES):
        try:
            promise(make, f"suite_{number}")
        except Exception as error:
            raise AssertionError(f"a checkpoint {promise.__doc__}: {type(error).__name__}: {error}") from error


@contextlib.contextmanager
def _opened(make: Callable[[], Checkpoint], name: str) -> Iterator[Positions]:
    positions = make().open(name)
    try:
        yield positions
    finally:
        positions.close()


def _begins_empty(make: Callable[[], Checkpoint], name: str) -> None:
    """knows nothing at first"""
    with _opened(make, name) as positions:
        assert dict(positions.known()) == {}


def _remembers_a_claim(make: Callable[[], Checkpoint], name: str) -> None:
    """remembers a claim without a position over a restart"""
    with _opened(make, name) as positions:
        assert positions.claim(_A) is None
    with _opened(make, name) as positions:
        assert dict(positions.known()) == {_A: None}


def _remembers_a_save(make: Callable[[], Checkpoint], name: str) -> None:
    """remembers what was saved over a restart, for each lineage, the last save counting"""
    with _opened(make, name) as positions:
        positions.claim(_A)
        positions.claim(_B)
        positions.save([Position(_A, "1"), Position(_B, "7")])
        positions.save([Position(_A, "2")])
        positions.save([Position(_A, "2")])
        assert dict(positions.known()) == {_A: Position(_A, "2"), _B: Position(_B, "7")}
    with _opened(make, name) as positions:
        assert dict(positions.known()) == {_A: Position(_A, "2"), _B: Position(_B, "7")}
        assert positions.claim(_A) == Position(_A, "2")
        assert positions.claim(_B) == Position(_B, "7")


def _keeps_long_texts(make: Callable[[], Checkpoint], name: str) -> None:
    """keeps every printable text whole, quotes and long ones included"""
    text = "x'\"\\{}\n\té" * 500
    with _opened(make, name) as positions:
        positions.claim(text)
        positions.save([Position(text, text)])
    with _opened(make, name) as positions:
        assert positions.claim(text) == Position(text, text)


def _keeps_pipelines_apart(make: Callable[[], Checkpoint], name: str) -> None:
    """keeps one pipeline's positions from another that is allowed in the same place"""
    with _opened(make, name) as positions:
        positions.claim(_A)
        positions.save([Position(_A, "1")])
    with contextlib.suppress(Exception), _opened(make, f"{name}_other") as positions:  # one pipeline a place is fine
        assert dict(positions.known()) == {}
    with _opened(make, name) as positions:
        assert dict(positions.known()) == {_A: Position(_A, "1")}


def _has_one_owner(make: Callable[[], Checkpoint], name: str) -> None:
    """lets one opening own a pipeline: the second gets Retryable until the first has closed (I16)"""
    with _opened(make, name):
        try:
            make().open(name).close()
        except Retryable:
            pass
        else:
            raise AssertionError("it was opened twice")
    with _opened(make, name):
        pass


def _fences(make: Callable[[], Checkpoint], name: str) -> None:
    """refuses, with Fenced, a save of a lineage that this opening has not claimed (I16), and saves nothing of it"""
    with _opened(make, name) as positions:
        positions.claim(_A)
        positions.save([Position(_A, "1")])
    with _opened(make, name) as positions:
        for lineage in (_A, _B):
            try:
                positions.save([Position(lineage, "2")])
            except Fenced:
                continue
            raise AssertionError(f"it saved {lineage}")
        assert dict(positions.known()) == {_A: Position(_A, "1")}


def _forgets(make: Callable[[], Checkpoint], name: str) -> None:
    """forgets everything when told to, twice if need be, and can be used on"""
    with _opened(make, name) as positions:
        positions.claim(_A)
        positions.save([Position(_A, "1")])
        positions.forget()
        positions.forget()
        assert dict(positions.known()) == {}
    with _opened(make, name) as positions:
        assert positions.claim(_A) is None
        positions.save([Position(_A, "1")])


def _moves(make: Callable[[], Checkpoint], name: str) -> None:
    """carries a position over to another lineage if it is `Movable`, whole, and only for the one that claimed it"""
    with _opened(make, name) as positions:
        positions.claim(_A)
        positions.save([Position(_A, "1")])
    if not isinstance(positions, Movable):
        return
    with _opened(make, name) as positions:
        try:
            cast(Movable, positions).move(_A, Position(_B, "7"))
        except Fenced:
            assert dict(positions.known()) == {_A: Position(_A, "1")}
        else:
            raise AssertionError("it moved what it had not claimed")
        positions.claim(_A)
        cast(Movable, positions).move(_A, Position(_B, "7"))
        assert dict(positions.known()) == {_B: Position(_B, "7")}
        positions.save([Position(_B, "8")])
    with _opened(make, name) as positions:
        assert dict(positions.known()) == {_B: Position(_B, "8")}
        assert positions.claim(_B) == Position(_B, "8")


def _claims_from_another_thread(make: Callable[[], Checkpoint], name: str) -> None:
    """takes `known` and `claim` from the reader thread"""
    failed: list[BaseException] = []

    def claim(positions: Positions) -> None:
        try:
            positions.known()
            positions.claim(_A)
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            failed.append(error)

    with _opened(make, name) as positions:
        thread = threading.Thread(target=claim, args=(positions,))
        thread.start()
        thread.join()
        if failed:
            raise failed[0]
        positions.save([Position(_A, "1")])


def _closes_twice(make: Callable[[], Checkpoint], name: str) -> None:
    """may be closed twice (I12)"""
    with _opened(make, name) as positions:
        positions.close()


_PROMISES: tuple[Callable[[Callable[[], Checkpoint], str], None], ...] = (
    _begins_empty,
    _remembers_a_claim,
    _remembers_a_save,
    _keeps_long_texts,
    _keeps_pipelines_apart,
    _has_one_owner,
    _fences,
    _forgets,
    _moves,
    _claims_from_another_thread,
    _closes_twice,
)
