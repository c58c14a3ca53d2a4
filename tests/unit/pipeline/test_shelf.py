"""The hand-over between the two threads: order, bounds, group commit, waking."""

import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.model import Batch, Position, Revoked
from tailrace.pipeline.shelf import End, Shelf
from tailrace.testing.fake import Log
from tests.waiting import until
from tests.wire import capture, native


def batches(count: int) -> list[Batch]:
    log = Log()
    for key in range(count):
        log.insert(key, "x" * 100)
    return [log.next(index, None, 0) for index in range(count)]  # type: ignore[misc]


def position(batch: Batch) -> Position:
    return batch.positions[0]


@given(
    st.lists(st.sampled_from("bbbbr"), max_size=40),
    st.lists(st.booleans(), max_size=80),
    st.integers(1, 20_000),
)
def test_what_is_put_is_taken_once_in_order_whatever_the_interleaving(
    items: str, turns: list[bool], take_nbytes_max: int
) -> None:
    made = iter(batches(len(items)))
    source = [next(made) if letter == "b" else Revoked((str(at),)) for at, letter in enumerate(items)]
    shelf = Shelf(nbytes_max=1 << 30, take_nbytes_max=take_nbytes_max)
    waiting, taken = list(source), []

    def take() -> None:
        part = shelf.take(0)
        if isinstance(part, list):
            assert part
            taken.extend(part)
        elif part is not None:
            taken.append(part)

    for reader in turns:
        if reader and waiting:
            shelf.put(waiting.pop(0))
        elif not reader:
            take()
    for item in waiting:
        shelf.put(item)
    while shelf.nbytes or len(taken) < len(source):
        take()
    assert [id(item) for item in taken] == [id(item) for item in source]
    assert shelf.nbytes == 0


def test_the_writer_takes_all_that_waits_up_to_the_batch_limit() -> None:
    made = batches(10)
    shelf = Shelf(nbytes_max=1 << 20, take_nbytes_max=1 << 20)
    for batch in made:
        shelf.put(batch)
    one = shelf.nbytes // 10
    assert shelf.take(0) == made
    small = Shelf(nbytes_max=1 << 20, take_nbytes_max=one * 3)
    for batch in made:
        small.put(batch)
    assert [len(small.take(0)) for _ in range(4)] == [3, 3, 3, 1]  # type: ignore[arg-type]


def test_a_batch_above_the_limit_is_taken_alone_and_whole() -> None:
    made = batches(3)
    shelf = Shelf(nbytes_max=1 << 20, take_nbytes_max=1)
    for batch in made:
        shelf.put(batch)
    assert [shelf.take(0) for _ in made] == [[batch] for batch in made]


def test_what_was_spilled_counts_whole_for_what_is_taken_together(tmp_path: Path) -> None:
    """A sink is told how large a batch may become: several that lie on disk would make a larger one."""
    made = native.batches(capture.load("postgres18.bin"), native.Limits(2_000, 4_096, 7), tmp_path)
    limit = max(batch.nbytes for batch in made)
    assert sum(batch.resident_nbytes < batch.nbytes for batch in made) > 1
    shelf = Shelf(nbytes_max=1 << 30, take_nbytes_max=limit)
    for batch in made:
        shelf.put(batch)
    taken: list[Batch] = []
    while shelf.nbytes:
        part = shelf.take(0)
        assert isinstance(part, list)
        assert sum(batch.nbytes for batch in part) <= limit
        taken.extend(part)
    assert taken == made


def test_i8_full_at_its_limit_and_not_before() -> None:
    made = batches(3)
    shelf = Shelf(nbytes_max=1500, take_nbytes_max=1)
    shelf.put(made[0])
    assert not shelf.full
    shelf.put(made[1])
    assert shelf.full
    assert not shelf.wait_room(0.01)
    shelf.take(0)
    assert shelf.wait_room(0)


def test_batches_never_pass_a_mark() -> None:
    made = batches(2)
    shelf = Shelf(nbytes_max=1 << 20, take_nbytes_max=1 << 20)
    revoked, end = Revoked(("a",)), End()
    for item in (made[0], revoked, made[1], end):
        shelf.put(item)
    assert [shelf.take(0) for _ in range(4)] == [[made[0]], revoked, [made[1]], end]


def test_a_waiting_writer_gets_a_batch_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailrace.pipeline.shelf._NAP_S", 3600.0)  # it is woken, or sleeps on
    shelf = Shelf(nbytes_max=1 << 20, take_nbytes_max=1 << 20)
    [batch] = batches(1)
    got: list[object] = []
    writer = threading.Thread(target=lambda: got.append(shelf.take(3600)), daemon=True)
    writer.start()
    until(lambda: shelf._changed._waiters, "for the writer to wait")  # type: ignore[attr-defined]
    shelf.put(batch)
    writer.join(120)
    assert got == [[batch]]


def test_wake_ends_a_wait_even_when_it_comes_first() -> None:
    shelf = Shelf(nbytes_max=1, take_nbytes_max=1)
    shelf.wake()
    begun = time.monotonic()
    assert shelf.take(30) is None
    assert time.monotonic() - begun < 5
