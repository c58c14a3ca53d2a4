"""Verify from end to end on every PostgreSQL that Tailrace supports, 14 to 18, as the source and as the target."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.postgres import Server
from tests.conftest import fresh
from tests.server.verify.conftest import Target
from tests.server.verify.stand import Stand, found, keys

ROWS = 3000
TABLE = """CREATE TABLE items (
    id bigint PRIMARY KEY, label text, price numeric, share float8, stamp timestamptz, raw bytea, document json,
    tags text[]
)"""
FILL = f"""INSERT INTO items SELECT i, 'é' || i, i / 7.0, i / 8.0,
    timestamptz '2026-01-01 00:00:00+00' + i * interval '1 s',
    decode(md5(i::text), 'hex'), '{{"a": 1}}', ARRAY['a', NULL] FROM generate_series(1, {ROWS}) AS i"""
NAMES = (
    "CREATE TABLE names (name text PRIMARY KEY, n int)",
    "INSERT INTO names SELECT 'n' || i, i FROM generate_series(1, 500) i",
)


@pytest.fixture(params=["duckdb", "postgres"])
def target(
    request: pytest.FixtureRequest, every_postgres: Server, every_database: str, tmp_path: Path
) -> Iterator[Target]:
    """Each kind of target; a PostgreSQL one is on the source's server."""
    with fresh(every_postgres) as url:
        made = Target(request.param, every_database, url, tmp_path)
        yield made
        made.close()


@pytest.fixture
def stand(target: Target) -> Stand:
    """A pipeline that has its tables in the target, and streams."""
    made = target.make()
    for statement in (TABLE, FILL, *NAMES):
        made.source.execute(statement.encode())
    made.start()
    return made


def test_planted_differences_are_found_and_mended(stand: Stand, target: Target) -> None:
    assert [(table.rows, table.equal, table.obstacle) for table in stand.verify().tables] == [
        (ROWS, ROWS, None), (500, 500, None),
    ]  # fmt: skip
    target.plant(
        "UPDATE public.items SET label = 'x' WHERE id = 1",
        "UPDATE public.items SET stamp = stamp + INTERVAL '1 microsecond' WHERE id = 1500",
        "DELETE FROM public.items WHERE id IN (2, 3000)",
        "INSERT INTO public.items (id, label) VALUES (-5, 'no')",
        "DELETE FROM public.names WHERE name = 'n7'",
    )
    items, names = stand.verify().tables
    assert found(items) == {"different": keys(1, 1500), "missing": keys(2, 3000), "extra": keys(-5)}
    assert (items.equal, found(names)) == (ROWS - 4, {"missing": {("n7",)}})
    mended = stand.verify(repair=True)
    assert [(table.repaired, table.differences, table.unsettled) for table in mended.tables] == [
        (5, 0, 0), (1, 0, 0),
    ]  # fmt: skip
    assert [table.equal for table in stand.verify(remote=True).tables] == [ROWS, 500]
