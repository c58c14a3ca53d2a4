"""What a connector does while it runs, beside the shape of its events, is done by what `import-debezium` makes of it.

Each test gives the real engine its options, translates the same options, and compares what both did.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest

from servers import debezium
from servers.debezium import Record
from tailrace.dead_letters.journal import read_all
from tailrace.error import Refused
from tests.conformance import imported, sides
from tests.conformance.oracle import TIMEOUT_S
from tests.waiting import until

_OPTIONS = {"table_include_list": r"public\.(rows|beats)", "publication_name": "p"}


@pytest.fixture
def shop(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE rows (id int PRIMARY KEY, n numeric NOT NULL DEFAULT 0)")
        connection.execute("CREATE TABLE beats (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, t text)")
        yield connection


def test_the_action_query_runs_at_each_heartbeat_as_debeziums(
    shop: psycopg.Connection[Any], database: str, start_debezium: sides.Start, tmp_path: Path
) -> None:
    options = {
        "snapshot_mode": "no_data",
        "heartbeat_interval_ms": "200",
        "heartbeat_action_query": "INSERT INTO beats (t) VALUES ('%s')",
    }
    with start_debezium(_properties(database, options % _By("theirs"))) as engine:
        theirs = [
            engine.until(lambda record: _row(record).get("t") == "theirs", timeout_s=TIMEOUT_S)[-1] for _ in range(2)
        ]
    with imported.running(database, _OPTIONS | options % _By("ours"), tmp_path) as file:
        until(lambda: [row["t"] for row in _rows(file)].count("ours") >= 2, "for two beats")
        ours = [row for row in _rows(file) if row["t"] == "ours"]
    assert [list(_row(each)) for each in theirs] == [list(row) for row in ours[:2]]


def test_an_action_query_that_fails_restarts_debezium_and_not_our_stream(
    shop: psycopg.Connection[Any],
    database: str,
    start_debezium: sides.Start,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    options = {
        "snapshot_mode": "no_data",
        "heartbeat_interval_ms": "100",
        "heartbeat_action_query": "INSERT INTO nowhere VALUES (1)",
    }
    with start_debezium(_properties(database, options | {"slot_drop_on_stop": "false"})) as engine:
        until(lambda: engine.said("Going to restart connector"), "for a restart")
        assert engine.said("Could not execute heartbeat action query (Error: 42P01)")
    with imported.running(database, _OPTIONS | options, tmp_path) as file:
        until(lambda: "heartbeat_action_query failed" in caplog.text, "for a statement that fails")
        shop.execute("INSERT INTO rows VALUES (2)")
        until(lambda: 2 in [row.get("id") for row in _rows(file)], "for the row behind it")


def test_always_makes_a_snapshot_at_every_start_as_debezium(
    shop: psycopg.Connection[Any], database: str, start_debezium: sides.Start, tmp_path: Path
) -> None:
    shop.execute("INSERT INTO rows VALUES (1)")
    stored = tmp_path / "offsets.dat"
    options = {"snapshot_mode": "always", "table_include_list": r"public\.rows"}
    storing = {
        "offset_storage": "org.apache.kafka.connect.storage.FileOffsetBackingStore",
        "offset_storage_file_filename": str(stored),
        "offset_flush_interval_ms": "0",
        "slot_drop_on_stop": "false",
    }
    theirs, ours = [], []
    for start, before in ((1, 0), (2, 1)):  # and how many rows stand in our file
        with start_debezium(_properties(database, options | storing)) as engine:
            found = engine.until(lambda record: b'"snapshot":"last"' in (record.value or b""), timeout_s=TIMEOUT_S)
            theirs.append([(_op(record), _row(record)["id"]) for record in found])
        with imported.running(database, _OPTIONS | options, tmp_path) as file:
            _until_rows(file, before + start)
            ours.append([("r", row["id"]) for row in _rows(file)[before:]])
        shop.execute(f"INSERT INTO rows VALUES ({start + 1})".encode())
    assert ours == theirs == [[("r", 1)], [("r", 1), ("r", 2)]]


def test_a_publication_without_tables_gives_messages_only_as_debezium(
    shop: psycopg.Connection[Any], database: str, start_debezium: sides.Start, tmp_path: Path
) -> None:
    options = {"publication_autocreate_mode": "no_tables", "snapshot_mode": "no_data", "heartbeat_interval_ms": "100"}
    written = ("INSERT INTO rows VALUES (7)", "SELECT pg_logical_emit_message(true, 'p', 'text')")
    with start_debezium(_properties(database, options)) as engine:
        engine.until(lambda record: "heartbeat" in record.topic, timeout_s=TIMEOUT_S)
        for statement in written:
            shop.execute(statement.encode())
        found = engine.until(lambda record: record.topic == "shop.message", timeout_s=TIMEOUT_S)
    assert [record.topic for record in found if "heartbeat" not in record.topic] == ["shop.message"]
    shop.execute("DROP PUBLICATION p")
    shop.execute("DELETE FROM rows")
    with imported.running(database, _OPTIONS | options, tmp_path) as file:
        for statement in written:
            shop.execute(statement.encode())
        until(lambda: "shop.message" in _topics(file), "for the message")
        assert [topic for topic in _topics(file) if "heartbeat" not in topic] == ["shop.message"]


@pytest.mark.parametrize("mode", ["fail", "warn"])
def test_a_value_that_cannot_be_written_stops_both_or_is_passed_by_debezium_and_parked_by_us(
    mode: str,
    shop: psycopg.Connection[Any],
    database: str,
    start_debezium: sides.Start,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    options = {"event_processing_failure_handling_mode": mode, "table_include_list": r"public\.rows"}
    shop.execute("INSERT INTO rows VALUES (1)")
    written = ("INSERT INTO rows VALUES (2, 'NaN')", "INSERT INTO rows VALUES (3)")
    with start_debezium(_properties(database, options)) as engine:
        engine.until(lambda record: _row(record).get("id") == 1, timeout_s=TIMEOUT_S)
        with imported.running(
            database, _OPTIONS | options, tmp_path, fails=Refused if mode == "fail" else None
        ) as file:
            until(lambda: len(_rows(file)) == 1, "for the snapshot")
            for statement in written:
                shop.execute(statement.encode())
            if mode == "warn":
                theirs = engine.until(lambda record: _row(record).get("id") == 3, timeout_s=TIMEOUT_S)
                until(lambda: len(_rows(file)) == 2, "for the row behind")
                assert [_row(record)["id"] for record in theirs] == [3]
            else:
                assert engine.rest(timeout_s=TIMEOUT_S) == []
    assert [row["id"] for row in _rows(file)] == ([1, 3] if mode == "warn" else [1])
    if mode == "warn":
        assert "parked 1 change(s), the first of public.rows at" in caplog.text
        assert len(read_all(tmp_path / "shop.dead.jsonl")) == 1


class _By:
    """Whose beat it is; `options % _By(name)` writes it into the statement."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __rmod__(self, options: Mapping[str, str]) -> dict[str, str]:
        return {name: value.replace("%s", self._name) for name, value in options.items()}


def _properties(url: str, options: Mapping[str, str]) -> dict[str, str]:
    return debezium.properties(url, slot_name="oracle", **_OPTIONS | dict(options))


def _until_rows(file: Path, count: int) -> None:
    until(lambda: len(_rows(file)) >= count, f"for {count} rows")


def _topics(file: Path) -> list[str]:
    return [line["topic"] for line in imported.lines(file)]


def _rows(file: Path) -> list[dict[str, Any]]:
    return [row for line in imported.lines(file) if (row := _after(line["value"]))]


def _row(record: Record) -> dict[str, Any]:
    return _after(json.loads(record.value)) if record.value else {}


def _after(value: dict[str, Any] | None) -> dict[str, Any]:
    return (value or {}).get("after") or {}


def _op(record: Record) -> str:
    return str(json.loads(record.value or b"{}")["op"])
