"""Turns changes into statements, one each, in their order: right for every change, and fast for a few. Sends nothing.

Where a row is expected and missing, the statement for it adds the row, or fails when the change does not say all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from psycopg import sql

from tailrace.error import Reject
from tailrace.model import UNCHANGED, Batch, Change, Table, Unchanged
from tailrace.sink.postgres import statements
from tailrace.sink.postgres.target import Target, TargetColumn

__all__ = ["Rows", "Statement"]

_Cells = Mapping[str, str | Unchanged | None]


@dataclass(frozen=True, slots=True)
class Statement:
    """What one change becomes: `index` is the change's in its batch; `adds` says what a counted row means."""

    index: int
    text: bytes
    params: Sequence[bytes | None]
    adds: bool = False
    """A row that was counted was missing before."""
    removes: bool = False
    """No row counted: it was missing before."""


class Rows:
    """Makes statements, and remembers their texts. `targets` gives the target of a table version, `emptied` that of one
    that was emptied, if there is any."""

    def __init__(self, targets: Callable[[Table], Target], emptied: Callable[[Table], Target | None]) -> None:
        self._targets = targets
        self._emptied = emptied
        self._texts: dict[tuple[object, ...], bytes] = {}

    def forget(self) -> None:
        """Tables have changed: statements must be made anew."""
        self._texts.clear()

    def statements(self, batch: Batch, *, merge: bool, first: int = 0) -> Iterator[Statement]:
        """The statements for `batch`, in order; with `merge` an insert takes the place of a row of its key, and an
        update that changes a key does where its row is missing.

        Indexes are counted from `first`. `Reject` names all changes that no statement can say: of rows that cannot be
        told apart, or with a NUL.
        """
        try:
            yield from self._each(batch, merge=merge, first=first)
        except Reject:
            raise Reject(self._refused(batch, merge=merge, first=first)) from None

    def _each(self, batch: Batch, *, merge: bool, first: int) -> Iterator[Statement]:
        numbered = enumerate(batch, first)
        for truncated, run in groupby(numbered, lambda item: item[1].op == "t" and _event(item[1])):
            if truncated is not False:
                yield from self._truncate(list(run))
                continue
            for index, change in run:
                if change.op != "m":
                    yield self._statement(index, change, merge=merge)

    def _refused(self, batch: Batch, *, merge: bool, first: int) -> dict[int, str]:
        """All of them: parked one by one, many would cost as many transactions."""
        reasons: dict[int, str] = {}
        for index, change in enumerate(batch, first):
            if change.op not in "mt":
                try:
                    self._statement(index, change, merge=merge)
                except Reject as reject:
                    reasons |= reject.reasons
        return reasons

    def _statement(self, index: int, change: Change, *, merge: bool) -> Statement:
        target = self._targets(change.table)
        statement = self._unchecked(index, change, target, merge=merge)
        # libpq takes a text parameter up to its first NUL: what is behind it would be lost without a word.
        if any(param is not None and b"\0" in param for param in statement.params):
            raise Reject({index: _nul(change, target)})
        return statement

    def _unchecked(self, index: int, change: Change, target: Target, *, merge: bool) -> Statement:
        if change.op == "d":
            return self._delete(index, change, target)
        assert change.after is not None
        if change.op in "cr" and not (merge and target.key):
            text = self._text((target.source.version, "c"), lambda: statements.insert(target))
            return Statement(index, text, _values(target.columns, change.after.texts()))
        return self._update(index, change, target, merge=merge)

    def _update(self, index: int, change: Change, target: Target, *, merge: bool) -> Statement:
        assert change.after is not None
        cells = change.after.texts()
        old = change.before.texts() if change.before is not None and change.op == "u" else {}
        sent = tuple(column for column in target.columns if cells[column.source] is not UNCHANGED)
        version = target.source.version
        if not target.key:
            if change.before is None or not change.before.complete:
                raise Reject({index: _no_key(target)})
            text = self._text((version, "1", sent), lambda: statements.update_one(target, sent))
            return Statement(index, text, [*_values(sent, cells), *_values(target.columns, old)])
        key = _key_columns(target)
        moved = any(
            cells[column.source] is UNCHANGED or old.get(column.source, cells[column.source]) != cells[column.source]
            for column in key
        )
        params = _values(sent, cells)
        if moved:
            params += _values(key, {**cells, **old})
        takes = merge and moved and set(key) <= set(sent)
        shape = {"moved": moved, "takes": takes}
        if len(sent) < len(target.columns):
            text = self._text((version, "u", sent, moved, takes), lambda: statements.update(target, sent, **shape))
            return Statement(index, text, params)
        text = self._text((version, "w", moved, takes), lambda: statements.upsert(target, **shape))
        return Statement(index, text, params, adds=change.op == "u")

    def _delete(self, index: int, change: Change, target: Target) -> Statement:
        if change.before is None or not (target.key or change.before.complete):
            raise Reject({index: _no_key(target)})
        cells = change.before.texts()
        version = target.source.version
        if not target.key:
            text = self._text((version, "0"), lambda: statements.delete_one(target))
            return Statement(index, text, _values(target.columns, cells), removes=True)
        text = self._text((version, "d"), lambda: statements.delete(target))
        return Statement(index, text, _values(_key_columns(target), cells), removes=True)

    def _truncate(self, run: Sequence[tuple[int, Change]]) -> Iterator[Statement]:
        """One TRUNCATE of the source, which names several tables: they are emptied together."""
        index, first = run[0]
        _, restart = first.truncate_options
        found = {change.table: self._emptied(change.table) for _, change in run}.values()
        for statement in statements.truncate([target for target in found if target is not None], restart=restart):
            yield Statement(index, statement.as_bytes(None), ())

    def _text(self, key: tuple[object, ...], make: Callable[[], sql.Composed]) -> bytes:
        text = self._texts.get(key)
        if text is None:
            text = self._texts[key] = make().as_bytes(None)
        return text


def _event(change: Change) -> tuple[object, ...]:
    """Equal for the tables of one TRUNCATE."""
    return change.transaction, change.truncate_options


def _key_columns(target: Target) -> list[TargetColumn]:
    """The key's columns that the source has, in the order of the key."""
    by_name = {column.name: column for column in target.columns}
    return [by_name[name] for name in target.key if name not in target.constants]


def _values(columns: Sequence[TargetColumn], cells: _Cells) -> list[bytes | None]:
    """Cells as the server sent them."""
    values: list[bytes | None] = []
    for column in columns:
        cell = cells[column.source]
        values.append(cell.encode() if isinstance(cell, str) else None)
    return values


def _nul(change: Change, target: Target) -> str:
    images = [image.texts() for image in (change.after, change.before) if image is not None]
    names = [
        column.source
        for column in target.columns
        if any(isinstance(cell := cells.get(column.source), str) and "\0" in cell for cells in images)
    ]
    return f"{target.source}, column {', '.join(names)}: a text with U+0000, which PostgreSQL cannot store"


def _no_key(target: Target) -> str:
    return (
        f"{target.source} has no key, and the change does not say all of the row: ALTER TABLE … REPLICA IDENTITY FULL"
    )
