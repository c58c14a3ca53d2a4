"""What a pipeline remembers of the tables that it fills, in `tailrace.target`. Never touches those tables.

Every method runs in the transaction of its caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import sql
from psycopg.types.json import Jsonb

from tailrace.dialect.postgres.fault import told
from tailrace.dialect.postgres.session import Connection, fetch, statement_text
from tailrace.sink.postgres import query

__all__ = ["ADD_OID", "Record", "Records", "State", "read"]

ADD_OID = "ALTER TABLE tailrace.target ADD COLUMN IF NOT EXISTS source_oid oid"
"""What a table of records lacks that an earlier release made."""

_DOING = "read what is known of the target tables"


@dataclass(frozen=True, slots=True)
class Record:
    """A target table by its name: `columns` are the source's, with its types, and `key` is its key, as seen last.

    `attempt` is the snapshot that filled it last, `complete` unless that was interrupted; `shared` with others' rows,
    so that a snapshot waits beside it until it is complete. `source` is the table that it holds, `source_oid` the
    source's number for that: None where there is none, or the one that comes next is to be taken over.
    """

    schema: str
    name: str
    key: tuple[str, ...]
    columns: Mapping[str, str]
    shared: bool = False
    attempt: str | None = None
    complete: bool = True
    source: str = ""
    source_oid: int | None = None


@dataclass(frozen=True, slots=True)
class State:
    """Whether the table of records is `made` and has all its columns (`whole`), or the role may mend it (`owned`)."""

    made: bool
    whole: bool
    owned: bool

    @classmethod
    def of(cls, connection: Connection) -> State:
        """What stands in the target."""
        [row] = fetch(connection, query.load("record_state"), doing=_DOING)
        return cls(*row)


class Records:
    """The rows of one pipeline."""

    def __init__(self, connection: Connection, pipeline: str) -> None:
        self._connection = connection
        self._pipeline = pipeline
        self._known: dict[tuple[str, str], Record] | None = None

    def create(self) -> None:
        """Make the table, or the column that one of an earlier release lacks; a role that may not finds them made."""
        state = State.of(self._connection)
        if not state.made:
            with told("create the table tailrace.target in the target"):
                self._connection.execute(query.load("record").encode())
        elif not state.whole:
            with told("give the table tailrace.target its column source_oid"):
                self._connection.execute(ADD_OID.encode())

    def forget(self) -> None:
        """What comes next under the names of these tables is not held against what filled them."""
        with told("forget the tables of the source in the target"):
            self._connection.execute(
                "UPDATE tailrace.target SET source_oid = NULL WHERE pipeline = %s", [self._pipeline]
            )

    def anew(self, schema: str, name: str) -> str:
        """The statement after which a table is taken for the one that comes next under its name."""
        statement = sql.SQL(
            "UPDATE tailrace.target SET source_oid = NULL WHERE pipeline = {} AND table_schema = {} AND table_name = {}"
        )
        return statement_text(statement.format(*map(sql.Literal, (self._pipeline, schema, name))))

    def roll_back(self) -> None:
        """Read again what a transaction that failed may have written."""
        self._known = None

    def read_again(self, schema: str, name: str) -> None:
        """Learn what another member of our group has written of one table: all of them are too many for each."""
        if self._known is not None:
            self._known.pop((schema, name), None)
            self._known.update(read(self._connection, self._pipeline, (schema, name)))

    def get(self, schema: str, name: str) -> Record | None:
        """What is known of a table."""
        return self._all().get((schema, name))

    def incomplete(self) -> list[Record]:
        """Tables whose snapshot is not complete."""
        return [record for record in self._all().values() if not record.complete]

    def put(self, record: Record) -> None:
        """Keep `record` in place of what was known of its table."""
        if self._all().get((record.schema, record.name)) == record:
            return
        with told("remember a target table"):
            self._connection.execute(
                query.load("record_put").encode(),
                {
                    "pipeline": self._pipeline,
                    "schema": record.schema,
                    "name": record.name,
                    "key": list(record.key),
                    "columns": Jsonb(dict(record.columns)),
                    "shared": record.shared,
                    "attempt": record.attempt,
                    "complete": record.complete,
                    "source": record.source,
                    "source_oid": record.source_oid,
                },
            )
        self._all()[record.schema, record.name] = record

    def _all(self) -> dict[tuple[str, str], Record]:
        if self._known is None:
            self._known = read(self._connection, self._pipeline)
        return self._known


def read(connection: Connection, pipeline: str, table: tuple[str, str] | None = None) -> dict[tuple[str, str], Record]:
    """What a pipeline remembers of all its tables, or of the one with this schema and name."""
    schema, name = table or (None, None)
    params = {"pipeline": pipeline, "schema": schema, "name": name}
    rows = fetch(connection, query.load("records"), params, doing=_DOING)
    return {(s, n): Record(s, n, tuple(key), columns, *rest) for s, n, key, columns, *rest in rows}
