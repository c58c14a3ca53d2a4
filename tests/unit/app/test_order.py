"""Retries, rejection and order: what handlers see when something fails, and when they run side by side."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tailrace import testing
from tailrace._native import BatchBuilder
from tailrace.app import App
from tailrace.app.call import Caller
from tailrace.app.writer import AppWriter
from tailrace.error import Fatal, Reject, Retryable
from tailrace.model import Batch, Change, Column, Limits, Table

ORDERS = Table("public", "orders", [Column("id", "int8", nullable=False), Column("step", "int8")], key=["id"])


def app() -> App:
    return App("postgresql://localhost/shop", name="test")


def batch(*changes: tuple[str, int, int], lsn: int = 100) -> Batch:
    """One transaction of (op, id, step)."""
    builder = BatchBuilder("test/order")
    builder.begin(xid=1, lsn=lsn, committed_at_us=0)
    for op, key, step in changes:
        cells = {"id": str(key), "step": str(step)}
        if op == "d":
            builder.add("d", ORDERS, before={"id": str(key)})
        else:
            builder.add(op, ORDERS, after=cells)  # type: ignore[arg-type]
    builder.commit()
    return builder.take()


@pytest.fixture
def seen() -> list[tuple[Any, ...]]:
    return []


class Flaky:
    """Fails as often as it is told for a key, then notes the change."""

    def __init__(self, seen: list[tuple[Any, ...]], failures: dict[int, int], error: Callable[[], Exception]) -> None:
        self.seen, self.failures, self.error = seen, failures, error
        self.calls = 0

    def __call__(self, change: Change) -> None:
        self.calls += 1
        key = int((change.key or {})["id"])
        if self.failures.get(key, 0) > 0:
            self.failures[key] -= 1
            raise self.error()
        self.seen.append((key, (change.after or {}).get("step")))


def test_a_failing_call_is_tried_again_until_it_succeeds(seen: list[tuple[Any, ...]]) -> None:
    shop = app()
    flaky = Flaky(seen, {1: 3}, ValueError)
    shop.on("public.orders", retries=3)(flaky)
    with testing.client(shop) as t:
        t.insert("public.orders", {"id": 1, "step": 1})
        assert not t.parked
    assert flaky.calls == 4
    assert seen == [(1, 1)]


@pytest.mark.parametrize("form", ["sync", "async"])
def test_pauses_double_up_to_the_cap_with_a_share_at_random(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    pauses_s: list[float] = []
    monkeypatch.setattr(Caller, "_sleep", lambda _self, _handler, pause_s: pauses_s.append(pause_s))

    def fail(change: Change) -> None:
        raise ValueError

    async def fail_later(change: Change) -> None:
        raise ValueError

    shop = app()
    shop.on("public.orders", retries=8)(fail if form == "sync" else fail_later)
    [handler] = shop.handlers
    caller = Caller(backoff_s_max=1.0)
    if form == "sync":
        caller.call(handler, lambda: None)
    else:
        caller.loop.run(caller.call_async(handler, lambda: None))
    caller.close()
    shortest_s = [0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0, 1.0]
    assert len(pauses_s) == len(shortest_s)
    jitters_s = [pause_s - shortest for pause_s, shortest in zip(pauses_s, shortest_s, strict=True)]
    assert all(0 <= round(jitter_s, 9) <= 0.25 for jitter_s in jitters_s)
    assert len({round(jitter_s, 9) for jitter_s in jitters_s}) > 1


def test_i14_after_the_last_try_the_change_and_later_ones_of_its_key_are_parked(seen: list[tuple[Any, ...]]) -> None:
    shop = app()
    shop.on("public.orders", retries=2)(Flaky(seen, {1: 3}, lambda: ValueError("row 1 is bad")))
    with testing.client(shop) as t:
        with t.transaction():
            t.insert("public.orders", {"id": 1, "step": 1})
            t.insert("public.orders", {"id": 2, "step": 1})
            t.update("public.orders", {"id": 1, "step": 2})
        reasons = [parked.reason for parked in t.parked]
    assert seen == [(2, 1)]
    assert "ValueError in Flaky" in reasons[0]
    assert "3 tries" in reasons[0]
    assert "row 1 is bad" not in reasons[0]  # I9: a message may quote the row
    assert reasons[1] == "an earlier change of this key is parked"


@pytest.mark.parametrize("kind", ["plain", "async", "threads", "tasks", "list", "async list"])
def test_what_is_done_is_not_called_again_when_the_batch_comes_back(kind: str, seen: list[tuple[Any, ...]]) -> None:
    shop = app()
    flaky = Flaky(seen, {3: 100}, lambda: Reject("no thanks"))
    _register(shop, kind, flaky)
    offered = batch(*(("c", key, 0) for key in range(6)), ("u", 3, 1), ("u", 4, 1))
    writer = shop.open("test", Limits())
    with pytest.raises(Reject) as rejected:
        writer.write(offered)
    assert rejected.value.reasons[3] == "no thanks"
    assert set(rejected.value.reasons) == {3, 6}  # the update of row 3 goes behind its insert
    writer.write(offered.without(list(rejected.value.reasons)))
    writer.close()
    assert sorted(seen) == [(0, 0), (1, 0), (2, 0), (4, 0), (4, 1), (5, 0)]


@pytest.mark.parametrize("kind", ["plain", "async", "threads", "tasks"])
def test_what_is_done_is_not_called_again_after_the_pipeline_reopened(kind: str, seen: list[tuple[Any, ...]]) -> None:
    shop = app()
    first: list[tuple[Any, ...]] = []
    shop.on("public.orders")(lambda change: first.append((int(change.key["id"]),)))
    _register(shop, kind, Flaky(seen, {3: 1}, lambda: Retryable("the index is away")), retries=0)
    rows = [("c", key, 0) for key in range(6)]
    writer = shop.open("test", Limits())
    with pytest.raises(Retryable):
        writer.write(batch(*rows))
    writer.close()
    writer = shop.open("test", Limits())
    writer.write(batch(*rows))
    writer.write(batch(("c", 9, 0), lsn=200))
    writer.close()
    assert sorted(seen) == [(key, 0) for key in (0, 1, 2, 3, 4, 5, 9)]
    assert first == [(key,) for key in (0, 1, 2, 3, 4, 5, 9)]


@pytest.mark.parametrize("kind", ["plain", "async", "threads", "tasks", "list", "async list", "halves"])
def test_i14_a_change_of_key_parks_what_follows_under_its_new_key(kind: str, seen: list[tuple[Any, ...]]) -> None:
    shop = app()
    flaky = Flaky(seen, {3: 100}, lambda: Reject("no thanks"))
    if kind == "halves":
        shop.on("public.orders", retries=0)(_all_or_nothing(flaky))
    else:
        _register(shop, kind, flaky)
    builder = BatchBuilder("test/order")
    builder.begin(xid=1, lsn=100, committed_at_us=0)
    builder.add("c", ORDERS, after={"id": "3", "step": "0"})
    builder.add("c", ORDERS, after={"id": "1", "step": "0"})
    builder.add("u", ORDERS, before={"id": "3"}, after={"id": "4", "step": "1"})
    builder.add("u", ORDERS, after={"id": "4", "step": "2"})
    builder.add("u", ORDERS, after={"id": "1", "step": "3"})
    builder.commit()
    writer = shop.open("test", Limits())
    with pytest.raises(Reject) as rejected:
        writer.write(builder.take())
    writer.close()
    assert set(rejected.value.reasons) == {0, 2, 3}
    assert seen == [(1, 0), (1, 3)]


def test_fatal_stops_at_once_and_the_change_stays_undone(seen: list[tuple[Any, ...]]) -> None:
    shop = app()
    flaky = Flaky(seen, {1: 1}, lambda: Fatal("the index has another schema"))
    shop.on("public.orders")(flaky)
    writer = shop.open("test", Limits())
    with pytest.raises(Fatal, match="another schema"):
        writer.write(batch(("c", 0, 0), ("c", 1, 0)))
    assert flaky.calls == 2


def test_a_list_that_fails_is_halved_until_the_change_at_fault_stands_alone(seen: list[tuple[Any, ...]]) -> None:
    shop = app()

    @shop.on("public.orders", retries=0)
    def index(changes: list[Change]) -> None:
        if any(change.after["id"] == 5 for change in changes):
            raise ValueError
        seen.extend((change.after["id"],) for change in changes)

    writer = shop.open("test", Limits())
    with pytest.raises(Reject) as rejected:
        writer.write(batch(*(("c", key, 0) for key in range(8))))
    assert list(rejected.value.reasons) == [5]
    assert seen == [(key,) for key in (0, 1, 2, 3, 4, 6, 7)]


def test_a_stop_ends_the_wait_for_the_next_try() -> None:
    shop = app()
    called = threading.Event()

    @shop.on("public.orders")
    def fail(change: Change) -> None:
        called.set()
        raise ValueError

    writer = shop.open("test", Limits())
    threading.Thread(target=lambda: (called.wait(), writer.interrupt())).start()
    with pytest.raises(Retryable, match=r"Stopped before .*fail was done"):
        writer.write(batch(("c", 1, 0)))


@pytest.mark.parametrize("asynchronous", [False, True])
def test_concurrent_calls_run_side_by_side_and_keep_the_order_of_each_key(asynchronous: bool) -> None:
    shop = app()
    steps: dict[int, list[Any]] = defaultdict(list)
    together = threading.Barrier(4)
    meeting = [0]

    def note(change: Change) -> None:
        steps[int((change.key or {})["id"])].append((change.after or {}).get("step"))

    @shop.on("public.orders", concurrency=4)
    def in_threads(change: Change) -> None:
        if not asynchronous and change.after["step"] == 0:
            together.wait(60)  # breaks unless four calls are under way at once
        note(change)

    async def in_tasks(change: Change) -> None:
        if change.after["step"] == 0:
            meeting[0] += 1
            async with asyncio.timeout(10):
                while meeting[0] < 4:
                    await asyncio.sleep(0)
        note(change)

    if asynchronous:
        shop = app()
        shop.on("public.orders", concurrency=4)(in_tasks)
    keys = list(_keys_of_different_lanes(4))
    writer = shop.open("test", Limits())
    writer.write(batch(*((op, key, step) for step, op in enumerate("cuuu") for key in keys)))
    writer.close()
    assert steps == {key: [0, 1, 2, 3] for key in keys}


def test_handlers_that_share_a_table_by_op_keep_the_order_of_each_key(seen: list[tuple[Any, ...]]) -> None:
    shop = app()

    @shop.on("public.orders", op="cu")
    async def upsert(changes: list[Change]) -> None:
        await asyncio.sleep(0)
        seen.extend(("upsert", change.after["id"]) for change in changes)

    @shop.on("public.orders", op="d")
    def remove(change: Change) -> None:
        seen.append(("remove", change.key["id"]))

    writer = shop.open("test", Limits())
    writer.write(batch(("c", 1, 0), ("c", 2, 0), ("d", 1, 0), ("c", 1, 0), ("d", 9, 0)))
    writer.close()
    assert seen == [("upsert", 1), ("upsert", 2), ("remove", 1), ("remove", 9), ("upsert", 1)]


def test_plain_and_async_handlers_see_the_changes_in_commit_order(seen: list[tuple[Any, ...]]) -> None:
    shop = app()

    @shop.on("public.orders", op="c")
    async def create(change: Change) -> None:
        seen.append(("c", change.after["id"]))

    @shop.on("public.orders", op="u")
    def update(change: Change) -> None:
        seen.append(("u", change.after["id"]))

    writer = shop.open("test", Limits())
    writer.write(batch(("c", 1, 0), ("u", 2, 0), ("u", 3, 0), ("c", 4, 0), ("u", 5, 0)))
    writer.close()
    assert seen == [("c", 1), ("u", 2), ("u", 3), ("c", 4), ("u", 5)]


def test_i12_closing_twice_is_harmless() -> None:
    shop = app()

    @shop.on("public.orders")
    async def note(change: Change) -> None: ...

    writer = shop.open("test", Limits())
    writer.write(batch(("c", 1, 0)))
    writer.close()
    writer.close()


def _register(shop: App, kind: str, call: Callable[[Change], None], retries: int = 5) -> None:
    """`call` as a handler of that kind."""

    async def async_call(change: Change) -> None:
        call(change)

    def many(changes: Any) -> None:
        """Refuse before doing anything, as a bulk request would."""
        bad = next((index for index, change in enumerate(changes) if change.key["id"] == 3), None)
        if bad is not None:
            raise Reject({bad: "no thanks"})
        for change in changes:
            call(change)

    async def async_many(changes: Any) -> None:
        many(changes)

    decorate = shop.on(
        "public.orders", batch="list" in kind, concurrency=3 if kind in ("threads", "tasks") else 1, retries=retries
    )
    decorate(
        {"plain": call, "threads": call, "list": many, "async list": async_many}.get(kind, async_call)  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("form", ["sync", "async"])
def test_what_a_list_handler_has_written_before_it_refused_others_is_done(form: str) -> None:
    shop, called = app(), list[list[int]]()

    def many(changes: list[Change]) -> None:
        called.append([int(change.key["id"]) for change in changes])
        if len(called) == 1:
            raise Reject({1: "no thanks"}, written=[0, 3])

    async def later(changes: list[Change]) -> None:
        many(changes)

    shop.on("public.orders", batch=True)(many if form == "sync" else later)
    writer = shop.open("test", Limits())
    with pytest.raises(Reject) as rejected:
        writer.write(batch(*(("c", key, 0) for key in (1, 2, 3, 4))))
    writer.close()
    assert rejected.value.reasons == {1: "no thanks"}
    assert called == [[1, 2, 3, 4], [3]]


def test_a_handler_of_one_change_cannot_have_written_what_it_refuses() -> None:
    shop = app()

    @shop.on("public.orders")
    def one(change: Change) -> None:
        raise Reject("no thanks", written=[0])

    writer = shop.open("test", Limits())
    with pytest.raises(Fatal, match="among the refused and the written ones"):
        writer.write(batch(("c", 1, 0)))
    writer.close()


def _all_or_nothing(call: Callable[[Change], None]) -> Callable[[list[Change]], None]:
    """A list handler that fails without saying at which change, before it has done anything."""

    def many(changes: list[Change]) -> None:
        if any(change.key["id"] == 3 for change in changes):
            raise ValueError
        for change in changes:
            call(change)

    return many


def _keys_of_different_lanes(count: int) -> Iterator[int]:
    """Keys that a handler with that concurrency runs side by side."""
    lanes: set[int] = set()
    key = 0
    while len(lanes) < count:
        lane = hash(("public", "orders", str(key))) % count
        if lane not in lanes:
            lanes.add(lane)
            yield key
        key += 1


@pytest.mark.parametrize("kind", ["plain", "async", "threads", "list"])
def test_later_changes_of_a_table_without_a_key_are_parked_behind_one(seen: list[tuple[Any, ...]], kind: str) -> None:
    shop = app()
    log = Table("public", "log", [Column("line", "text")])

    def call(change: Change) -> None:
        if change.after["line"] == "bad":
            raise Reject("no thanks")
        seen.append((change.table.name, change.after["line"]))

    def many(changes: list[Change]) -> None:
        bad = {index: "no thanks" for index, change in enumerate(changes) if change.after["line"] == "bad"}
        if bad:
            raise Reject(bad)
        seen.extend((change.table.name, change.after["line"]) for change in changes)

    async def later(change: Change) -> None:
        call(change)

    shop.on("public.*", batch=kind == "list", concurrency=2 if kind == "threads" else 1)(
        {"list": many, "async": later}.get(kind, call)  # type: ignore[arg-type]
    )
    other = Table("public", "other", [Column("line", "text")])
    builder = BatchBuilder("test/order")
    builder.begin(xid=1, lsn=100, committed_at_us=0)
    for table, line in ((log, "first"), (log, "bad"), (log, "later"), (other, "free")):
        builder.add("c", table, after={"line": line})
    builder.commit()
    writer = shop.open("test", Limits())
    with pytest.raises(Reject) as rejected:
        writer.write(builder.take())
    writer.close()
    assert sorted(rejected.value.reasons) == [1, 2]
    assert seen == [("log", "first"), ("other", "free")]


@pytest.mark.parametrize(("refused", "parked", "called"), [("t", [1, 2], ["c1"]), ("c1", [0, 1, 2], [])])
def test_a_parked_truncate_parks_what_comes_after_it_and_waits_for_what_is_parked(
    refused: str, parked: list[int], called: list[str]
) -> None:
    shop, heard = app(), []

    @shop.on("public.orders", op="ct")
    def call(change: Change) -> None:
        name = change.op if change.key is None else f"{change.op}{change.key['id']}"
        if name == refused:
            raise Reject("no thanks")
        heard.append(name)

    builder = BatchBuilder("test/order")
    builder.begin(xid=1, lsn=100, committed_at_us=0)
    builder.add("c", ORDERS, after={"id": "1", "step": "0"})
    builder.add("t", ORDERS)
    builder.add("c", ORDERS, after={"id": "2", "step": "0"})
    builder.commit()
    writer = shop.open("test", Limits())
    with pytest.raises(Reject) as rejected:
        writer.write(builder.take())
    assert sorted(rejected.value.reasons) == parked
    assert heard == called


@dataclass
class Row:
    missing: str


def test_what_was_gathered_before_a_table_that_no_handler_can_take_is_not_done(seen: list[tuple[Any, ...]]) -> None:
    """Whoever goes on in a group goes on from what is not done: to say too little of it would lose it."""
    shop = app()

    @shop.on("public.orders")
    async def order(change: Change) -> None:
        seen.append((change.op,))

    @shop.on("public.others")
    def other(change: Change[Row]) -> None:
        seen.append((change.after,))

    builder = BatchBuilder("test/order")
    builder.begin(xid=1, lsn=100, committed_at_us=0)
    for table in (ORDERS, Table("public", "others", [Column("id", "int8")]), ORDERS):
        builder.add("c", table, after={"id": "1"})
    builder.commit()
    writer, changes = shop.open("test", Limits()), builder.take()
    assert isinstance(writer, AppWriter)
    with pytest.raises(Fatal, match="has no column 'missing'"):
        writer.write(changes)
    assert writer.undone() == {"test/order": changes[0].position}
    assert not seen
    writer.close()
