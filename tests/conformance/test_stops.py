"""Values that stop the real Debezium, in a snapshot or while streaming: Tailrace writes the rows."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import psycopg
import pytest

from tailrace.format import Format
from tests.conformance import oracle, sides

_OFFSETS = ("'12:00:00+01:02:03'", "'00:00:01.5-00:00:01'", "'24:00-15:59:59'")
_AT_ONCE = {"errors_max_retries": "0"}
"""Debezium would try again for ever what fails each time."""


def _made(connection: psycopg.Connection, *statements: str) -> None:
    for statement in statements:
        connection.execute(statement.encode())


def _rows(database: str, *later: str) -> list[tuple[str, Any]]:
    """What Tailrace writes of the table `odd`: of the rows that are there, and of what is done later."""
    with psycopg.connect(database, autocommit=True) as connection, closing(sides._open(database, {})) as stream:
        batches = list(sides._snapshot(stream))
        _made(connection, *later, f"INSERT INTO {oracle.MARKER} SELECT max(id) + 1 FROM {oracle.MARKER}")
        batches += sides._until_end(stream)
    profile = Format().profile(sides.PREFIX)
    events = [event for batch in batches for event in sides.encoded(batch, profile) if event.topic.endswith(".odd")]
    values = [json.loads(event.value or b"") for event in events]
    return [(value["op"], value["after"]) for value in values]


def test_a_time_with_seconds_in_its_offset_stops_debeziums_stream(database: str, debezium_host: sides.Start) -> None:
    inserts = [f"INSERT INTO odd VALUES ({at}, {value})" for at, value in enumerate(_OFFSETS)]
    with psycopg.connect(database, autocommit=True) as connection:
        _made(connection, "CREATE TABLE odd (id int PRIMARY KEY, c timetz)")
        with oracle.recording(debezium_host, database, **_AT_ONCE) as recording:
            _made(connection, inserts[0])
            with pytest.raises(RuntimeError, match=r"DateTimeParseException: Text '12:00:00\+01:02:03'"):
                recording.finish()
        _made(connection, "TRUNCATE odd")
    moved = ["10:57:57Z", "00:00:02.5Z", "15:59:59Z"]
    assert _rows(database, *inserts) == [("c", {"id": at, "c": time}) for at, time in enumerate(moved)]


def test_a_cursors_name_in_a_snapshot_stops_debezium(database: str, debezium_host: sides.Start) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        _made(
            connection,
            "CREATE TABLE odd (id int PRIMARY KEY, c refcursor)",
            "INSERT INTO odd VALUES (1, 'none')",
        )
    with (
        pytest.raises(RuntimeError, match=r'cursor "none" does not exist|PgResultSet\.internalGetObject'),
        oracle.recording(debezium_host, database, **_AT_ONCE),
    ):
        pytest.fail("the engine took its snapshot")
    assert _rows(database, "INSERT INTO odd VALUES (2, 'none')") == [("r", {"id": 1}), ("c", {"id": 2})]
