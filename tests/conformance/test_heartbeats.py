"""Heartbeats are those of the real Debezium, behind rows and when only other tables change."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import psycopg
import pytest

from servers import debezium
from tailrace.format import Format
from tailrace.model import Limits
from tailrace.pipeline import Pipeline
from tailrace.sink.file import File
from tailrace.source.postgres import Postgres
from tests.conformance import chains, imported, oracle, sides
from tests.conformance.chains import Chain
from tests.waiting import until

_MOVED = Chain(
    "h01",
    (
        {
            "kind": "by_logical_table_router",
            "topic_regex": "__debezium-(.*)",
            "topic_replacement": "moved.$1",
            "key_field_name": "of",
        },
    ),
    topics="__debezium-.*",
)
_BEATEN = re.compile(r'"ts_ms":(\d{13})\b')
_TIME = re.compile(r'("ts_ms":)\d{13}\b')


@pytest.mark.parametrize("table", ["rows", "other"])
@pytest.mark.parametrize(
    "options",
    [{"schemas_enable": "true"}, {"topic_heartbeat_name": "beat"}, {"topic_heartbeat_prefix": "__beats"}],
    ids=lambda options: " ".join(options),
)
def test_heartbeats_are_those_of_debezium(
    options: Mapping[str, str], table: str, database: str, debezium_host: sides.Start, tmp_path: Path
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        for name in ("rows", "other"):
            connection.execute(f"CREATE TABLE {name} (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY)".encode())
        ours = _written(database, options, tmp_path, insert=f"INSERT INTO {table} DEFAULT VALUES")
    assert ours == _engines(debezium_host, database, options)


def test_heartbeats_go_through_transforms_too(database: str, debezium_host: sides.Start, tmp_path: Path) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(b"CREATE TABLE rows (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY)")
        ours = _written(database, {}, tmp_path, insert="INSERT INTO rows DEFAULT VALUES", steps=list(_MOVED.ours()))
    assert ours.startswith('{"topic":"moved.heartbeat.shop",')
    assert ours == _engines(debezium_host, database, chains.options((_MOVED,)))


def test_an_idle_server_has_heartbeats_on_time_as_debezium(
    database: str, start_debezium: sides.Start, tmp_path: Path
) -> None:
    options = {
        "snapshot_mode": "no_data",
        "heartbeat_interval_ms": "700",
        "converter_schemas_enable": "true",
    }
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(b"CREATE TABLE rows (id int PRIMARY KEY)")
    with (
        start_debezium(debezium.properties(database, slot_name="oracle", **options)) as engine,
        imported.running(database, options, tmp_path) as file,
    ):
        found = [engine.until(lambda _: True, timeout_s=oracle.TIMEOUT_S)[0] for _ in range(3)]
        until(lambda: len(_lines(file)) >= 3, "for three heartbeats")
        ours = _lines(file)[:3]
    theirs = [imported.line(beat) for beat in found]
    assert [_TIME.sub(r"\1", line) for line in ours] == [_TIME.sub(r"\1", line) for line in theirs]
    assert "__debezium-heartbeat.shop" in ours[0]
    for lines in (ours, theirs):
        first, second, third = (int(time) for line in lines for time in _BEATEN.findall(line))
        assert min(second - first, third - second) >= 700


def _engines(start: sides.Start, url: str, options: Mapping[str, str]) -> str:
    """The first heartbeat of the engine, as a line of ours."""
    theirs = {**options, "heartbeat_interval_ms": "100"}
    theirs["converter_schemas_enable"] = theirs.pop("schemas_enable", "false")
    with oracle.recording(start, url, **theirs) as recording:
        beat = recording.engine.until(lambda record: "beat" in record.topic, timeout_s=oracle.TIMEOUT_S)[-1]
    return _TIME.sub(r"\1", imported.line(beat))


def _written(
    url: str, options: Mapping[str, str], folder: Path, *, insert: str, steps: Sequence[Mapping[str, str]] = ()
) -> str:
    """The first heartbeat that a pipeline writes to a file while rows are inserted."""
    file = folder / "out.jsonl"
    pipeline = Pipeline(
        Postgres(url, tables=["public.rows"], snapshot="never"),
        sink=File(file, format=Format(topic_prefix="shop", heartbeat_interval_ms="100", transform=steps, **options)),
        name="beating",
        state_dir=folder,
        limits=Limits(progress_interval_s=0.2),
    )
    running = threading.Thread(target=pipeline.run)
    running.start()
    lines: list[str] = []
    try:
        with psycopg.connect(url, autocommit=True) as connection:

            def beaten() -> bool:
                connection.execute(insert.encode())
                lines[:] = [line for line in _lines(file) if '"topic":"shop.' not in line]
                return len(lines) > 1

            until(beaten, "for a second heartbeat")
    finally:
        pipeline.stop()
        running.join()
    times = [int(time) for line in lines for time in _BEATEN.findall(line)]
    assert times[1] - times[0] >= 100
    return _TIME.sub(r"\1", lines[0])


def _lines(file: Path) -> list[str]:
    return file.read_text().rpartition("\n")[0].splitlines() if file.exists() else []
