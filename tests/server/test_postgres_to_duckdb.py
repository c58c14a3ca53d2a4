"""From a real server into DuckDB: every type, every kind of statement, and the transforms on the way."""

from __future__ import annotations

import hashlib
import hmac
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from tailrace import transform
from tailrace.contract import Transform
from tailrace.model import Limits
from tailrace.pipeline import Pipeline
from tailrace.sink import DuckDB
from tailrace.source import Postgres
from tests.unit.native.test_types import LINES

SMALL = Limits(segment_bytes=8 << 10, batch_bytes_max=64 << 10, transaction_bytes_max=32 << 10)
"""Small enough that transactions of a test spill."""
LONG = "x" * 20_000
"""Stored out of line, so that an update of another column does not send it."""


class Road:
    """One pipeline, run until it is current as often as a test likes."""

    def __init__(self, url: str, folder: Path, *transforms: Transform) -> None:
        self.target = folder / "target.duckdb"
        source = Postgres(url=url, tables=["public.*"])
        self._pipeline = lambda: Pipeline(
            source, DuckDB(str(self.target)), name="road", transforms=transforms, state_dir=folder, limits=SMALL
        )

    def run(self) -> None:
        """Bring the target up to date."""
        self._pipeline().run(until_current=True)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the target holds."""
        with duckdb.connect(str(self.target), read_only=True) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture
def source(database: str) -> Iterator[psycopg.Connection[Any]]:
    """A session on the source."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def test_every_type_arrives_by_snapshot_and_by_stream(
    database: str, source: psycopg.Connection[Any], tmp_path: Path
) -> None:
    lines = [line for line in LINES if line.server != "xml"]  # The server of the tests is built without it.
    source.execute("CREATE TYPE mood AS ENUM ('low', 'high')")
    for extension in ("citext", "hstore", "ltree"):
        source.execute(f"CREATE EXTENSION {extension}")
    names = [f"c{number}" for number in range(len(lines))]
    columns = ", ".join(f"{name} {line.server}" for name, line in zip(names, lines, strict=True))
    source.execute(f"CREATE TABLE every_type (id int PRIMARY KEY, {columns})")
    values = ", ".join(f"%s::text::{line.server}" for line in lines)
    insert, texts = f"INSERT INTO every_type VALUES (%s, {values})", [line.text for line in lines]
    source.execute(insert, [1, *texts])
    road = Road(database, tmp_path)
    road.run()
    source.execute(insert, [2, *texts])
    source.execute("INSERT INTO every_type (id) VALUES (3)")
    every = ", ".join(names)
    source.execute(f"UPDATE every_type SET ({every}) = (SELECT {every} FROM every_type WHERE id = 2) WHERE id = 3")
    source.execute("INSERT INTO every_type (id) VALUES (4)")
    road.run()
    for name, line in zip(names, lines, strict=True):
        found = road.rows(f"SELECT {name}::VARCHAR FROM public.every_type ORDER BY id")
        snapshot, stream, updated, null = (value for (value,) in found)
        assert snapshot is not None, line
        assert snapshot == stream == updated, line
        assert null is None
        if line.duckdb == "VARCHAR":
            assert snapshot == line.text


def test_a_random_history_leaves_equal_tables(database: str, source: psycopg.Connection[Any], tmp_path: Path) -> None:
    source.execute("CREATE TABLE left_one (a int, n int NOT NULL, long text, b text NOT NULL, PRIMARY KEY (b, a))")
    source.execute("CREATE TABLE full_one (id bigint PRIMARY KEY, n int, long text)")
    source.execute("ALTER TABLE full_one REPLICA IDENTITY FULL")
    road, chance = Road(database, tmp_path), random.Random(7)
    for _ in range(4):
        for _ in range(30):
            with source.transaction():
                for _ in range(chance.randrange(1, 40)):
                    _act(source, chance)
        road.run()
        for table, key in (("left_one", "b, a"), ("full_one", "id")):
            query = f"SELECT * FROM public.{table} ORDER BY {key}"
            assert sorted(road.rows(query)) == sorted(source.execute(query).fetchall()), table


def _act(source: psycopg.Connection[Any], chance: random.Random) -> None:
    id, other, n = chance.randrange(40), chance.randrange(40), chance.randrange(1000)
    left, full = {"a": id, "b": f"k{id % 5}"}, {"id": id}
    try:
        with source.transaction():
            match chance.randrange(20):
                case 0 if chance.randrange(6) == 0:
                    source.execute("TRUNCATE left_one" if n % 2 else "TRUNCATE full_one")
                case 0 | 1 | 2 | 3 | 4:
                    source.execute(
                        "INSERT INTO left_one VALUES (%(a)s, %(n)s, %(long)s, %(b)s)", left | {"n": n, "long": LONG}
                    )
                case 5 | 6 | 7:
                    source.execute(
                        "INSERT INTO full_one VALUES (%(id)s, %(n)s, %(long)s)", full | {"n": n, "long": LONG}
                    )
                case 8 | 9 | 10 | 11:
                    source.execute("UPDATE left_one SET n = %(n)s WHERE a = %(a)s AND b = %(b)s", left | {"n": n})
                case 12 | 13:
                    source.execute("UPDATE full_one SET n = %(n)s WHERE id = %(id)s", full | {"n": n})
                case 14:
                    source.execute(
                        "UPDATE left_one SET a = %(other)s WHERE a = %(a)s AND b = %(b)s", left | {"other": other}
                    )
                case 15:
                    source.execute("UPDATE full_one SET id = %(other)s WHERE id = %(id)s", full | {"other": other})
                case 16 | 17:
                    source.execute("DELETE FROM left_one WHERE a = %(a)s AND b = %(b)s", left)
                case 18:
                    source.execute("DELETE FROM full_one WHERE id = %(id)s", full)
                case _:
                    raise psycopg.Rollback
    except psycopg.errors.UniqueViolation:
        pass  # A subtransaction that is rolled back is part of the history too.


def test_selected_renamed_and_masked_rows_arrive(
    database: str, source: psycopg.Connection[Any], tmp_path: Path
) -> None:
    source.execute("CREATE TABLE people (email text PRIMARY KEY, age int NOT NULL, note text, born date)")
    source.execute("CREATE TABLE secrets (id int PRIMARY KEY)")
    source.execute("INSERT INTO people VALUES ('a@x', 30, 'long note', '2000-01-01'), ('b@x', 31, 'n', '2000-01-02')")
    road = Road(
        database,
        tmp_path,
        transform.Select(exclude_tables=("public.secrets",), exclude_columns=("*.born",)),
        transform.Mask(columns=("*.email",), method="hash", salt="pepper"),
        transform.Mask(columns=("*.note",), method="truncate", length=4),
        transform.Rename(names={"public.people": "crm.person", "public.people.age": "years"}),
    )
    road.run()
    source.execute("INSERT INTO secrets VALUES (1)")
    source.execute("UPDATE people SET email = 'c@x' WHERE email = 'a@x'")
    source.execute("DELETE FROM people WHERE email = 'b@x'")
    source.execute("INSERT INTO people VALUES ('d@x', 40, NULL, NULL)")
    road.run()
    hashed = {hmac.new(b"pepper", text, hashlib.sha256).hexdigest(): text for text in (b"c@x", b"d@x")}
    rows = [(hashed.get(email), years, note) for email, years, note in road.rows("FROM crm.person ORDER BY years")]
    assert rows == [(b"c@x", 30, "long"), (b"d@x", 40, None)]
    ours = "SELECT table_name FROM duckdb_tables() WHERE schema_name <> '_tailrace'"
    assert road.rows(ours) == [("person",)]


def test_a_pipeline_that_is_dropped_leaves_nothing_at_the_source_and_begins_anew(
    database: str, source: psycopg.Connection[Any], tmp_path: Path
) -> None:
    source.execute("CREATE TABLE kept (id int PRIMARY KEY)")
    source.execute("INSERT INTO kept VALUES (1)")
    target = DuckDB(tmp_path / "target.duckdb")
    pipeline = Pipeline(Postgres(url=database, tables=["public.*"]), target, name="road", state_dir=tmp_path)
    pipeline.run(until_current=True)
    assert pipeline.drop() == ["replication slot tailrace_road", "publication tailrace_road"]
    slots = "SELECT slot_name FROM pg_replication_slots WHERE database = current_database()"
    assert [source.execute(query).fetchall() for query in (slots, "SELECT pubname FROM pg_publication")] == [[], []]
    assert target.saved("road") == {}
    source.execute("UPDATE kept SET id = 2")
    pipeline.run(until_current=True)
    with duckdb.connect(str(target.path), read_only=True) as connection:
        assert connection.execute("SELECT id FROM public.kept").fetchall() == [(2,)]
    pipeline.drop()
