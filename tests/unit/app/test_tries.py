"""What the next try of a handler is given, and what an end of the program or a cancelled wait in it means."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from tailrace import testing
from tailrace.app import App
from tailrace.model import Change
from tests.unit.app.orders import OrderDict, OrderModel, OrderStruct

ORDER = {"id": 1, "total": Decimal("9.50"), "note": "leave at the door"}
WAYS: list[dict[str, Any]] = [{}, {"concurrency": 2}, {"batch": True}]


@dataclasses.dataclass
class Order:
    id: int
    total: Decimal
    note: str | None = None


def app() -> App:
    return App("postgresql://localhost/shop", name="test")


def _in_time(work: Callable[[], object]) -> BaseException | None:
    """What `work` raises, on a thread of its own: one that waits for ever is left behind, and fails the test."""
    raised: list[BaseException | None] = [None]

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - an exit is what is looked for
            raised[0] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    return raised[0]


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("options", WAYS)
@pytest.mark.parametrize("kind", [dict, OrderDict, Order, OrderStruct, OrderModel])
def test_the_next_try_gets_the_row_as_it_came(kind: Any, options: dict[str, Any], asynchronous: bool) -> None:
    seen: list[Any] = []
    shop = app()

    def note(change: Any) -> None:
        row = (change[0] if options.get("batch") else change).after
        if isinstance(row, dict):
            seen.append(row.pop("note", "gone"))
        else:
            seen.append(row.note)
            row.note = "gone"
        if len(seen) == 1:
            raise OSError

    async def note_async(change: Any) -> None:
        note(change)

    handler = note_async if asynchronous else note
    handler.__annotations__ = {"change": list[Change[kind]] if options.get("batch") else Change[kind]}
    shop.on("public.orders", **options)(handler)
    with testing.client(shop) as t:
        t.insert("public.orders", ORDER)
        assert t.parked == []
    assert seen == [ORDER["note"]] * 2


@pytest.mark.parametrize("asynchronous", [False, True])
def test_what_a_list_handler_took_out_of_its_list_is_in_the_next_try(asynchronous: bool) -> None:
    """It was done with them, as far as anybody could tell: they were lost."""
    written: list[int] = []
    failures = [OSError]
    shop = app()

    def store(changes: list[Change]) -> None:
        while changes:
            change = changes.pop(0)
            if change.key["id"] == 3 and failures:
                raise failures.pop()
            written.append(change.key["id"])

    async def store_async(changes: list[Change]) -> None:
        store(changes)

    shop.on("public.orders", batch=True)(store_async if asynchronous else store)
    with testing.client(shop) as t, t.transaction():
        for id in range(1, 6):
            t.insert("public.orders", {"id": id})
    assert written == [1, 2, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("options", WAYS)
def test_a_coroutine_that_ends_the_program_ends_it(options: dict[str, Any], error: type[BaseException]) -> None:
    """asyncio lets go of its loop then, and the writer waited for ever."""
    shop = app()

    @shop.on("public.orders", **options)
    async def end(change: object) -> None:
        raise error

    def work() -> None:
        with testing.client(shop) as t:
            t.insert("public.orders", ORDER)

    assert isinstance(_in_time(work), error)


def test_a_task_that_a_coroutine_left_behind_can_end_the_program_too() -> None:
    tasks: list[asyncio.Task[None]] = []
    shop = app()

    async def end() -> None:
        sys.exit(3)

    @shop.on("public.orders")
    async def begin(change: object) -> None:
        tasks.append(asyncio.create_task(end()))
        await asyncio.get_running_loop().create_future()

    def work() -> None:
        with testing.client(shop) as t:
            t.insert("public.orders", ORDER)

    ended = _in_time(work)
    assert isinstance(ended, SystemExit)
    assert ended.code == 3


@pytest.mark.parametrize("concurrency", [1, 2])
def test_an_exit_of_such_a_task_between_two_calls_is_heard_by_other_handlers_too(concurrency: int) -> None:
    """It was heard by the next coroutine alone, which may come in a week."""
    tasks: list[asyncio.Task[None]] = []
    begun = threading.Event()
    shop = app()

    async def end() -> None:
        while not begun.is_set():
            await asyncio.sleep(0)
        sys.exit(3)

    @shop.on("public.customers")
    async def begin(change: object) -> None:
        tasks.append(asyncio.create_task(end()))

    @shop.on("public.orders", concurrency=concurrency)
    def take(change: object) -> None:
        begun.set()

    def work() -> None:
        deadline = time.monotonic() + 40
        with testing.client(shop) as t:
            t.insert("public.customers", ORDER)
            while time.monotonic() < deadline:
                t.insert("public.orders", ORDER)

    ended = _in_time(work)
    assert isinstance(ended, SystemExit)
    assert ended.code == 3


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_exit_in_a_later_try_is_not_tried_again(asynchronous: bool) -> None:
    calls: list[int] = []
    shop = app()

    def end(change: object) -> None:
        calls.append(len(calls))
        if len(calls) == 1:
            raise OSError
        sys.exit(3)

    async def end_async(change: object) -> None:
        end(change)

    shop.on("public.orders")(end_async if asynchronous else end)

    def work() -> None:
        with testing.client(shop) as t:
            t.insert("public.orders", ORDER)

    assert isinstance(_in_time(work), SystemExit)
    assert calls == [0, 1]


@pytest.mark.parametrize("options", WAYS)
def test_a_wait_that_was_cancelled_within_a_coroutine_is_a_failure_like_any_other(options: dict[str, Any]) -> None:
    """As a pool does that is closed under whoever waits for it; it stopped the pipeline as if it were a bug of ours."""
    calls: list[int] = []
    shop = app()

    @shop.on("public.orders", retries=1, **options)
    async def wait(change: object) -> None:
        calls.append(len(calls))
        waited = asyncio.get_running_loop().create_future()
        waited.cancel()
        await waited

    with testing.client(shop) as t:
        t.insert("public.orders", ORDER)
        assert [parked.reason.partition(" at ")[0] for parked in t.parked] == ["CancelledError in " + name(wait)]
    assert calls == [0, 1]


def name(call: Callable[..., object]) -> str:
    return call.__qualname__.replace("<locals>.", "")
