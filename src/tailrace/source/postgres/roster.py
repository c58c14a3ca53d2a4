"""Says at once what a publication does not send. Changes nothing, and never asks the server itself.

The server does not tell a reader when a table is taken out of a publication: its changes just stop coming. Nor does it
tell of the rows that a partition brings along when it is attached, and takes along when it is detached or dropped. So
what is published is looked at now and then (`Measure` asks), and compared with what it was before.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from psycopg import sql

from tailrace.dialect.postgres.session import statement_text
from tailrace.source.postgres import pattern
from tailrace.source.postgres.finding import some

__all__ = ["Roster"]

_log = logging.getLogger("tailrace.source.postgres")
_MISSED = "then `tailrace verify --repair` for what was missed"


@dataclass(frozen=True, slots=True)
class _Table:
    schema: str
    name: str
    row_filter: str | None
    left_out: dict[str, str]
    """Columns that are not sent: the name of each by its number, which it keeps."""

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class _Partition:
    root: str
    """The oid of the table in whose name its rows come."""
    name: str
    joined: bool
    """It came below that table after it was made."""


class Roster:
    """What publication `name` sends of the tables that `globs` mean; all of them, if None."""

    def __init__(self, name: str, globs: Sequence[str] | None) -> None:
        self.name = name
        self._globs = globs
        self._tables: dict[str, _Table] | None = None
        self._operations: frozenset[str] = frozenset()
        self._partitions: dict[str, _Partition] = {}
        """By oid."""
        self._newest = 0
        """The greatest oid of a table at the last look: whatever has a greater one was made since."""

    @property
    def left_out(self) -> str:
        """The numbers of columns that were not sent, by table (JSON): `look` wants to know which are still there."""
        tables = (self._tables or {}).items()
        return json.dumps({oid: list(table.left_out) for oid, table in tables if table.left_out})

    def look(self, answer: str) -> None:
        """Warn of what is missing compared with the look before; the first one only sets the mark."""
        found = json.loads(answer)
        tables = {oid: _Table(*each) for oid, each in found["tables"].items()}
        if self._globs is not None:
            tables = {oid: table for oid, table in tables.items() if pattern.matches(str(table), self._globs)}
        operations = frozenset(found["operations"])
        partitions = {oid: _Partition(*each) for oid, each in found["partitions"].items() if each[0] in tables}
        if self._tables is not None:
            self._compare_tables(self._tables, tables, found["there"])
            for root in self._tables.keys() & tables.keys():
                self._compare_partitions(str(tables[root]), root, partitions)
            for name in sorted(self._operations - operations):
                _log.warning(
                    "publication %s sends no %s any more: what it does at the source is missed", self.name, name
                )
        self._tables, self._operations = tables, operations
        self._partitions, self._newest = partitions, found["newest"]

    def _compare_tables(self, before: dict[str, _Table], now: dict[str, _Table], there: Collection[str]) -> None:
        for oid, table in before.items():
            if oid not in now:
                statement = sql.SQL("ALTER PUBLICATION {} ADD TABLE {}").format(
                    sql.Identifier(self.name), sql.Identifier(table.schema, table.name)
                )
                _log.warning(
                    "%s is not in publication %s any more (taken out, or dropped): its changes do not come; to get them"
                    " again: %s, %s",
                    table, self.name, statement_text(statement), _MISSED,
                )  # fmt: skip
            else:
                self._compare(table, now[oid], [number for number in table.left_out if f"{oid}.{number}" in there])

    def _compare(self, before: _Table, now: _Table, there: Collection[str]) -> None:
        """`there` are the columns left out before that were not dropped."""
        if now.row_filter != before.row_filter:
            _log.warning(
                "the row filter of %s in publication %s was changed: rows that it takes in or leaves out are told only"
                " when they change, %s",
                now, self.name, _MISSED,
            )  # fmt: skip
        if fresh := [name for number, name in now.left_out.items() if number not in before.left_out]:
            _log.warning(
                "publication %s leaves out %s of %s now (a list of its columns): a target keeps the values that it has,"
                " and new rows have none",
                self.name, some(fresh), now,
            )  # fmt: skip
        if back := [before.left_out[number] for number in there if number not in now.left_out]:
            _log.warning(
                "publication %s leaves out %s of %s no more: values from before come only with rows that change, %s",
                self.name, some(back), now, _MISSED,
            )  # fmt: skip

    def _compare_partitions(self, table: str, root: str, now: dict[str, _Partition]) -> None:
        before = self._partitions
        gone = [each.name for oid, each in before.items() if each.root == root and oid not in now]
        if gone:
            _log.warning(
                "%s: no partition of %s any more (detached, or dropped): no change tells of its rows, which stay in the"
                " target; to have them removed: `tailrace verify --repair`",
                some(sorted(gone)), table,
            )  # fmt: skip
        # One that was made where it is came empty: what was written to it later is told.
        came = [
            each.name
            for oid, each in now.items()
            if each.root == root and oid not in before and (each.joined or int(oid) <= self._newest)
        ]
        if came:
            _log.warning(
                "%s: attached to %s, with rows (if any) that no change tells of; for them: `tailrace verify --repair`",
                some(sorted(came)), table,
            )  # fmt: skip
