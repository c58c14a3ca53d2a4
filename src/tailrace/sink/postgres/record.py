"""What a pipeline remembers of the tables that it fills, in `tailrace.target`. Never touches those tables.

Every method runs in the transaction of its caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg.types.json import Jsonb

from tailrace.dialect.postgres.fault import told
from tailrace.dialect.postgres.session import Connection, fetch
from tailrace.sink.postgres import query

__all__ = ["Record", "Records"]

_DOING = "read what is known of the target tables"


@dataclass(frozen=True, slots=True)
class Record:
    """A target table by its name: `columns` are the source's, with its types, and `key` is its key, as seen last.

    `attempt` is the snapshot that filled it last, `complete` unless that was interrupted; `shared` with others' rows,
    so that a snapshot waits beside it until it is complete. `source` is the table that it holds.
    """

    schema: str
    name: str
    key: tuple[str, ...]
    columns: Mapping[str, str]
    shared: bool = False
    attempt: str | None = None
    complete: bool = True
    source: str = ""


class Records:
    """The rows of one pipeline."""

    def __init__(self, connection: Connection, pipeline: str) -> None:
        self._connection = connection
        self._pipeline = pipeline
        self._known: dict[tuple[str, str], Record] | None = None

    def roll_back(self) -> None:
        """Read again what a transaction that failed may have written."""
        self._known = None

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
                },
            )
        self._all()[record.schema, record.name] = record

    def _all(self) -> dict[tuple[str, str], Record]:
        if self._known is None:
            self._create()
            rows = fetch(self._connection, query.load("record_all"), {"pipeline": self._pipeline}, doing=_DOING)
            records = [Record(s, n, tuple(key), columns, *rest) for s, n, key, columns, *rest in rows]
            self._known = {(record.schema, record.name): record for record in records}
        return self._known

    def _create(self) -> None:
        """Make the table where it is missing; a role that may not create finds it made."""
        [[made]] = fetch(self._connection, "SELECT to_regclass('tailrace.target') IS NOT NULL", doing=_DOING)
        if not made:
            with told("create the table tailrace.target in the target"):
                self._connection.execute(query.load("record").encode())
