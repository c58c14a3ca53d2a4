"""Applies many changes of one table as sets: they are copied into a temporary table and joined. Never decides when.

The temporary table is made once a session and emptied at each commit. Its columns have the types of the target but none
of its constraints.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from psycopg import sql

from tailrace.sink.postgres.statements import equal, in_ours, literals, names
from tailrace.sink.postgres.target import Target

__all__ = ["Stage", "copy_into", "lock"]

_FORMAT = {False: sql.SQL(""), True: sql.SQL(" (FORMAT binary)")}


def lock(target: Target) -> sql.Composed:
    """What COPY locks anyway, before it."""
    return sql.SQL("LOCK TABLE ONLY {} IN ROW EXCLUSIVE MODE").format(target.name)


def copy_into(target: Target, *, binary: bool) -> sql.Composed:
    """Rows straight into the target, constants at the end of each."""
    return sql.SQL("COPY {} ({}) FROM STDIN{}").format(target.name, names(target), _FORMAT[binary])


@dataclass(frozen=True, slots=True)
class Stage:
    """The temporary table of a target."""

    target: Target
    number: int

    @staticmethod
    def fits(target: Target) -> bool:
        """Whether a table can have the target's columns and two more (`MaxHeapAttributeNumber` is 1600)."""
        return len(target.columns) + 2 <= 1600

    @property
    def name(self) -> sql.Identifier:
        """The temporary table."""
        return sql.Identifier("pg_temp", f"tailrace_stage_{self.number}")

    def create(self) -> sql.Composed:
        """Make it."""
        typed = (
            sql.SQL("{} {}").format(_cell(number), sql.SQL(column.type))
            for number, column in enumerate(self.target.columns)
        )
        columns = sql.SQL(", ").join([sql.SQL('op "char", unsent int2'), *typed])
        return sql.SQL("CREATE TEMPORARY TABLE {} ({}) ON COMMIT DELETE ROWS").format(
            sql.Identifier(f"tailrace_stage_{self.number}"), columns
        )

    def empty(self) -> sql.Composed:
        """Forget what is in it."""
        return sql.SQL("TRUNCATE {}").format(self.name)

    def copy(self, *, binary: bool) -> sql.Composed:
        """Fill it."""
        return sql.SQL("COPY {} FROM STDIN{}").format(self.name, _FORMAT[binary])

    def delete(self) -> sql.Composed:
        """Remove the rows of op d."""
        return sql.SQL("DELETE FROM {} AS t USING {} AS s WHERE s.op = 'd' AND {}").format(
            self.target.name, self.name, self._match()
        )

    def update(self, unsent: Iterable[str], place: int) -> sql.Composed:
        """Change the rows of op u of which these columns were not sent, the set at this place."""
        left = {*unsent}
        assigned = [
            sql.SQL("{} = s.{}").format(sql.Identifier(column.name), _cell(number))
            for number, column in enumerate(self.target.columns)
            if column.source not in left and column.name not in self.target.key
        ]
        if not assigned:  # Only that the row is there matters; its key may be one that no update can set.
            return sql.SQL("SELECT FROM {} AS t, {} AS s WHERE s.op = 'u' AND s.unsent = {} AND {}").format(
                self.target.name, self.name, sql.Literal(place), self._match()
            )
        return sql.SQL("UPDATE {} AS t SET {} FROM {} AS s WHERE s.op = 'u' AND s.unsent = {} AND {}").format(
            self.target.name, sql.SQL(", ").join(assigned), self.name, sql.Literal(place), self._match()
        )

    def insert(self) -> sql.Composed:
        """Add the rows of op c."""
        return sql.SQL("{} WHERE s.op = 'c'").format(self._insert())

    def add_missing(self) -> sql.Composed:
        """Add the rows of op u that the target does not have and that were sent whole."""
        return sql.SQL("{} WHERE s.op = 'u' AND s.unsent = 0 AND NOT EXISTS (SELECT FROM {} AS t WHERE {})").format(
            self._insert(), self.target.name, self._match()
        )

    def _insert(self) -> sql.Composed:
        cells = [sql.SQL("s.{}").format(_cell(number)) for number in range(len(self.target.columns))]
        return sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {} AS s").format(
            self.target.name, names(self.target), sql.SQL(", ").join([*cells, *literals(self.target)]), self.name
        )

    def _match(self) -> sql.Composed:
        key = [
            equal(self.target, column.name, sql.SQL("s.{}").format(_cell(number)))
            for number, column in enumerate(self.target.columns)
            if column.name in self.target.key
        ]
        return sql.SQL(" AND ").join([*key, *in_ours(self.target)])


def _cell(number: int) -> sql.Identifier:
    return sql.Identifier(f"c{number}")
