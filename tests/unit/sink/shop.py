"""A DuckDB sink in a temporary file, for the tests of that sink."""

from pathlib import Path
from typing import Any

import duckdb

from tailrace.model import Batch, Limits
from tailrace.sink import DuckDB
from tailrace.sink.duckdb.writer import DuckDBWriter
from tests.unit.sink.feed import LINEAGE, Feed


class Shop:
    """A sink in a temporary file, opened again whenever the test looks into it."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.path = path
        self.options = options
        self.feed = Feed()
        self._writer: DuckDBWriter | None = None

    @property
    def writer(self) -> DuckDBWriter:
        if self._writer is None:
            self._writer = DuckDB(self.path, **self.options).open("shop", Limits())
            self._writer.claim(LINEAGE)
        return self._writer

    def write(self, *batches: Batch) -> None:
        for batch in batches:
            self.writer.write(batch)

    def crash(self) -> None:
        """What a kill leaves: nothing but what was committed. (`tests/crash` kills for real.)"""
        self.close()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        self.close()
        with duckdb.connect(str(self.path)) as connection:
            return connection.execute(statement).fetchall()

    def rows(self, table: str = "public.orders", columns: str = "id, note") -> list[tuple[Any, ...]]:
        return self.sql(f"SELECT {columns} FROM {table} ORDER BY ALL")
