"""Every type keeps every value, through snapshot and stream, and has the same name at the target."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from servers import postgres
from tests.server.sink.postgres.kinds import FULL, KINDS, SETUP
from tests.server.sink.postgres.road import Road

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
