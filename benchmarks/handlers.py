"""Handlers as users write them: a mapping, a dataclass, msgspec, pydantic. Each reads one field and counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from tailrace.app import App
from tailrace.model import Change

FIELDS: dict[str, Any] = {
    "id": int,
    "customer_id": int,
    "product_id": int,
    "quantity": int,
    "amount": Decimal,
    "status": str,
    "note": str | None,
    "paid": bool,
    "created_at": datetime,
    "due": date | None,
    "token": UUID,
    "attributes": dict[str, Any],
}


@dataclass(slots=True)
class Order:
    """A row as a dataclass."""

    id: int
    customer_id: int
    product_id: int
    quantity: int
    amount: Decimal
    status: str
    note: str | None
    paid: bool
    created_at: datetime
    due: date | None
    token: UUID
    attributes: dict[str, Any]


Struct = msgspec.defstruct("Struct", list(FIELDS.items()))


@dataclass(slots=True)
class Seen:
    """What the handlers have seen."""

    events: int = 0
    sum: int = 0
    until: int | None = None
    """Where to stop: `done` is called when that many events were seen."""
    done: Callable[[], None] = lambda: None
    lags_s: list[float] = field(default_factory=list)


def register(app: App, rows: str, seen: Seen) -> None:
    """Register the handler for `rows`: mapping, dataclass, msgspec, pydantic or latency."""
    app.on("public.orders", op="cr")(KINDS[rows](seen))


def _mapping(seen: Seen) -> Callable[[Change], None]:
    def handle(change: Change) -> None:
        assert change.after is not None
        seen.sum += change.after["id"]
        seen.events += 1

    return handle


def _dataclass(seen: Seen) -> Callable[[Change[Order]], None]:
    def handle(change: Change[Order]) -> None:
        assert change.after is not None
        seen.sum += change.after.id
        seen.events += 1

    return handle


def _typed(row: Any) -> Callable[[Seen], Callable[[Change[Any]], None]]:
    def make(seen: Seen) -> Callable[[Change[Any]], None]:
        def handle(change: Change[Any]) -> None:
            assert change.after is not None
            seen.sum += change.after.id
            seen.events += 1

        handle.__annotations__["change"] = Change[row]
        return handle

    return make


def _pydantic(seen: Seen) -> Callable[[Change[Any]], None]:
    import pydantic

    fields: dict[str, Any] = {name: (type_, ...) for name, type_ in FIELDS.items()}
    return _typed(pydantic.create_model("Model", **fields))(seen)


def _latency(seen: Seen) -> Callable[[Change], None]:
    def handle(change: Change) -> None:
        seen.lags_s.append(time.time() - change.committed_at.timestamp())
        seen.events += 1
        if seen.events == seen.until:
            seen.done()

    return handle


KINDS: dict[str, Callable[[Seen], Callable[..., None]]] = {
    "mapping": _mapping,
    "dataclass": _dataclass,
    "msgspec": _typed(Struct),
    "pydantic": _pydantic,
    "latency": _latency,
}
