"""Removes rows that an earlier attempt of a snapshot left, and keeps a snapshot beside rows of others until it is
complete. Never touches what is not its pipeline's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from psycopg import errors, sql

from tailrace.dialect.postgres.equality import equal
from tailrace.dialect.postgres.fault import told
from tailrace.dialect.postgres.session import Connection, run, statement_text
from tailrace.sink.postgres import ddl
from tailrace.sink.postgres.present import Present

__all__ = ["Clearing"]

_IN_THE_WAY = (errors.LockNotAvailable, errors.FeatureNotSupported, errors.InsufficientPrivilege)
"""Somebody uses the table; a foreign key refers to it; the role may delete, but not truncate."""


class Clearing:
    """The rows of one pipeline: all of a table, or those that have its `constants`."""

    def __init__(self, connection: Connection, pipeline: str, constants: Mapping[str, str]) -> None:
        self._connection = connection
        self._constants = constants
        self._mark = hashlib.sha256(pipeline.encode()).hexdigest()[:8]

    def holds_rows(self, present: Present) -> bool:
        """Whether there is any row that would be ours."""
        statement = sql.SQL("SELECT EXISTS (SELECT FROM {}{})").format(present.name, self._where(present))
        with told(f"look into {present}"):
            [[found]] = self._connection.execute(statement).fetchall()
        return bool(found)

    def clear(self, present: Present) -> None:
        """Remove our rows.

        TRUNCATE costs nothing, but takes a lock that keeps readers out and waits for those who are in: it is used when
        it gets that lock at once, and DELETE otherwise, which disturbs nobody.
        """
        if not self._constants and self._truncate(present):
            return
        run(self._connection, self._delete(present), f"clear {present}")

    def statement(self, present: Present) -> str:
        """What removes our rows."""
        return statement_text(self._delete(present))

    def _delete(self, present: Present) -> sql.Composed:
        return sql.SQL("DELETE FROM {}{}").format(present.name, self._where(present))

    def _truncate(self, present: Present) -> bool:
        try:
            with told(f"clear {present}"), self._connection.transaction():
                try:
                    # Alone, the lock could be had by queueing behind readers; others would queue behind us.
                    self._connection.execute(
                        sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE NOWAIT").format(present.name)
                    )
                    self._connection.execute(sql.SQL("TRUNCATE {}").format(present.name))
                except _IN_THE_WAY as error:
                    raise _Held from error
        except _Held:
            return False
        return True

    def forget(self, present: Present, *, shared: bool) -> None:
        """Remove what an attempt that was given up left of a table."""
        if shared:
            self._drop_stage(present)
        else:
            self.clear(present)

    def stage(self, present: Present) -> sql.Composed:
        """The table in which a snapshot waits beside `present`."""
        return ddl.qualified("tailrace", f"snapshot_{present.oid}_{self._mark}")

    def make_stage(self, present: Present, columns: Sequence[str]) -> None:
        """An empty table with these columns of `present` and no constraint, in which a snapshot waits."""
        self._drop_stage(present)
        statement = sql.SQL("CREATE TABLE {} AS SELECT {} FROM {} WITH NO DATA").format(
            self.stage(present), self._written(present, columns), present.name
        )
        run(self._connection, statement, f"make a table beside {present}")

    def merge(self, present: Present, columns: Sequence[str], key: Sequence[str]) -> None:
        """Put the snapshot that waited into its table, in place of rows of the same key, and drop where it waited."""
        doing = f"put the snapshot into {present}"
        stage = self.stage(present)
        if key:
            match = sql.SQL(" AND ").join(
                equal(sql.Identifier("t", name), sql.Identifier("s", name), present.equals(name)) for name in key
            )
            statement = sql.SQL("DELETE FROM {} AS t USING {} AS s WHERE {}").format(present.name, stage, match)
            run(self._connection, statement, doing)
        names = self._written(present, columns)
        statement = sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {}").format(
            present.name, names, names, stage
        )
        run(self._connection, statement, doing)
        self._drop_stage(present)

    def _written(self, present: Present, columns: Sequence[str]) -> sql.Composed:
        written = [name for name in columns if not present.columns[name].generated]
        return sql.SQL(", ").join(map(sql.Identifier, [*self._constants, *written]))

    def _drop_stage(self, present: Present) -> None:
        run(
            self._connection,
            sql.SQL("DROP TABLE IF EXISTS {}").format(self.stage(present)),
            f"drop the table beside {present}",
        )

    def _where(self, present: Present) -> sql.Composed:
        if not self._constants:
            return sql.SQL("").format()
        match = [
            equal(sql.Identifier(name), sql.Literal(value), present.equals(name))
            for name, value in self._constants.items()
        ]
        return sql.SQL(" WHERE {}").format(sql.SQL(" AND ").join(match))


class _Held(Exception):
    """TRUNCATE is not to be had."""
