"""Which handlers get a change and how they see it: worked out once for each table version. Never calls a handler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tailrace.app.handler import Handler
from tailrace.app.row import Convert, converter, fill
from tailrace.model import Change, Table


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """A handler for one op of one table version, and how a change is shown to it."""

    handler: Handler
    call: Callable[[Change], object]
    direct: bool
    convert: Convert | None
    fills: bool

    def show(self, change: Change) -> Change:
        """The change with typed rows, UNCHANGED cells filled where the server sent the old row."""
        if self.convert is None:
            return change
        if self.fills and (after := change.after) is not None and not after.complete:
            change = fill(change)
        return change.cast(self.convert)


class Router:
    """Routes of every table version seen so far; `Fatal` for a table that a handler's row type does not fit."""

    def __init__(self, handlers: Sequence[Handler]) -> None:
        self._handlers = tuple(handlers)
        self._plans: dict[Table, dict[str, tuple[Route, ...]]] = {}

    def plan(self, table: Table) -> dict[str, tuple[Route, ...]]:
        """Op to routes, in the order in which the handlers were registered."""
        plan = self._plans.get(table)
        if plan is None:
            wanting = [handler for handler in self._handlers if handler.wants_table(table)]
            converts = [None if handler.row is None else converter(handler.row, table) for handler in wanting]
            routes = list(zip(wanting, converts, strict=True))
            plan = {op: tuple(_route(op, *route) for route in routes if op in route[0].ops) for op in "crudt"}
            self._plans[table] = plan
        return plan

    def routes(self, change: Change) -> tuple[Route, ...]:
        """The routes of one change, a message included."""
        if (message := change.message) is None:
            return self.plan(change.table)[change.op]
        return tuple(_route("m", handler, None) for handler in self._handlers if handler.wants_message(message))


def _route(op: str, handler: Handler, convert: Convert | None) -> Route:
    return Route(handler, handler.call, handler.direct, convert, op == "u")
