"""Your own functions as transforms: one change at a time, or whole columns. Never catches what they raise, but
a `Reject`, to say which change it is of.
"""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from tailrace.error import CheckFailed, ConfigError, Reject
from tailrace.model import BESIDE, Batch, Change, Table

__all__ = ["MapArrow", "MapChanges", "map_arrow", "map_changes"]


@dataclass(frozen=True, slots=True)
class MapChanges:
    """Pass every change through a function that returns a change (`Change.replace`) or None to drop it.

    `raise Reject("reason")` parks the change in the dead letters; the others of its batch are then passed once more.
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
        """`batch` with what the function returned; `Reject` for the changes that it refused."""
        kept: list[Change] = []
        refused: dict[int, str] = {}
        for index, change in enumerate(batch):
            try:
                new = self._resolved(change)
            except Reject as reject:
                refused[index] = next(iter(reject.refused(1, f"transform {_name(self._resolved)}").values()))
                continue
            if new is not None:
                kept.append(new)
        if refused:
            raise Reject(refused)
        return batch.with_changes(kept)


@dataclass(frozen=True, slots=True)
class MapArrow:
    """Pass each table's changes through a function of (table, Arrow stream) that returns an Arrow stream.

    Rows are matched by `_index`, which it must keep; rows that are missing are dropped. Any object of the Arrow
    PyCapsule protocol will do. `raise Reject({index: "reason"})` parks the changes of these `_index`; one that names
    none stops the pipeline, where its batch has more than one change and is none of dead letters. `function` is a
    callable or, for TOML, `"module:name"`.
    """

    kind: ClassVar[str] = "map_arrow"
    function: str | Callable[[Table, object], object]
    _resolved: Callable[[Table, object], object] = field(init=False, repr=False, compare=False)
    _fit: set[int] = field(init=False, repr=False, compare=False, default_factory=set)
    """Versions of tables whose columns have names of their own."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_resolved", _resolve(self.function))

    @property
    def __wrapped__(self) -> Callable[..., object]:
        """The function itself, for messages that name it."""
        return self._resolved

    def __call__(self, batch: Batch) -> Batch:
        """`batch` with what the function returned for each table version."""
        given = batch
        for table in batch.tables:
            self._require_names(table)
            try:
                batch = batch.with_arrow(table, self._resolved(table, batch.arrow(table)))
            except Reject as reject:  # the tables before it may have lost changes: indexes are no longer those given
                if batch is given or (not reject.named and len(batch) > 1):
                    raise
                refused = reject.refused(len(batch), f"transform {_name(self._resolved)}")
                at = {batch[index].position: reason for index, reason in refused.items()}
                raise Reject(
                    {index: at[change.position] for index, change in enumerate(given) if change.position in at}
                ) from None
        return batch

    def _require_names(self, table: Table) -> None:
        """Refuse what would be matched by a column of the table, or have one of ours written over it."""
        if table.version in self._fit:
            return
        for column in table.columns:
            if column.name in BESIDE:
                raise CheckFailed(
                    f"transform {_name(self._resolved)}: the column {column.name} of {table} has the name of one that"
                    " Arrow rows have beside those of the table",
                    hint='give it another name before, with a transform: kind = "rename", '
                    f'names = {{"{table}.{column.name}" = "…"}}',
                )
        self._fit.add(table.version)


def map_changes(function: Callable[[Change], Change | None]) -> MapChanges:
    """A transform from a function of one change; usable as a decorator. See `MapChanges`."""
    return MapChanges(function)


def map_arrow(function: Callable[[Table, object], object]) -> MapArrow:
    """A transform from a function of (table, Arrow stream); usable as a decorator. See `MapArrow`."""
    return MapArrow(function)


def _name(function: Callable[..., object]) -> str:
    return str(getattr(function, "__qualname__", type(function).__qualname__))


def _place(error: BaseException) -> str:
    """Where to look. A file that cannot be compiled has no frame: the last one is of the import itself."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{last.filename}:{last.lineno}"


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
    except (Exception, SystemExit) as error:  # a module may do anything while it is imported
        raise ConfigError(
            f"cannot import the function {function!r}: {type(error).__name__} at {_place(error)}",
            hint=f"python -c 'import {module}' shows more",
        ) from error
    if not callable(found):
        raise ConfigError(f"{function!r} is not a function", hint='write it as "module:name"')
    return found
