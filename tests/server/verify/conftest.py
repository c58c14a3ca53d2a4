"""Fixtures for tests of verify: a stand for each kind of target, and how to plant differences behind its back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from tailrace.contract import Transform
from tailrace.sink import DuckDB
from tailrace.sink.postgres import Postgres as PostgresSink
from tests.server.verify.stand import Stand
from tests.waiting import until

Plant = Callable[..., None]


class Target:
    """One kind of target: `make` a stand that writes to it, `plant` statements in it that both products understand."""

    def __init__(self, kind: str, source: str, target: str, folder: Path) -> None:
        self.kind = kind
        self._source = source
        self._url = target
        self._folder = folder
        self._stands: list[Stand] = []

    def make(self, *transforms: Transform) -> Stand:
        """A stand on the source's database; `start` it."""
        sink = DuckDB(str(self._folder / "target.duckdb")) if self.kind == "duckdb" else PostgresSink(self._url)
        self._stands.append(Stand(self._source, sink, self._folder, *transforms))
        return self._stands[-1]

    def prepare(self, *statements: str) -> None:
        """Run statements at the source, and at a target that wants its tables made."""
        urls = [self._source] + [self._url] * (self.kind == "postgres")
        for url in urls:
            with psycopg.connect(url, autocommit=True) as connection:
                for statement in statements:
                    connection.execute(statement.encode())

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a PostgreSQL target has."""
        with psycopg.connect(self._url) as connection:
            return connection.execute(query.encode()).fetchall()

    def plant(self, *statements: str) -> None:
        """Change the target behind the pipeline's back; one that collides with the pipeline is tried again."""
        if self.kind == "postgres":
            with psycopg.connect(self._url, autocommit=True) as connection:
                for statement in statements:
                    connection.execute(statement.encode())
            return
        with duckdb.connect(str(self._folder / "target.duckdb")) as session:
            for statement in statements:
                self._plant(session, statement)

    @staticmethod
    def _plant(session: Any, statement: str) -> None:
        def planted() -> bool:
            try:
                session.execute(statement)
            except duckdb.TransactionException:
                return False
            return True

        until(planted, f"for a moment when the pipeline is not in the way of {statement}")

    def close(self) -> None:
        """End every stand."""
        for stand in self._stands:
            stand.close()


@pytest.fixture(params=["duckdb", "postgres"])
def target(request: pytest.FixtureRequest, database: str, target_database: str, tmp_path: Path) -> Iterator[Target]:
    """Each kind of target."""
    made = Target(request.param, database, target_database, tmp_path)
    yield made
    made.close()
