"""Feeds changes to an App without a server: real batches, real handlers, retries without pauses. Opens no pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from itertools import count
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from tailrace._native import BatchBuilder
from tailrace.app import App
from tailrace.app.call import Caller
from tailrace.error import Reject
from tailrace.model import UNCHANGED, Batch, Change, Column, Table

_LINEAGE = "postgres/0/test/testing"
_TYPES: Sequence[tuple[type, str]] = (
    (bool, "bool"),
    (int, "int8"),
    (float, "float8"),
    (Decimal, "numeric"),
    (datetime, "timestamptz"),
    (date, "date"),
    (time, "time"),
    (UUID, "uuid"),
    (bytes, "bytea"),
    (dict, "jsonb"),
)
_COMMITTED_AT_US = 1_767_225_600_000_000  # 2026-01-01; each transaction is a second later


@dataclass(frozen=True, slots=True)
class Parked:
    """A change that a pipeline would have put into its dead letters, and why."""

    change: Change
    reason: str


def client(app: App, *, tables: Sequence[Table] = (), full: bool = False) -> Client:
    """A `Client` for `app`, to be used with `with`: handlers run as in a pipeline, retries without their pauses.

        with tr.testing.client(app) as t:
            t.insert("public.orders", {"id": 1, "total": Decimal("9.50")})
            t.update("public.orders", {"id": 1, "total": Decimal("0.00")})
            t.delete("public.orders", {"id": 1})
            assert not t.parked

    Tables that are not given are made up from the rows: types from the values, key `id`. `full` gives updates
    and deletes their whole old row, as REPLICA IDENTITY FULL does; otherwise they have its key.
    """
    return Client(app, tables, full=full)


class Client:
    """Tables of rows in memory whose changes go to the handlers, each call a transaction of its own.

    `parked` is the list of changes that a pipeline would have put into its dead letters. What stops a pipeline is
    raised: `Fatal`, and `Retryable` after the last try.
    """

    def __init__(self, app: App, tables: Sequence[Table] = (), *, full: bool = False) -> None:
        self.parked: list[Parked] = []
        self._tables = {str(table): table for table in tables}
        self._rows: dict[str, dict[tuple[Any, ...], dict[str, Any]]] = {}
        self._full = full
        self._builder = BatchBuilder(_LINEAGE)
        self._cells: list[tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]] = []
        self._open = False
        self._transactions = count(1)
        self._writer = app.writer("testing", Caller(backoff_s_max=0.0, pauses=False))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop what the handlers run on; closing twice is harmless."""
        self._writer.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Changes made inside are one transaction, delivered together at its end; an exception drops them."""
        self._begin()
        self._open = True
        try:
            yield
        finally:
            self._open = False
        self._deliver(self._commit())

    def insert(self, table: str, row: Mapping[str, Any]) -> None:
        """A new row (op c)."""
        self._change("c", self._table(table, row), after=row)

    def update(self, table: str, row: Mapping[str, Any], *, key: Sequence[Any] | None = None) -> None:
        """A row's new values (op u): columns that are not given keep theirs. `key` is the old key when it changes."""
        shape = self._table(table, row)
        old_key = tuple(key) if key is not None else self._key(shape, row)
        old = self._rows.get(table, {}).pop(old_key, None)
        after = {**(old or {}), **row}
        before = self._old_image(shape, old_key, old) if self._full or self._key(shape, after) != old_key else None
        self._change("u", shape, before=before, after=after)

    def delete(self, table: str, row: Mapping[str, Any]) -> None:
        """A row goes (op d); the key columns of `row` are enough."""
        shape = self._table(table, row)
        key = self._key(shape, row)
        old = self._rows.get(table, {}).pop(key, None) or dict(row)
        self._change("d", shape, before=self._old_image(shape, key, old))

    def read(self, table: str, row: Mapping[str, Any]) -> None:
        """A row of a snapshot (op r)."""
        self._change("r", self._table(table, row), after=row)

    def truncate(self, table: str) -> None:
        """All rows go (op t)."""
        self._rows.pop(table, None)
        self._change("t", self._table(table, {}))

    def message(self, prefix: str, content: bytes | str) -> None:
        """A logical message (op m)."""
        with self._transaction():
            self._builder.message(prefix, content.encode() if isinstance(content, str) else content)
            self._cells.append((None, None))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        if self._open:
            yield
            return
        self._begin()
        yield
        self._deliver(self._commit())

    def _begin(self) -> None:
        number = next(self._transactions)
        self._cells.clear()
        self._builder.begin(xid=number, lsn=number << 16, committed_at_us=_COMMITTED_AT_US + number * 1_000_000)

    def _commit(self) -> Batch:
        self._builder.commit()
        batch = self._builder.take()
        # Values become the server's text in Rust, by the rules of `Change.replace`.
        changes = [
            change if before is None and after is None else change.replace(before=before, after=after)
            for change, (before, after) in zip(batch, self._cells, strict=True)
        ]
        return batch.with_changes(changes)

    def _change(
        self, op: Any, table: Table, *, before: Mapping[str, Any] | None = None, after: Mapping[str, Any] | None = None
    ) -> None:
        if after is not None:
            self._rows.setdefault(str(table), {})[self._key(table, after)] = dict(after)
        with self._transaction():
            self._builder.add(op, table, before=_blank(before), after=_blank(after))
            self._cells.append((before, after))

    def _old_image(self, table: Table, key: tuple[Any, ...], old: Mapping[str, Any] | None) -> Mapping[str, Any]:
        return old if self._full and old else dict(zip(table.key, key, strict=True))

    def _key(self, table: Table, row: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(row[name] for name in table.key)

    def _table(self, name: str, row: Mapping[str, Any]) -> Table:
        """The table as far as it is known, with a new version for columns not seen before."""
        known = self._tables.get(name)
        columns = {column.name: column for column in known.columns} if known else {}
        new = {
            column: Column(column, _type_of(value), nullable=column != "id")
            for column, value in row.items()
            if column not in columns
        }
        if known is not None and not new:
            return known
        columns |= new
        schema, _, short = name.rpartition(".")
        key = known.key if known else tuple(column for column in columns if column == "id")
        self._tables[name] = Table(schema or "public", short, list(columns.values()), key=key)
        return self._tables[name]

    def _deliver(self, batch: Batch) -> None:
        """What a pipeline does with a batch: write it, park what is refused, write the rest."""
        while True:
            try:
                self._writer.write(batch)
            except Reject as reject:
                self.parked.extend(Parked(batch[index], reject.reasons[index]) for index in sorted(reject.reasons))
                batch = batch.without([*reject.reasons, *reject.written])
            else:
                return


def _blank(row: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if row is None else dict.fromkeys(row)


def _type_of(value: object) -> str:
    if isinstance(value, list):
        return f"{_type_of(next((item for item in value if item is not None), ''))}[]"
    if isinstance(value, datetime) and value.tzinfo is None:
        return "timestamp"
    if value is UNCHANGED:
        return "text"
    return next((name for kind, name in _TYPES if isinstance(value, kind)), "text")
