"""Lineages that another member takes over while handlers are at work: no call of them begins any more, they go on from
what is done, and the others go on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tailrace as tr
from tailrace.app.writer import AppWriter
from tailrace.checkpoint import Memory
from tailrace.dead_letters.request import Action, submit
from tailrace.model import Column, Limits, Table
from tailrace.pipeline import Pipeline
from tests.background import running
from tests.unit.pipeline.sharing import Group, GroupSource
from tests.waiting import until

FORMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "async": {},
    "threads": {"concurrency": 3},
    "tasks": {"concurrency": 3},
}
A, B = range(1, 21), range(101, 121)


class Desk:
    """Notes which calls began and which are done; while it is shut, each waits for its permit, or until `told`."""

    def __init__(self) -> None:
        self.began: list[int] = []
        self.done: list[int] = []
        self.told: Callable[[], bool] = lambda: False
        self._permits = threading.Semaphore(0)
        self._open = threading.Event()

    def handle(self, change: tr.Change) -> None:
        key = _key(change)
        self.began.append(key)
        while not (self._open.is_set() or self.told() or self._permits.acquire(timeout=0.02)):
            continue
        self.done.append(key)

    async def handle_async(self, change: tr.Change) -> None:
        await asyncio.to_thread(self.handle, change)

    def let(self, count: int) -> None:
        """So many calls may end."""
        self._permits.release(count)

    def open(self) -> None:
        self._open.set()

    def of(self, keys: range) -> list[int]:
        """Those that began, of these."""
        return [key for key in self.began if key in keys]


def _key(change: tr.Change) -> int:
    assert change.key is not None
    return int(change.key["id"])


def _app(
    group: Group,
    folder: Path,
    handle: Callable[..., object],
    *,
    checkpoint: Memory | None = None,
    stop_timeout_s: float = 30.0,
    **options: Any,
) -> Pipeline:
    limits = Limits(save_interval_s=0.0, backoff_s_max=3600.0, batch_bytes_max=1, stop_timeout_s=stop_timeout_s)
    letters = tr.DeadLetterFile(folder / "dead.jsonl")
    app = tr.App(GroupSource(group), name="p", limits=limits, checkpoint=checkpoint or Memory(), dead_letters=letters)
    app.on("public.orders", **options)(handle)
    return app.pipeline(state_dir=folder)


def _told(pipeline: Pipeline) -> Callable[[], bool]:
    """Whether the handlers' caller knows that no other call is to begin."""
    line = pipeline._line
    assert line is not None
    writer = line._writer
    assert isinstance(writer, AppWriter)
    return lambda: writer._caller.told


def _lane(key: int) -> int:
    """Which of two lanes calls for a key."""
    return hash(("public", "orders", str(key))) % 2


def _interleaved(group: Group) -> dict[int, int]:
    """Changes of both lineages in turns; their numbers by key."""
    at: dict[int, int] = {}
    for a, b in zip(A, B, strict=True):
        [at[a]], [at[b]] = group.insert("a", a), group.insert("b", b)
    return at


@pytest.mark.parametrize("form", FORMS)
def test_no_call_of_a_lineage_begins_once_it_was_taken_and_the_next_goes_on_where_it_was(
    form: str, tmp_path: Path
) -> None:
    group, desk = Group("a", "b"), Desk()
    at = _interleaved(group)
    handle = desk.handle_async if form in ("async", "tasks") else desk.handle
    pipeline = _app(group, tmp_path, handle, **FORMS[form])
    with running(pipeline):
        desk.let(5)
        until(lambda: len(desk.done) == 5 < len(desk.began), "for a call behind five that are done")
        desk.told = _told(pipeline)
        assert group.take("a").result(60) is True
        done, begun = set(desk.done), desk.of(A)
        assert len(desk.done) < len(A) + len(B), "the others were not waited for"
        undone = next(key for key in A if key not in done)
        assert group.confirmed.get("a") == at.get(undone - 1)
        desk.open()
        until(lambda: set(B) <= set(desk.done), "for the others")
        assert desk.of(A) == begun
        assert sorted(desk.of(B)) == list(B), "each once"
        group.give("a")
        until(lambda: set(A) <= set(desk.done), "for the rest, once it is back")
    # What was done out of its turn may have been done by others since, up to an older state: it comes again.
    assert sorted(desk.of(A)[len(begun) :]) == list(range(undone, A.stop))
    assert group.confirmed["a"] == at[A[-1]]


@pytest.mark.parametrize("form", [*FORMS, "list"])
def test_a_pause_before_the_next_try_ends_with_the_lineage(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tailrace.app.call.FIRST_PAUSE_S", 3600.0)
    group, failed, done = Group("a", "b"), threading.Event(), []
    _interleaved(group)

    def handle(change: Any) -> None:
        changes = change if isinstance(change, list) else [change]
        if A[0] in map(_key, changes) and not failed.is_set():
            failed.set()
            raise OSError("not now")
        done.extend(map(_key, changes))

    async def handle_async(change: tr.Change) -> None:
        handle(change)

    options = {"batch": True} if form == "list" else FORMS[form]
    pipeline = _app(group, tmp_path, handle_async if form in ("async", "tasks") else handle, **options)
    with running(pipeline):
        assert failed.wait(60)
        assert group.take("a").result(60) is True
        assert "a" not in group.confirmed
        until(lambda: set(B) <= set(done), "for the others")
        group.give("a")
        until(lambda: set(A) <= set(done), "for the rest, once it is back")
    assert sorted(key for key in done if key in B) == list(B)
    again = [key for key in done if key in A][-len(A) :]
    assert (sorted(again) if form in ("threads", "tasks") else again) == list(A)


def test_a_pause_of_another_lineage_does_not_hold_it_and_its_change_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tailrace.app.call.FIRST_PAUSE_S", 3600.0)
    group, failed, done = Group("a", "b"), threading.Event(), []
    group.insert("b", 101)
    group.insert("a", 1)
    group.insert("b", 102)

    def handle(change: tr.Change) -> None:
        if not failed.is_set():
            failed.set()
            raise OSError("not now")
        done.append(_key(change))

    with running(_app(group, tmp_path, handle)):
        assert failed.wait(60)
        assert group.take("a").result(60) is True
        until(lambda: len(done) == 2, "for the others")
        assert done == [101, 102]


def test_what_waits_on_the_shelf_goes_with_it_and_nothing_moves_its_position(tmp_path: Path) -> None:
    group, desk = Group("a", "b"), Desk()
    other = Table("public", "others", [Column("id", "int8", nullable=False)], key=["id"])
    _, last = group.insert("a", 1, 2)
    group.insert("b", 100)
    pipeline = _app(group, tmp_path, desk.handle)
    with running(pipeline):
        desk.let(1)
        until(lambda: desk.began == [1, 2], "for the second call")
        group.insert("b", 101)
        group.insert("a", 3)
        group.insert("a", 4, table=other)  # nobody wants it, but what is before it is not done
        until(lambda: pipeline.status().shelf_nbytes > 0, "for what waits")
        group.insert("a", 5, table=other)
        desk.told = _told(pipeline)
        assert group.take("a", "b").result(60) is True
        assert group.confirmed == {"a": last}
        group.give("b")
        desk.open()
        until(lambda: 101 in desk.done, "for what comes back")
        assert group.confirmed["a"] == last
        assert desk.began == [1, 2, 100, 101]
        group.give("a")
        until(lambda: 3 in desk.done, "for the rest")
    assert desk.began == [1, 2, 100, 101, 3]


def test_what_is_another_members_already_is_left_as_soon_as_that_is_heard(tmp_path: Path) -> None:
    group, desk = Group("a", "b"), Desk()
    _interleaved(group)
    with running(_app(group, tmp_path, desk.handle)):
        until(lambda: desk.began, "for the first call")
        assert group.take("a", timeout_s=0.0).result(60) is False
        desk.open()
        until(lambda: len(desk.of(B)) == len(B), "for the others")
    assert desk.of(A) == [A[0]]


def test_what_was_refused_before_is_parked_and_not_tried_again(tmp_path: Path) -> None:
    group, desk = Group("a", "b"), Desk()
    _interleaved(group)

    def handle(change: tr.Change) -> None:
        desk.handle(change)
        if _key(change) == B[0]:
            raise tr.Reject("never")

    pipeline = _app(group, tmp_path, handle, concurrency=2)
    with running(pipeline):
        desk.let(6)
        until(lambda: len(desk.done) == 6 < len(desk.began), "for a call behind six that are done")
        desk.told = _told(pipeline)
        assert group.take("a").result(60) is True
        desk.open()
        until(lambda: set(B) <= set(desk.done), "for the others")
        until(lambda: pipeline.status().dead_letters == 1, "for the one that is parked")
    assert sorted(desk.of(B)) == list(B)


def test_a_fault_of_one_call_is_not_hidden_by_the_break_of_another(tmp_path: Path) -> None:
    waits, fails = (next(key for key in range(1, 100) if _lane(key) == lane) for lane in (0, 1))
    group, desk, faults = Group("a", "b"), Desk(), []
    group.insert("a", waits, fails, waits)

    def handle(change: tr.Change) -> None:
        if _key(change) != fails:
            desk.handle(change)
            return
        faults.append(change)
        until(lambda: desk.told() or len(faults) > 1, "for the break")
        raise tr.Fatal("not this one")

    pipeline = _app(group, tmp_path, handle, concurrency=2)
    with pytest.raises(tr.Fatal, match="not this one"), running(pipeline):
        until(lambda: faults and desk.began, "for both calls")
        desk.told = _told(pipeline)
        group.take("b")
        until(lambda: not pipeline._running, "for the end")
    assert len(faults) == 1


def test_letters_that_are_replayed_stay_where_their_lineage_goes(tmp_path: Path) -> None:
    group, desk, refusing = Group("a", "b"), Desk(), [True]
    group.insert("a", 1, 2, 3)
    group.insert("b", 101)

    def handle(change: tr.Change) -> None:
        if refusing:
            raise tr.Reject("not yet")
        desk.handle(change)

    pipeline = _app(group, tmp_path, handle)
    with running(pipeline):
        until(lambda: pipeline.status().dead_letters == 4, "for letters")
        refusing.clear()
        request = submit(tmp_path / "dead.jsonl", Action.REPLAY, None)
        until(lambda: desk.began == [1], "for the first of them")
        desk.told = _told(pipeline)
        assert group.take("b").result(60) is True
        until(lambda: desk.began == [1, 2], "for the next round")
        assert request.path.exists()
        assert pipeline.status().dead_letters == 3
        desk.open()
        until(lambda: not request.path.exists(), "for the request to be carried out")
    assert desk.done == [1, 2, 3, 101]


@pytest.mark.parametrize("end", ["fault", "stop"])
def test_whoever_goes_on_after_a_fault_or_a_late_stop_does_so_behind_what_is_done(end: str, tmp_path: Path) -> None:
    group, desk, checkpoint, broken = Group("a", "b"), Desk(), Memory(), [True]
    at = _interleaved(group)

    def handle(change: tr.Change) -> None:
        if end == "fault" and broken and _key(change) == B[2]:
            raise tr.Fatal("not this one")
        desk.handle(change)

    pipeline = _app(group, tmp_path / "first", handle, checkpoint=checkpoint, stop_timeout_s=0.0)
    if end == "fault":
        desk.open()
        with pytest.raises(tr.Fatal, match="not this one"):
            pipeline.run()
    else:
        with running(pipeline):
            desk.let(4)
            until(lambda: len(desk.began) == 5, "for a call behind four that are done")
            pipeline.stop()
            until(lambda: pipeline._stopping.overdue, "for the end of the time for a stop")
            desk.open()
    assert desk.done == [A[0], B[0], A[1], B[1], A[2]]
    assert group.confirmed == {"a": at[A[2]], "b": at[B[1]]}
    broken.clear()
    with running(_app(group, tmp_path / "second", handle, checkpoint=checkpoint)):
        until(lambda: len(desk.done) >= len(A) + len(B), "for the rest")
    assert sorted(desk.done) == [*A, *B]


def test_what_is_done_out_of_turn_is_done_again_where_another_may_have_had_the_lineage(tmp_path: Path) -> None:
    """It may have done the changes before it once more: to pass over it would leave the key with an older state."""
    other = next(key for key in range(2, 100) if _lane(key) != _lane(1))
    group, calls, away = Group("a"), [], [True]
    first, _, last = group.insert("a", 1, other, 1)

    def handle(change: tr.Change) -> None:
        if _key(change) == other and away:
            away.clear()
            raise tr.Retryable("away")
        calls.append((_key(change), group.confirmed.get("a")))

    with running(_app(group, tmp_path, handle, concurrency=2, retries=0)):
        until(lambda: group.confirmed.get("a") == last, "for all")
    assert calls[:2] == [(1, None), (1, None)]
    assert sorted(calls[2:]) == sorted([(other, first), (1, first)])
