"""What a connector makes on the server and reads at a start, by its modes, the imported pipeline makes and reads too.

`test_running` has `always` and the publication without tables.
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
from tailrace.error import CheckFailed
from tests.conformance import imported, sides
from tests.conformance.oracle import TIMEOUT_S
from tests.waiting import until

_MARKER = "shop.public.marker"
_OPTIONS = {"publication_name": "p", "table_include_list": r"public\.(rows|marker|later)", "slot_drop_on_stop": "false"}
_PUBLICATION = """
SELECT puballtables, pubviaroot, pubinsert, pubupdate, pubdelete, pubtruncate,
       (SELECT array_agg(tablename ORDER BY tablename)::text FROM pg_publication_tables WHERE pubname = 'p')
FROM pg_publication WHERE pubname = 'p'"""
_BASED = "snapshot_mode_configuration_based_"
_DATA, _STREAM, _AGAIN = _BASED + "snapshot_data", _BASED + "start_stream", _BASED + "snapshot_on_data_error"

Sql = psycopg.Connection[Any]


@pytest.fixture
def shop(database: str) -> Iterator[Sql]:
    with psycopg.connect(database, autocommit=True) as connection:
        for name in ("rows", "marker", "apart"):
            connection.execute(f"CREATE TABLE {name} (id int PRIMARY KEY)".encode())
        yield connection


@pytest.mark.parametrize("root", ["true", "false"])
@pytest.mark.parametrize("mode", ["all_tables", "filtered", "disabled"])
def test_a_publication_and_what_comes_of_a_table_made_later_are_debeziums(
    mode: str, root: str, shop: Sql, database: str, start_debezium: sides.Start, tmp_path: Path
) -> None:
    options = _OPTIONS | {
        "publication_autocreate_mode": mode,
        "publish_via_partition_root": root,
        "snapshot_mode": "no_data",
        "heartbeat_interval_ms": "100",
    }
    seen = []
    for begin in (0, 10):
        if mode == "disabled":
            shop.execute("CREATE PUBLICATION p FOR TABLE rows, marker")
        if begin:
            with imported.running(database, options, tmp_path) as file:
                made = shop.execute(_PUBLICATION).fetchall()
                _write_later(shop, begin)
                until(lambda: _MARKER in [line["topic"] for line in imported.lines(file)], "for the marker")
                found = [line["topic"] for line in imported.lines(file)]
        else:
            with start_debezium(_properties(database, options)) as engine:
                engine.until(lambda record: "heartbeat" in record.topic, timeout_s=TIMEOUT_S)
                made = shop.execute(_PUBLICATION).fetchall()
                _write_later(shop, begin)
                found = [record.topic for record in engine.until(_is_marker, timeout_s=TIMEOUT_S)]
        shop.execute("DROP TABLE later")
        shop.execute("DROP PUBLICATION p")
        seen.append((made, [topic for topic in found if "heartbeat" not in topic]))
    theirs, ours = seen
    assert ours == theirs
    assert ("shop.public.later" in ours[1]) == (mode == "all_tables")


def test_a_publication_that_may_not_be_made_and_is_not_there_stops_both(
    shop: Sql, database: str, start_debezium: sides.Start, tmp_path: Path
) -> None:
    options = _OPTIONS | {"publication_autocreate_mode": "disabled", "snapshot_mode": "no_data"}
    with start_debezium(_properties(database, options)) as engine:
        assert engine.rest(timeout_s=TIMEOUT_S) == []
        assert engine.said("Publication autocreation is disabled")
    with imported.running(database, options, tmp_path, fails=CheckFailed) as file:
        pass
    assert not file.exists() or not file.read_text()


@pytest.mark.parametrize(
    "options",
    [
        {"snapshot_mode": "initial"},
        {"snapshot_mode": "initial_only"},
        {"snapshot_mode": "when_needed"},
        {"snapshot_mode": "no_data"},
        {"snapshot_mode": "configuration_based", _DATA: "true", _STREAM: "true"},
        {"snapshot_mode": "configuration_based", _DATA: "true"},
        {"snapshot_mode": "configuration_based", _STREAM: "true"},
        {"snapshot_mode": "configuration_based", _DATA: "true", _STREAM: "true", _AGAIN: "true"},
    ],
    ids=lambda options: " ".join(f"{name.removeprefix(_BASED)}={value}" for name, value in options.items()),
)
def test_a_first_start_reads_what_debeziums_reads(
    options: Mapping[str, str], shop: Sql, database: str, start_debezium: sides.Start, tmp_path: Path
) -> None:
    options = _OPTIONS | options
    streams = options["snapshot_mode"] != "initial_only" and options.get(_STREAM, "true") == "true"
    streams &= options["snapshot_mode"] != "configuration_based" or _STREAM in options
    reads = options["snapshot_mode"] != "no_data"
    reads &= options["snapshot_mode"] != "configuration_based" or _DATA in options
    shop.execute("INSERT INTO rows VALUES (1)")
    with start_debezium(_properties(database, options)) as engine:
        theirs = engine.until(lambda record: _op(record) == ("r", 1), timeout_s=TIMEOUT_S) if reads else []
        if streams:
            _until_active(shop, "theirs")
            shop.execute("INSERT INTO rows VALUES (2)")
            theirs += engine.until(lambda record: _op(record) == ("c", 2), timeout_s=TIMEOUT_S)
        slots = shop.execute("SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'theirs'").fetchall()
    shop.execute("DELETE FROM rows WHERE id = 2")
    with imported.running(database, options, tmp_path) as file:
        if reads:
            until(lambda: ("r", 1) in _ops(file), "for the snapshot")
        if streams:
            shop.execute("INSERT INTO rows VALUES (2)")
            until(lambda: ("c", 2) in _ops(file), "for the change")
    assert _ops(file) == [_op(record) for record in theirs] == [("r", 1)] * reads + [("c", 2)] * streams
    assert slots == [(int(streams),)]
    # That of a snapshot alone is temporary: the server drops it when it notices that its session has ended.
    kept = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'ours'"
    until(lambda: shop.execute(kept.encode()).fetchall() == slots, "for as many slots")


@pytest.mark.parametrize(
    "options",
    [
        {"snapshot_mode": "when_needed"},
        {"snapshot_mode": "configuration_based", _DATA: "true", _STREAM: "true", _AGAIN: "true"},
    ],
    ids=["when_needed", "on_data_error"],
)
def test_a_slot_that_is_lost_is_begun_anew_with_a_snapshot_by_both(
    options: Mapping[str, str], shop: Sql, database: str, start_debezium: sides.Start, tmp_path: Path
) -> None:
    options = _OPTIONS | options
    storing = {
        "offset_storage": "org.apache.kafka.connect.storage.FileOffsetBackingStore",
        "offset_storage_file_filename": str(tmp_path / "offsets.dat"),
        "offset_flush_interval_ms": "0",
    }

    def begun(last: int) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
        """What both read in a snapshot that ends with this row."""
        with start_debezium(_properties(database, options | storing)) as engine:
            found = engine.until(lambda record: _op(record) == ("r", last), timeout_s=TIMEOUT_S)
            _until_active(shop, "theirs")
        before = len(_ops(tmp_path / "out.jsonl"))
        with imported.running(database, options, tmp_path) as file:
            until(lambda: ("r", last) in _ops(file)[before:], "for the snapshot")
        return [_op(record) for record in found], _ops(file)[before:]

    theirs, ours = [], []
    for start in (1, 2):
        shop.execute(f"INSERT INTO rows VALUES ({start})".encode())
        for side, read in zip((theirs, ours), begun(start), strict=True):
            side.append(read)
        for name in ("theirs", "ours"):
            _until_dropped(shop, name)
    assert ours == theirs == [[("r", 1)], [("r", 1), ("r", 2)]]


def _write_later(shop: Sql, begin: int) -> None:
    for statement in (
        "CREATE TABLE later (id int PRIMARY KEY)",
        f"INSERT INTO later VALUES ({begin + 1})",
        f"INSERT INTO apart VALUES ({begin + 1})",
        f"INSERT INTO rows VALUES ({begin + 1})",
        f"INSERT INTO marker VALUES ({begin + 1})",
    ):
        shop.execute(statement.encode())


def _until_active(shop: Sql, slot: str) -> None:
    until(lambda: imported.begun(shop, slot), "for a stream")


def _until_dropped(shop: Sql, slot: str) -> None:
    """Its reader has ended, but its walsender may hold it for a moment."""
    drop = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s AND NOT active"
    until(lambda: shop.execute(drop.encode(), (slot,)).fetchall(), f"to drop {slot}")


def _properties(url: str, options: Mapping[str, str]) -> dict[str, str]:
    return debezium.properties(url, slot_name="theirs", **options)


def _is_marker(record: Record) -> bool:
    return record.topic == _MARKER


def _ops(file: Path) -> list[tuple[str, int]]:
    return [_told(line["value"]) for line in imported.lines(file)]


def _op(record: Record) -> tuple[str, int]:
    return _told(json.loads(record.value or b"{}"))


def _told(value: dict[str, Any]) -> tuple[str, int]:
    return str(value.get("op")), (value.get("after") or {}).get("id", 0)
