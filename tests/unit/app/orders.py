"""The orders of the handler tests, in every kind of row type."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import NotRequired, TypedDict

import msgspec
import pydantic


@dataclasses.dataclass(frozen=True, slots=True)
class OrderClass:
    id: int
    total: Decimal
    note: str | None = None


class OrderDict(TypedDict):
    id: int
    total: Decimal
    note: NotRequired[str | None]


class OrderStruct(msgspec.Struct):
    id: int
    total: Decimal
    note: str | None = None


class OrderModel(pydantic.BaseModel):
    id: int
    total: Decimal
    note: str | None = None
