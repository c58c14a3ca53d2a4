"""Two databases with a pipeline between them, run until it is current as often as a test likes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg

from tailrace.contract import Transform
from tailrace.dead_letters import File
from tailrace.model import Limits
from tailrace.pipeline import Pipeline
from tailrace.sink.postgres import Postgres as Sink
from tailrace.source import Postgres as Source

SMALL = Limits(segment_bytes=8 << 10, batch_bytes_max=64 << 10, transaction_bytes_max=32 << 10)
"""Small enough that transactions of a test spill."""

Connection = psycopg.Connection[Any]


class Road:
    """One pipeline from database to database, and a session on either side."""

    def __init__(self, source: str, target: str, folder: Path, *transforms: Transform, **sink: Any) -> None:
        self.urls = (source, target)
        self.source: Connection = psycopg.connect(source, autocommit=True)
        self.target: Connection = psycopg.connect(target, autocommit=True)
        self.folder = folder
        name = psycopg.conninfo.conninfo_to_dict(source)["dbname"]
        self.make = lambda: Pipeline(
            Source(url=source, tables=["public.*"]),
            Sink(target, **sink),
            name=str(name),
            transforms=transforms,
            dead_letters=File(folder / "letters"),
            state_dir=folder,
            limits=SMALL,
        )

    def both(self, *statements: str) -> None:
        """Run statements at the source and at the target."""
        for statement in statements:
            self.source.execute(statement.encode())
            self.target.execute(statement.encode())

    def at_source(self, *statements: str) -> None:
        """Run statements at the source, in one transaction."""
        with self.source.transaction():
            for statement in statements:
                self.source.execute(statement.encode())

    def run(self) -> Pipeline:
        """Bring the target up to date."""
        pipeline = self.make()
        pipeline.run(until_current=True)
        return pipeline

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the target holds."""
        return self.target.execute(query.encode()).fetchall()

    def same(self, *tables: str) -> None:
        """Assert that these tables hold the same rows on both sides, to the letter."""
        for table in tables:
            query = f"SELECT t::text FROM {table} AS t ORDER BY 1".encode()
            wanted, found = (each.execute(query).fetchall() for each in (self.source, self.target))
            assert found == wanted, table

    def close(self) -> None:
        """Close both sessions."""
        self.source.close()
        self.target.close()
