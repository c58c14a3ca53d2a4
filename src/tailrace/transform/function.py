"""Your own functions as transforms: one change at a time, or whole columns. Never catches what they raise."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from tailrace.error import ConfigError
from tailrace.model import Batch, Change, Table

__all__ = ["MapArrow", "MapChanges", "map_arrow", "map_changes"]


@dataclass(frozen=True, slots=True)
class MapChanges:
    """Pass every change through a function that returns a change (`Change.replace`) or None to drop it.

    The slow lane: about a microsecond a change and the function's own time. `function` is a callable or, for TOML,
    `"module:name"`.
    """

    kind: ClassVar[str] = "map_changes"
    function: str | Callable[[Change], Change | None]
    _resolved: Callable[[Change], Change | None] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_resolved", _resolve(self.function))

    @property
    def __wrapped__(self) -> Callable[..., object]:
        """The function itself, for messages that name it."""
        return self._resolved

    def __call__(self, batch: Batch) -> Batch:
        """`batch` with what the function returned."""
        return batch.with_changes([new for change in batch if (new := self._resolved(change)) is not None])


@dataclass(frozen=True, slots=True)
class MapArrow:
    """Pass each table's changes through a function of (table, Arrow stream) that returns an Arrow stream.

    Rows are matched by `_index`, which it must keep; rows that are missing are dropped. Any object of the Arrow
    PyCapsule protocol will do. `function` is a callable or, for TOML, `"module:name"`.
    """

    kind: ClassVar[str] = "map_arrow"
    function: str | Callable[[Table, object], object]
    _resolved: Callable[[Table, object], object] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_resolved", _resolve(self.function))

    @property
    def __wrapped__(self) -> Callable[..., object]:
        """The function itself, for messages that name it."""
        return self._resolved

    def __call__(self, batch: Batch) -> Batch:
        """`batch` with what the function returned for each table version."""
        for table in batch.tables:
            batch = batch.with_arrow(table, self._resolved(table, batch.arrow(table)))
        return batch


def map_changes(function: Callable[[Change], Change | None]) -> MapChanges:
    """A transform from a function of one change; usable as a decorator."""
    return MapChanges(function)


def map_arrow(function: Callable[[Table, object], object]) -> MapArrow:
    """A transform from a function of (table, Arrow stream); usable as a decorator."""
    return MapArrow(function)


def _resolve(function: str | Callable[..., object]) -> Callable[..., object]:
    if not isinstance(function, str):
        return function
    module, _, name = function.partition(":")
    try:
        found: object = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"cannot find the function {function!r}: {error}", hint='write it as "module:name"'
        ) from error
    if not callable(found):
        raise ConfigError(f"{function!r} is not a function", hint='write it as "module:name"')
    return found
