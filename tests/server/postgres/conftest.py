"""Fixtures for tests of the PostgreSQL source on real servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import psycopg
import pytest

from servers import postgres
from tailrace.source.postgres import walsender
from tests.server.postgres.reading import Make, Reading, Sql


@pytest.fixture
def start_standby(start_postgres: object) -> Iterator[Callable[..., postgres.Server]]:
    """Starts a standby of a server of the test's own: `start_standby(primary, settings={...})`."""
    with ExitStack() as stack:
        yield lambda primary, **options: stack.enter_context(postgres.standby(primary, **options))


@pytest.fixture
def reading(start_postgres: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes a `Reading` of a database; whatever is open at the end of the test is closed, before any server is.

    One that is closed has let go of its slot, however slow the machine.
    """
    monkeypatch.setattr(walsender, "_FAREWELL_S", 60.0)
    made: list[Reading] = []

    def make(url: str, name: str = "", **options: Any) -> Reading:
        # Slot names are unique over a server that other tests share, database names are too.
        made.append(Reading(url, name or psycopg.conninfo.conninfo_to_dict(url)["dbname"], **options))
        return made[-1]

    yield make
    for each in made:
        with suppress(Exception):
            each.close()


@pytest.fixture
def sql() -> Iterator[Sql]:
    """Runs statements on a database, each call in one transaction; returns the rows of the last."""
    connections: dict[str, psycopg.Connection[Any]] = {}

    def run(url: str, *statements: str) -> list[tuple[Any, ...]]:
        if url not in connections or not _lives(connections[url]):
            connections[url] = psycopg.connect(url, autocommit=True)
        connection = connections[url]
        with connection.transaction():
            for statement in statements:
                cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []

    yield run
    for connection in connections.values():
        connection.close()


def _lives(connection: psycopg.Connection[Any]) -> bool:
    with suppress(psycopg.OperationalError):
        connection.execute("SELECT 1")
        return True
    return False
