"""Every sink keeps the sink's contract."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import psycopg
import pytest

from servers import kafka as server
from tailrace import testing
from tailrace.app import App
from tailrace.format import Format
from tailrace.model import Change
from tailrace.sink.duckdb import DuckDB
from tailrace.sink.file import File
from tailrace.sink.kafka import Kafka
from tailrace.sink.postgres import Postgres
from tailrace.testing.fake import AtomicSink, ListSink, Target
from tests.server.sink.kafka import topics

Rows = list[dict[str, str | None]]


def _records(target: Target) -> Rows:
    return [dict(record.cells or {}) for record in target.records]


def test_the_fake_sink_of_a_list_keeps_the_contract() -> None:
    target = Target()
    assert testing.check_sink(lambda: ListSink(target), lambda: _records(target))


def test_the_fake_sink_with_positions_keeps_the_contract() -> None:
    target = Target()
    shown = testing.check_sink(lambda: AtomicSink(target), lambda: _records(target))
    assert any(line.startswith("I16") for line in shown)


def test_an_app_keeps_the_contract() -> None:
    app, seen = App("postgresql://localhost/shop", name="contract"), []

    @app.on("*.*", op="crudt")
    def note(change: Change) -> None:
        row = change.before if change.op == "d" else change.after
        seen.append(row.texts() if row is not None else {})

    assert testing.check_sink(lambda: app, lambda: seen)


def test_duckdb_keeps_the_contract(tmp_path: Path) -> None:
    path = tmp_path / "shop.duckdb"

    def read() -> Rows:
        with duckdb.connect(str(path)) as connection:
            rows = connection.execute("SELECT id::text, note FROM public.orders").fetchall()
        return [{"id": key, "note": note} for key, note in rows]

    shown = testing.check_sink(lambda: DuckDB(path), read)
    assert any(line.startswith("I15") for line in shown)


def test_postgres_keeps_the_contract(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:

        def read() -> Rows:
            return [{"id": key, "note": note} for key, note in connection.execute("SELECT id::text, note FROM orders")]

        shown = testing.check_sink(lambda: Postgres(database), read)
    assert any(line.startswith("I15") for line in shown)


def test_a_file_keeps_the_contract(tmp_path: Path) -> None:
    path = tmp_path / "shop.jsonl"

    def read() -> Rows:
        rows: Rows = []
        for line in path.read_text().splitlines():
            value = json.loads(line)["value"]
            if value is not None:
                value = value.get("payload", value)
                row = value["after"] or {"id": value["before"]["id"]}
                rows.append({name: None if cell is None else str(cell) for name, cell in row.items()})
        return rows

    assert testing.check_sink(lambda: File(path), read)


@pytest.mark.parametrize("transactions", [False, True])
def test_kafka_keeps_the_contract(kafka: server.Broker, topic: str, transactions: bool) -> None:
    sink = Kafka(
        f"kafka://{kafka.address}",
        format=Format(topic_prefix=topic, tombstones_on_delete=False),
        create_topics=True,
        transactions=transactions,
        positions_topic=f"{topic}.positions",
        transactional_id=topic,
    )

    def read() -> Rows:
        rows = (record.row for record in topics.read(kafka, f"{topic}.public.orders"))
        return [{name: None if cell is None else str(cell) for name, cell in row.items()} for row in rows]

    shown = testing.check_sink(lambda: sink, read)
    assert any(line.startswith("I16") for line in shown) == transactions


def test_a_sink_that_loses_a_row_is_found_out() -> None:
    target = Target()

    def read() -> Rows:
        return _records(target)[1:]

    with pytest.raises(AssertionError, match="what write returned from is there"):
        testing.check_sink(lambda: ListSink(target), read)
