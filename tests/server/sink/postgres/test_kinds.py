"""Every type keeps every value, through snapshot and stream, and has the same name at the target."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from servers import postgres
from tailrace.model import Limits
from tailrace.sink.postgres import Postgres, apply, bulk
from tailrace.sink.postgres.stage import Stage
from tailrace.sink.postgres.target import Target
from tests.server.sink.postgres.kinds import BINARY, FULL, KINDS, SETUP
from tests.server.sink.postgres.road import Road
from tests.unit.sink.feed import LINEAGE, Feed

Kinds = tuple[tuple[str, tuple[str, ...]], ...]
_NAMES = (
    "plain",
    "UPPER case",
    'quo"ted',
    "dot.ted",
    "Größe ✓",
    "per%cent %s {}",
    "select",
    "\\back 'single' $1",
    "é" * 31 + "x",
)
_SHAPE = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, col_description(a.attrelid, a.attnum)
FROM pg_attribute AS a WHERE a.attrelid = 'kinds'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_RANDOM = """
INSERT INTO kinds SELECT i, (random() - 0.5)::numeric * 10::numeric ^ (random() * 60 - 30)::int,
    ((random() - 0.5) * 10 ^ (random() * 60 - 30)::int)::float4, (random() - 0.5) * 10 ^ (random() * 600 - 300)::int,
    date '0001-01-01 BC' + (random() * 2000000)::int, timestamp '2000-01-01' + (random() - 0.3) * interval '6000 years',
    timestamptz '2000-01-01 00:00:00+00' + (random() - 0.3) * interval '6000 years',
    justify_interval((random() - 0.5) * interval '1000 years')
FROM generate_series({first}, {last}) AS i
"""
_MD5 = "SELECT k.id, md5(k::text), k::text FROM kinds AS k ORDER BY k.id"


def _fill(road: Road, kinds: Kinds, *, first: int) -> None:
    """One row for the first value of each type, one for the second, …, and one of nulls."""
    for place in range(max(len(values) for _, values in kinds)):
        cells = ", ".join("%s" for _ in kinds)
        row = [values[min(place, len(values) - 1)] for _, values in kinds]
        road.source.execute(f"INSERT INTO kinds VALUES ({first + place}, {cells})".encode(), row)
    road.source.execute(f"INSERT INTO kinds (id) VALUES ({first + 99})".encode())


def _travel(road: Road, kinds: Kinds) -> None:
    columns = ", ".join(f"c{number} {type}" for number, (type, _) in enumerate(kinds))
    road.at_source(f"CREATE TABLE kinds (id int PRIMARY KEY, {columns})")
    _fill(road, kinds, first=0)
    road.run()
    _fill(road, kinds, first=200)
    every = ", ".join(f"c{number}" for number in range(len(kinds)))
    road.at_source(f"UPDATE kinds SET ({every}) = (SELECT {every} FROM kinds WHERE id = 201) WHERE id = 99")
    road.run()
    assert road.rows(_SHAPE) == road.source.execute(_SHAPE.encode()).fetchall()
    wanted, found = road.source.execute(_MD5.encode()).fetchall(), road.rows(_MD5)
    assert [row[:2] for row in found] == [row[:2] for row in wanted], _first_difference(kinds, wanted, found)


def _first_difference(kinds: Kinds, wanted: list[tuple[object, ...]], found: list[tuple[object, ...]]) -> str:
    return next((f"{ours} is not {theirs}" for ours, theirs in zip(found, wanted, strict=False) if ours != theirs), "")


@pytest.mark.usefixtures("path")
def test_every_type_keeps_every_value_through_snapshot_and_stream(road: Road) -> None:
    road.both(*(statement for statement in SETUP if "EXTENSION" in statement))
    road.at_source(*(statement for statement in SETUP if "EXTENSION" not in statement))
    _travel(road, KINDS)


@pytest.fixture
def formats(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Sends every batch in bulk, and is filled with whether each COPY was binary."""
    seen: list[bool] = []
    into, stage = bulk.copy_into, Stage.copy

    def copy_into(target: Target, *, binary: bool) -> sql.Composed:
        seen.append(binary)
        return into(target, binary=binary)

    def copy(self: Stage, *, binary: bool) -> sql.Composed:
        seen.append(binary)
        return stage(self, binary=binary)

    monkeypatch.setattr(apply, "ROWS_MAX", 0)
    monkeypatch.setattr(apply, "WIDE_NBYTES", 1 << 40)
    monkeypatch.setattr(bulk, "copy_into", copy_into)
    monkeypatch.setattr(Stage, "copy", copy)
    return seen


def test_values_in_binary_are_those_of_the_source(road: Road, formats: list[bool]) -> None:
    road.at_source(
        *(statement for statement in SETUP if "EXTENSION" not in statement and "DOMAIN prices" not in statement)
    )
    _travel(road, BINARY)
    assert len(formats) > 1  # the snapshot, and what was streamed
    assert set(formats) == {True}


def test_random_numbers_and_times_in_binary(road: Road, formats: list[bool]) -> None:
    road.at_source(
        "CREATE TABLE kinds"
        " (id int PRIMARY KEY, n numeric, f4 float4, f8 float8, d date, t timestamp, z timestamptz, i interval)"
    )
    for first in (0, 5000):
        road.at_source(_RANDOM.format(first=first, last=first + 4999))
        road.run()
    assert set(formats) == {True}
    road.same("kinds")


def test_a_value_that_no_server_writes_like_this_is_left_to_the_target(database: str, formats: list[bool]) -> None:
    writer, feed = Postgres(database).open("p", Limits()), Feed()
    writer.claim(LINEAGE)
    writer.write(feed.commit(("c", {"id": "1", "note": "a"}), ("c", {"id": " 2 ", "note": "b"})))
    writer.write(feed.commit(("c", {"id": "3", "note": "c"})))
    writer.close()
    with psycopg.connect(database) as target:
        assert target.execute("SELECT id::int, note FROM orders ORDER BY id").fetchall() == [
            (1, "a"),
            (2, "b"),
            (3, "c"),
        ]
    assert formats == [False, True]


@pytest.mark.parametrize("version", [18, 14])
def test_every_type_and_xml_on_a_full_build(
    start_postgres: Callable[..., postgres.Server], tmp_path: Path, version: int
) -> None:
    server = start_postgres(version, full=True)
    road = Road(server.create_database("source"), server.create_database("target"), tmp_path)
    try:
        road.both(*(statement for statement in SETUP if "EXTENSION" in statement))
        road.at_source(*(statement for statement in SETUP if "EXTENSION" not in statement))
        _travel(road, (*KINDS, *FULL))
    finally:
        road.close()


def test_names_of_every_kind_are_kept(road: Road) -> None:
    for name in _NAMES:
        quoted = '"' + name.replace('"', '""') + '"'
        road.at_source(
            f"CREATE TABLE {quoted} ({quoted} int PRIMARY KEY, note text)",
            f"INSERT INTO {quoted} VALUES (1, 'snapshot')",
        )
    road.run()
    for name in _NAMES:
        quoted = '"' + name.replace('"', '""') + '"'
        road.at_source(
            f"INSERT INTO {quoted} VALUES (2, 'stream'), (3, 'x')", f"UPDATE {quoted} SET note = 'y' WHERE 1 = 1"
        )
        road.at_source(f"DELETE FROM {quoted} WHERE note = 'y' AND {quoted} = 3")
    road.run()
    road.same(*('"' + name.replace('"', '""') + '"' for name in _NAMES))
