"""Which changes reach a handler, how it sees them, and what it may be registered with."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from tailrace import testing
from tailrace.app import App
from tailrace.error import ConfigError, Fatal
from tailrace.model import UNCHANGED, Change
from tests.unit.app.orders import OrderClass, OrderDict, OrderModel, OrderStruct

ORDER = {"id": 1, "total": Decimal("9.50"), "note": "leave at the door"}


def app() -> App:
    return App("postgresql://localhost/shop", name="test")


def test_a_handler_gets_the_ops_and_tables_that_it_names() -> None:
    seen: list[tuple[str, str]] = []
    shop = app()

    @shop.on("public.order*", op="c,d")
    def note(change: Change) -> None:
        seen.append((change.op, str(change.table)))

    with testing.client(shop) as t:
        t.insert("public.orders", ORDER)
        t.update("public.orders", {"id": 1, "note": "ring twice"})
        t.insert("public.customers", {"id": 1})
        t.insert("public.order_lines", {"id": 1})
        t.delete("public.orders", {"id": 1})
        t.truncate("public.orders")
    assert seen == [("c", "public.orders"), ("c", "public.order_lines"), ("d", "public.orders")]


def test_a_handler_without_ops_gets_every_row_event_but_no_truncate() -> None:
    seen: list[str] = []
    shop = app()

    @shop.on("*.*")
    def note(change: Change) -> None:
        seen.append(change.op)

    with testing.client(shop) as t:
        t.read("public.orders", ORDER)
        t.update("public.orders", {"id": 1, "note": None})
        t.delete("public.orders", {"id": 1})
        t.truncate("public.orders")
        t.message("outbox", "{}")
    assert seen == ["r", "u", "d"]


def test_messages_go_to_handlers_of_their_prefix() -> None:
    seen: list[tuple[str, bytes]] = []
    shop = app()

    @shop.on_message("outbox.*")
    async def note(change: Change) -> None:
        assert change.message is not None
        seen.append((change.message.prefix, change.message.content))

    with testing.client(shop) as t:
        t.message("outbox.mail", "hello")
        t.message("audit", "no")
    assert seen == [("outbox.mail", b"hello")]


@pytest.mark.parametrize("kind", [OrderClass, OrderStruct, OrderModel])
def test_rows_come_as_the_annotated_class(kind: Any) -> None:
    seen: list[Any] = []
    shop = app()

    @shop.on("public.orders", op="c")
    def note(change: Change[kind]) -> None:
        seen.append(change.after)

    with testing.client(shop) as t:
        t.insert("public.orders", {**ORDER, "unknown_to_the_class": 7})
    assert seen == [kind(id=1, total=Decimal("9.50"), note="leave at the door")]


def test_rows_come_as_the_annotated_typed_dict() -> None:
    seen: list[Any] = []
    shop = app()

    @shop.on("public.orders", op="c")
    def note(change: Change[OrderDict]) -> None:
        seen.append(change.after)

    with testing.client(shop) as t:
        t.insert("public.orders", {**ORDER, "unknown_to_the_class": 7})
    assert seen == [ORDER]


def test_a_field_without_a_column_takes_its_default_or_stops_with_both_names() -> None:
    seen: list[Any] = []
    shop = app()

    @shop.on("public.orders")
    def note(change: Change[OrderClass]) -> None:
        seen.append(change.after)

    with testing.client(shop) as t:
        t.insert("public.orders", {"id": 1, "total": Decimal(1)})
        assert seen == [OrderClass(id=1, total=Decimal(1), note=None)]
    message = r"Table public\.orders has no column 'total' .* of OrderClass"
    with testing.client(shop) as t, pytest.raises(Fatal, match=message):
        t.insert("public.orders", {"id": 1})


def test_an_unsent_cell_is_filled_from_the_old_row_where_the_server_sent_it() -> None:
    seen: list[Any] = []
    shop = app()

    @shop.on("public.orders", op="u")
    def note(change: Change[OrderModel]) -> None:
        seen.append(change.after)

    with testing.client(shop, full=True) as t:
        t.insert("public.orders", ORDER)
        t.update("public.orders", {"id": 1, "total": Decimal(0), "note": UNCHANGED})
        assert not t.parked
    assert seen == [OrderModel(id=1, total=Decimal(0), note="leave at the door")]


def test_an_unsent_cell_reaches_a_dataclass_as_it_is() -> None:
    seen: list[Any] = []
    shop = app()

    @shop.on("public.orders", op="u")
    def note(change: Change[OrderClass]) -> None:
        seen.append(change.after)

    with testing.client(shop) as t:
        t.insert("public.orders", ORDER)
        t.update("public.orders", {"id": 1, "note": UNCHANGED})
    assert seen == [OrderClass(id=1, total=Decimal("9.50"), note=UNCHANGED)]  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [OrderStruct, OrderModel])
def test_an_unsent_cell_that_a_class_forbids_is_parked_with_the_way_out(kind: Any) -> None:
    shop = app()

    @shop.on("public.orders", op="u")
    def note(change: Change[kind]) -> None:
        assert change.after

    with testing.client(shop) as t:
        t.insert("public.orders", ORDER)
        t.update("public.orders", {"id": 1, "note": UNCHANGED})
        (parked,) = t.parked
    assert "unchanged column note" in parked.reason
    assert "REPLICA IDENTITY FULL" in parked.reason


@pytest.mark.parametrize("kind", [OrderStruct, OrderModel])
def test_i9_a_row_that_does_not_validate_is_parked_without_its_value(kind: Any) -> None:
    calls = 0
    shop = app()

    @shop.on("public.orders", op="c")
    def note(change: Change[kind]) -> None:
        nonlocal calls
        calls += 1
        assert change.after

    with testing.client(shop) as t:
        t.insert("public.orders", {"id": 1, "total": "very much", "note": "x"})
        (parked,) = t.parked
    assert "total" in parked.reason
    assert "very much" not in parked.reason
    assert calls == 1


def test_lists_are_asked_for_by_flag_or_by_annotation() -> None:
    flagged: list[int] = []
    annotated: list[list[OrderStruct | None]] = []
    shop = app()

    @shop.on("public.orders", batch=True)
    def flag(changes: Any) -> None:
        flagged.append(len(changes))

    @shop.on("public.orders")
    async def annotate(changes: list[Change[OrderStruct]]) -> None:
        await asyncio.to_thread(annotated.append, [change.after for change in changes])

    with testing.client(shop) as t, t.transaction():
        t.insert("public.orders", ORDER)
        t.insert("public.orders", {**ORDER, "id": 2})
    assert flagged == [2]
    assert [[order.id for order in orders if order] for orders in annotated] == [[1, 2]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"op": "x"}, "op='x'"),
        ({"retries": -1}, "retries=-1"),
        ({"batch": True, "concurrency": 2}, "takes lists"),
    ],
)
def test_a_wrong_registration_is_refused_at_once(options: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        app().on("public.orders", **options)(print)


def test_an_annotation_that_is_no_row_type_is_refused_at_once() -> None:
    def handler(change: Change[int]) -> None: ...

    with pytest.raises(ConfigError, match="Rows cannot be made into int"):
        app().on("public.orders")(handler)


@pytest.mark.parametrize(
    ("annotation", "right"),
    [
        (OrderClass, "tr.Change[OrderClass]"),
        (OrderDict, "tr.Change[OrderDict]"),
        (OrderStruct, "tr.Change[OrderStruct]"),
        (OrderModel, "tr.Change[OrderModel]"),
        (dict[str, Any], "tr.Change[dict]"),
        (Mapping[str, Any], "tr.Change"),
        (list[OrderClass], "list[tr.Change[OrderClass]]"),
        (list[dict[str, Any]], "list[tr.Change[dict]]"),
    ],
)
def test_a_handler_annotated_with_the_row_itself_is_refused_at_once(annotation: Any, right: str) -> None:
    """It was given the Change, failed at each try of each change, and one with a dict was taken for one of lists."""

    def handler(order: Any) -> None: ...

    handler.__annotations__ = {"order": annotation}
    with pytest.raises(ConfigError, match="is given a Change, and its parameter is annotated with ") as refused:
        app().on("public.orders")(handler)
    assert refused.value.hint is not None and refused.value.hint.startswith(f"annotate it {right}: ")


def test_an_app_without_handlers_is_told_so() -> None:
    with pytest.raises(ConfigError, match="App 'test' has no handlers"):
        app().pipeline()
    shop = app()
    shop.on_message("outbox")(print)
    with pytest.raises(ConfigError, match="App 'test' has handlers of messages only"):
        shop.pipeline()


def test_tables_default_to_what_the_handlers_name() -> None:
    shop = app()
    shop.on("public.orders", op="c")(print)
    shop.on("public.orders", "public.customers")(print)
    shop.on_message("outbox")(print)
    assert shop.tables == ("public.orders", "public.customers")


def giving(*arguments: object) -> Any:
    """A decorator that gives a function `arguments`, whatever it was called with."""

    def decorate(call: Any) -> Any:
        @functools.wraps(call)
        def wrapper(change: Change) -> None:
            call(*arguments)

        return wrapper

    return decorate


class Shop:
    def handle(self, change: Change) -> None: ...


@pytest.mark.parametrize(
    "call",
    [
        lambda: None,
        lambda change, other: None,
        lambda change, *, other: None,
        lambda **changes: None,
        Shop.handle,
    ],
)
def test_what_cannot_be_called_with_one_change_is_refused_at_once(call: Any) -> None:
    for register in (app().on("public.orders"), app().on_message("*")):
        with pytest.raises(ConfigError, match="cannot be called with the change alone"):
            register(call)


def test_what_can_be_called_with_one_change_is_taken() -> None:
    shop = app()
    calls: list[Any] = [Shop().handle, lambda *changes: None, lambda change, other=1: None, lambda change, **more: None]
    calls += [giving(1, 2)(lambda one, two: None), giving()(lambda: None)]
    for call in calls:
        shop.on("public.orders")(call)
        shop.on_message("*")(call)
    assert len(shop.handlers) == 2 * len(calls)


@pytest.mark.parametrize("pattern", [print, ["public.orders"], None])
def test_a_pattern_that_is_no_text_is_refused_with_what_to_write(pattern: Any) -> None:
    with pytest.raises(ConfigError, match=r'(?s)no text.*@app.on\("public.orders"\)'):
        app().on(pattern)
    with pytest.raises(ConfigError, match=r'(?s)no text.*@app.on_message\("outbox.\*"\)'):
        app().on_message(pattern)


@pytest.mark.parametrize("pattern", ["/public\\.orders_\\d+/", "!public.secret"])
def test_a_pattern_that_only_sources_take_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigError, match=r"(?s)globs alone.*tables=\["):
        app().on("public.*", pattern)
    app().on_message(pattern)
    app().on("/", "public.[!a]*")
