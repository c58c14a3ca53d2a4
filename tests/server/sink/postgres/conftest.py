"""Fixtures for tests of the PostgreSQL sink on real servers."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from servers import postgres
from tailrace.sink.postgres import apply
from tests.origin import drop_origins
from tests.server.sink.postgres.road import Road
from tests.server.sink.postgres.two_way import Pair

MakeRoad = Callable[..., Road]


@pytest.fixture
def make_road(database: str, target_database: str, tmp_path: Path) -> Iterator[MakeRoad]:
    """Makes roads from `database` to `target_database`."""
    made: list[Road] = []

    def make(*transforms: Any, **sink: Any) -> Road:
        made.append(Road(database, target_database, tmp_path, *transforms, **sink))
        return made[-1]

    yield make
    for road in made:
        road.close()


@pytest.fixture
def road(make_road: MakeRoad) -> Road:
    """A road with the default options."""
    return make_road()


@pytest.fixture(params=["rows", "bulk"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test once with every change as a statement, and once with every batch in bulk."""
    monkeypatch.setattr(apply, "ROWS_MAX", 1 << 30 if request.param == "rows" else 0)
    monkeypatch.setattr(apply, "WIDE_NBYTES", 1 << 40)
    return str(request.param)


@pytest.fixture
def pair(database: str, target_database: str, postgres18: postgres.Server, tmp_path: Path) -> Iterator[Pair]:
    """Two databases with the table `notes`, and a role that owns it at the left."""
    role = f"writer_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(database, autocommit=True) as left, psycopg.connect(target_database, autocommit=True) as right:
        left.execute(f"CREATE ROLE {role} LOGIN REPLICATION".encode())
        for side in (left, right):
            side.execute(b"CREATE TABLE notes (id int PRIMARY KEY, n int)")
            side.execute(f"CREATE SCHEMA tailrace AUTHORIZATION {role}".encode())
        left.execute(f"ALTER TABLE notes OWNER TO {role}".encode())
        left.execute(f"GRANT CREATE ON DATABASE {left.info.dbname} TO {role}".encode())
        yield Pair(left, right, (database, target_database), role, tmp_path)
        for side in (left, right):
            drop_origins(side, side.info.dbname)  # no session is left that could use a slot
            side.execute(
                b"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
                b" WHERE database = current_database()"
            )
            side.execute(f"REASSIGN OWNED BY {role} TO CURRENT_USER".encode())
            side.execute(f"DROP OWNED BY {role}".encode())
        left.execute(f"DROP ROLE {role}".encode())
