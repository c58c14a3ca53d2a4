"""A list handler whose rows do not fit, or that raises `Reject` with a text alone: which of the list is parked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import msgspec
import pydantic
import pytest

import tailrace as tr
from tailrace.dead_letters.journal import read_all
from tailrace.testing.fake import Log, LogSource

UNFIT = (3, 6)
FIT = [1, 2, 4, 5, 7]


@dataclasses.dataclass
class NoteClass:
    id: int
    note: str

    def __post_init__(self) -> None:
        if self.note is None:
            raise tr.Reject("no note")


class NoteDict(TypedDict):
    id: int
    note: str


class NoteStruct(msgspec.Struct):
    id: int
    note: str


class NoteModel(pydantic.BaseModel):
    id: int
    note: str


REASONS = {
    NoteClass: "no note",
    NoteDict: "no note",
    NoteStruct: "public.orders does not fit NoteStruct: note (Expected `str`, got `null`)",
    NoteModel: "public.orders does not fit NoteModel: note (string_type)",
}


def _id(row: Any) -> int:
    """The id of a row; a TypedDict lets everything pass, and so the handler judges it."""
    if not isinstance(row, dict):
        return int(row.id)
    if row["note"] is None:
        raise tr.Reject("no note")
    return int(row["id"])


def _register(app: tr.App, handler: Callable[[Any], None], kind: Any, *, asynchronous: bool) -> None:
    async def later(changes: Any) -> None:
        handler(changes)

    call = later if asynchronous else handler
    call.__annotations__ = {"changes": list[tr.Change[kind]], "return": None}
    app.on("public.orders")(call)


def _log(*keys: int) -> tuple[Log, list[tr.Change]]:
    """One transaction of inserts, those that are `UNFIT` without a note, and what it is read as."""
    log = Log()
    log.commit(*(("c", {"id": str(key), "note": None if key in UNFIT else "fine"}) for key in keys))
    return log, list(log._batches[0])


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("form", ["one by one", "all at once"])
@pytest.mark.parametrize("kind", REASONS)
def test_i14_only_the_row_that_does_not_fit_is_parked_of_a_list(
    tmp_path: Path, kind: Any, form: str, asynchronous: bool
) -> None:
    """Good rows were parked: the first of each list that one was in."""
    (log, _), done = _log(*range(1, 8)), list[int]()
    letters = tr.DeadLetterFile(tmp_path / "dead.jsonl")
    app = tr.App(LogSource(log), name="unnamed", dead_letters=letters)

    def take(changes: Any) -> None:
        if form == "all at once":
            done.extend([_id(change.after) for change in changes])
            return
        for change in changes:
            done.append(_id(change.after))

    _register(app, take, kind, asynchronous=asynchronous)
    app.pipeline(state_dir=tmp_path).run(until_current=True)
    parked = [(letter.key, letter.reason) for letter in read_all(letters.path)]
    assert parked == [({"id": str(key)}, REASONS[kind]) for key in UNFIT]
    assert list(dict.fromkeys(done)) == FIT, "each of the others is done, and first of all in order"
    if form == "all at once":
        assert done == FIT


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("kind", REASONS)
def test_without_dead_letters_the_row_that_does_not_fit_is_the_one_that_is_named(
    tmp_path: Path, kind: Any, asynchronous: bool
) -> None:
    (log, changes), done = _log(*range(1, 8)), list[int]()
    app = tr.App(LogSource(log), name="unnamed")

    def take(changes: Any) -> None:
        done.extend([_id(change.after) for change in changes])

    _register(app, take, kind, asynchronous=asynchronous)
    with pytest.raises(tr.Refused) as refused:
        app.pipeline(state_dir=tmp_path).run(until_current=True)
    where = f"refused 1 change(s), the first of public.orders at {changes[2].position.text}: {REASONS[kind]}"
    assert where in str(refused.value)
    assert done == [1, 2], "no other call begins once one is refused"
    assert not log.confirmed


@pytest.mark.parametrize("asynchronous", [False, True])
def test_what_is_written_of_a_list_is_not_called_again_to_find_the_one_that_is_refused(
    tmp_path: Path, asynchronous: bool
) -> None:
    (log, _), called = _log(*range(1, 6)), list[list[int]]()
    letters = tr.DeadLetterFile(tmp_path / "dead.jsonl")
    app = tr.App(LogSource(log), name="unnamed", dead_letters=letters)

    def take(changes: Any) -> None:
        called.append([int(change.key["id"]) for change in changes])
        for index, change in enumerate(changes):
            if change.after["note"] is None:
                raise tr.Reject("no note", written=range(index))

    _register(app, take, tr.Row, asynchronous=asynchronous)
    app.pipeline(state_dir=tmp_path).run(until_current=True)
    assert [letter.key for letter in read_all(letters.path)] == [{"id": "3"}]
    assert called == [[1, 2, 3, 4, 5], [3], [4, 5]]


def test_the_last_that_is_not_written_is_the_one_that_is_refused(tmp_path: Path) -> None:
    (log, _), called = _log(1, 2, 3), list[int]()
    letters = tr.DeadLetterFile(tmp_path / "dead.jsonl")
    app = tr.App(LogSource(log), name="unnamed", dead_letters=letters)

    @app.on("public.orders")
    def take(changes: list[tr.Change]) -> None:
        called.append(len(changes))
        raise tr.Reject("no note", written=[0, 1])

    app.pipeline(state_dir=tmp_path).run(until_current=True)
    assert [letter.key for letter in read_all(letters.path)] == [{"id": "3"}]
    assert called == [3]


def test_a_list_that_is_refused_whole_by_index_is_not_called_again(tmp_path: Path) -> None:
    (log, _), called = _log(1, 2, 3), list[int]()
    letters = tr.DeadLetterFile(tmp_path / "dead.jsonl")
    app = tr.App(LogSource(log), name="unnamed", dead_letters=letters)

    @app.on("public.orders")
    def take(changes: list[tr.Change]) -> None:
        called.append(len(changes))
        raise tr.Reject({index: f"number {index}" for index in range(len(changes))})

    app.pipeline(state_dir=tmp_path).run(until_current=True)
    assert [letter.reason for letter in read_all(letters.path)] == ["number 0", "number 1", "number 2"]
    assert called == [3]


def test_later_changes_of_the_key_of_the_one_that_is_refused_are_parked_behind_it(tmp_path: Path) -> None:
    log, done = Log(), list[tuple[int, str]]()
    rows = [("c", 1, "a"), ("c", 2, "a"), ("c", 3, None), ("u", 2, "b"), ("u", 3, "b"), ("u", 1, "b")]
    log.commit(*((op, {"id": str(key), "note": note}) for op, key, note in rows))
    letters = tr.DeadLetterFile(tmp_path / "dead.jsonl")
    app = tr.App(LogSource(log), name="unnamed", dead_letters=letters)

    @app.on("public.orders")
    def take(changes: list[tr.Change[NoteStruct]]) -> None:
        done.extend([(change.after.id, change.after.note) for change in changes])

    app.pipeline(state_dir=tmp_path).run(until_current=True)
    assert [(letter.op, letter.key) for letter in read_all(letters.path)] == [("c", {"id": "3"}), ("u", {"id": "3"})]
    assert done == [(1, "a"), (2, "a"), (2, "b"), (1, "b")]
