"""What the sink knows about itself, in the schema `_tailrace`: positions, epochs, target tables, replayed dead letters.

Never moves rows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tailrace.error import Fenced
from tailrace.model import Position
from tailrace.sink.duckdb.connection import connect_to_read, explained
from tailrace.sink.duckdb.sql import literal, qualified

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Ledger", "Record", "saved"]

_SCHEMA = """
CREATE SCHEMA IF NOT EXISTS {0};
CREATE TABLE IF NOT EXISTS {0}.positions (
    pipeline VARCHAR NOT NULL, lineage VARCHAR NOT NULL, epoch BIGINT NOT NULL, position VARCHAR,
    saved_at TIMESTAMP WITH TIME ZONE
);
CREATE TABLE IF NOT EXISTS {0}.targets (
    pipeline VARCHAR NOT NULL, "schema" VARCHAR NOT NULL, name VARCHAR NOT NULL, key VARCHAR[] NOT NULL,
    shared BOOLEAN NOT NULL, attempt VARCHAR, staged BOOLEAN NOT NULL, filling BOOLEAN NOT NULL,
    source_oid BIGINT, source VARCHAR, padded VARCHAR, columns VARCHAR
);
ALTER TABLE {0}.targets ADD COLUMN IF NOT EXISTS source_oid BIGINT;
ALTER TABLE {0}.targets ADD COLUMN IF NOT EXISTS source VARCHAR;
ALTER TABLE {0}.targets ADD COLUMN IF NOT EXISTS padded VARCHAR;
ALTER TABLE {0}.targets ADD COLUMN IF NOT EXISTS columns VARCHAR;
CREATE TABLE IF NOT EXISTS {0}.replayed (
    pipeline VARCHAR NOT NULL, lineage VARCHAR NOT NULL, position VARCHAR NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class Record:
    """What is remembered of a target table: a log of changes when `key` is empty; `shared` with others' rows.

    `attempt` is the snapshot that filled it last, which is not complete while it is `filling`; `staged` while the rows
    of that snapshot wait beside the table. `source` is the table that it holds, `source_oid` the source's number for
    that: None where there is none, or the one that comes next is to be taken over. `padded` are the columns that are
    filled up with blanks, each to its length (JSON), `columns` those that its source had last, each
    with its type (JSON): None where that is not known.
    """

    catalog: str
    schema: str
    name: str
    key: tuple[str, ...]
    shared: bool
    attempt: str | None = None
    staged: bool = False
    filling: bool = False
    source_oid: int | None = None
    source: str | None = None
    padded: str | None = None
    columns: str | None = None

    @property
    def target(self) -> str:
        """The table, as SQL."""
        return qualified(self.catalog, self.schema, self.name)

    @property
    def beside(self) -> tuple[str, str]:
        """Schema and name of the table where a snapshot waits."""
        return "_tailrace", f"snapshot of {self.schema}.{self.name}"

    @property
    def stage(self) -> str:
        """The table where a snapshot waits, as SQL."""
        return qualified(self.catalog, *self.beside)


def saved(path: Path, pipeline: str) -> Mapping[str, Position | None]:
    """What the file says of `pipeline`, read without changing it."""
    with explained(path), contextlib.closing(connect_to_read(path)) as connection:
        made = connection.execute("SELECT 1 FROM duckdb_tables() WHERE schema_name = '_tailrace'").fetchall()
        return Ledger(connection, pipeline).positions() if made else {}


class Ledger:
    """The rows of one pipeline in the schema `_tailrace`. Every method runs in the transaction of its caller."""

    def __init__(self, connection: DuckDBPyConnection, pipeline: str) -> None:
        self._connection = connection
        self._pipeline = pipeline
        self._epochs: dict[str, int] = {}
        [[self.catalog]] = connection.execute("SELECT current_database()").fetchall()
        """DuckDB's name of the file."""
        self._schema = qualified(self.catalog, "_tailrace")

    def create(self) -> None:
        """Make the schema and its tables where they are missing."""
        self._connection.execute(_SCHEMA.format(self._schema))

    def positions(self) -> dict[str, Position | None]:
        """Every lineage that was claimed, with its saved position."""
        rows = self._connection.execute(
            f"SELECT lineage, position FROM {self._schema}.positions WHERE pipeline = ?", [self._pipeline]
        ).fetchall()
        return {lineage: Position(lineage, text) if text is not None else None for lineage, text in rows}

    def claim(self, lineage: str) -> int:
        """Record a new epoch and return it; it counts once the caller, having committed, calls `hold`."""
        found = self._connection.execute(
            f"UPDATE {self._schema}.positions SET epoch = epoch + 1 WHERE pipeline = ? AND lineage = ? RETURNING epoch",
            [self._pipeline, lineage],
        ).fetchall()
        if found:
            return int(found[0][0])
        self._connection.execute(
            f"INSERT INTO {self._schema}.positions VALUES (?, ?, 1, NULL, NULL)", [self._pipeline, lineage]
        )
        return 1

    def hold(self, lineage: str, epoch: int) -> None:
        """From now on positions of `lineage` are saved under `epoch`."""
        self._epochs[lineage] = epoch

    def save(self, positions: Sequence[Position]) -> None:
        """Move the positions on; `Fenced` when another epoch lies there."""
        for position in positions:
            moved = self._connection.execute(
                f"UPDATE {self._schema}.positions SET position = ?, saved_at = now() "
                "WHERE pipeline = ? AND lineage = ? AND epoch = ? RETURNING epoch",
                [position.text, self._pipeline, position.lineage, self._epochs.get(position.lineage, 0)],
            ).fetchall()
            if not moved:
                raise self._fenced(position.lineage)

    def move(self, lineage: str, position: Position) -> int:
        """Save `position` in place of `lineage`; returns the epoch, as `claim` does; `Fenced` when it is another's."""
        epoch = self._epochs.get(lineage, 0)
        moved = self._connection.execute(
            f"UPDATE {self._schema}.positions SET lineage = ?, position = ?, saved_at = now() "
            "WHERE pipeline = ? AND lineage = ? AND epoch = ? RETURNING epoch",
            [position.lineage, position.text, self._pipeline, lineage, epoch],
        ).fetchall()
        if not moved:
            raise self._fenced(lineage)
        return epoch

    def _fenced(self, lineage: str) -> Fenced:
        return Fenced(
            f"another process has claimed {lineage} of the pipeline {self._pipeline!r} since",
            hint="let that one go on; this one stops",
        )

    def replayed(self) -> set[Position]:
        """Dead letters that were written, and may still be parked."""
        rows = self._connection.execute(
            f"SELECT lineage, position FROM {self._schema}.replayed WHERE pipeline = ?", [self._pipeline]
        ).fetchall()
        return {Position(lineage, text) for lineage, text in rows}

    def remember_replayed(self, positions: Sequence[Position]) -> None:
        """These dead letters are written."""
        self._connection.execute(
            f"INSERT INTO {self._schema}.replayed SELECT ?, unnest(?::VARCHAR[]), unnest(?::VARCHAR[])",
            [self._pipeline, *_columns(positions)],
        )

    def forget_replayed(self, positions: Sequence[Position]) -> None:
        """These are parked no longer: nobody will offer them again."""
        self._connection.execute(
            f"DELETE FROM {self._schema}.replayed WHERE pipeline = ? AND (lineage, position) IN "
            "(SELECT unnest(list_zip(?::VARCHAR[], ?::VARCHAR[])))",
            [self._pipeline, *_columns(positions)],
        )

    def forget(self) -> None:
        """Remove every claim and position; target tables and what is known of them stay, but not whose they were."""
        for table in ("positions", "replayed"):
            self._connection.execute(f"DELETE FROM {self._schema}.{table} WHERE pipeline = ?", [self._pipeline])
        forget = f"UPDATE {self._schema}.targets SET source_oid = NULL, source = NULL WHERE pipeline = ?"
        self._connection.execute(forget, [self._pipeline])

    def anew(self, schema: str, name: str) -> str:
        """The statement after which a table is taken for the one that comes next under its name."""
        return (
            f"UPDATE _tailrace.targets SET source_oid = NULL WHERE pipeline = {literal(self._pipeline)}"
            f' AND "schema" = {literal(schema)} AND name = {literal(name)}'
        )

    def records(self) -> list[Record]:
        """The target tables of this pipeline."""
        found = self._connection.execute(
            # All that there is: a file of an earlier release, opened to be read only, lacks the last ones.
            f"SELECT * EXCLUDE (pipeline) FROM {self._schema}.targets WHERE pipeline = ?",
            [self._pipeline],
        )
        names = [name for name, *_ in found.description or ()]
        cells = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
        return [Record(self.catalog, key=tuple(cell.pop("key")), **cell) for cell in cells]

    def record(self, record: Record) -> None:
        """Remember this of its table, in place of what was known."""
        self._connection.execute(
            f'DELETE FROM {self._schema}.targets WHERE pipeline = ? AND "schema" = ? AND name = ?',
            [self._pipeline, record.schema, record.name],
        )
        self._connection.execute(
            f'INSERT INTO {self._schema}.targets (pipeline, "schema", name, key, shared, attempt, staged, filling,'
            " source_oid, source, padded, columns) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                self._pipeline,
                record.schema,
                record.name,
                list(record.key),
                record.shared,
                record.attempt,
                record.staged,
                record.filling,
                record.source_oid,
                record.source,
                record.padded,
                record.columns,
            ],
        )


def _columns(positions: Sequence[Position]) -> tuple[list[str], list[str]]:
    return [position.lineage for position in positions], [position.text for position in positions]
