"""Topics that Tailrace fills hold what a Debezium connector in Kafka Connect writes, in the same partitions, in JSON
and in Avro; and Tailrace reads the rows back from either."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from servers import connect as worker
from servers import kafka as server
from servers import registry as servers_registry
from tailrace.checkpoint import Memory
from tailrace.format import Format
from tailrace.pipeline import Pipeline
from tailrace.registry import Registry
from tailrace.sink import DuckDB
from tailrace.sink.kafka import Kafka, Topic
from tailrace.source import Kafka as Group
from tailrace.source import Postgres
from tailrace.source.kafka import SchemaRegistry
from tests.conformance import binary, oracle
from tests.server.sink.kafka.topics import Got, read
from tests.waiting import until

SCHEMA = """
CREATE TABLE orders (id bigint PRIMARY KEY, customer text, amount numeric(12,2), at timestamptz, tags text[]);
CREATE TABLE lines (order_id bigint, "Artikel Nr" text, n int, PRIMARY KEY (order_id, "Artikel Nr"));
CREATE TABLE notes (note text);
ALTER TABLE orders REPLICA IDENTITY FULL;
INSERT INTO orders SELECT n, 'käufer "' || n, n * 1.5, '2026-01-02 03:04:05.678901+00', '{a,b}'
  FROM generate_series(1, 40) n;
INSERT INTO lines SELECT n / 3, 'ä' || n % 3, n FROM generate_series(1, 60) n;
INSERT INTO notes VALUES ('first');
"""
CHANGES = """
INSERT INTO orders SELECT n, NULL, n, now(), NULL FROM generate_series(41, 80) n;
UPDATE orders SET amount = amount + 1 WHERE id % 3 = 0;
UPDATE orders SET id = id + 1000 WHERE id % 10 = 0;
DELETE FROM orders WHERE id % 7 = 0;
UPDATE lines SET n = n + 1;
UPDATE lines SET "Artikel Nr" = 'neu' WHERE n % 5 = 0 AND "Artikel Nr" = 'ä1';
DELETE FROM lines WHERE order_id = 3;
INSERT INTO notes VALUES ('second');
"""
TOPICS = ("public.orders", "public.lines", "public.notes")
QUERIES = (
    "SELECT id, customer FROM public.orders ORDER BY id",
    "SELECT order_id, n FROM public.lines ORDER BY order_id, n",
)
"""What readers of the topics must have in the end."""
AVRO = "io.confluent.connect.avro.AvroConverter"


@dataclass(frozen=True, slots=True)
class Shape:
    """How both sides write, and what of a key or a value must be the same."""

    connector: Mapping[str, str]
    format: Mapping[str, str]
    comparable: Callable[[bytes], object]


@pytest.fixture(params=["json", "avro"])
def shape(request: pytest.FixtureRequest, registry: servers_registry.Server) -> Iterator[Shape]:
    """JSON without schemas; or Avro, of which the registered schemas are compared too."""
    if request.param == "json":
        yield Shape({}, {}, oracle.masked)
        return
    converters = {f"{part}_converter": AVRO for part in ("key", "value")}
    registries = {f"{part}_converter_schema_registry_url": registry.url for part in ("key", "value")}
    with closing(Registry(registry.url).open()) as client:

        def comparable(data: bytes) -> object:
            text = client.schema(int.from_bytes(data[1:5])).text
            return text, binary.avro(text, data[5:])

        ours = {"key_converter": "avro", "value_converter": "avro", "schema_registry_url": registry.url}
        names = dict.fromkeys(("field_name_adjustment_mode", "schema_name_adjustment_mode"), "avro")
        yield Shape(converters | registries | names, ours | names, comparable)


def test_topics_are_as_a_debezium_connector_fills_them_and_read_as_its(
    database: str, kafka: server.Broker, connect: worker.Worker, registry: servers_registry.Server,
    topic: str, shape: Shape, tmp_path: Path,
) -> None:  # fmt: skip
    with psycopg.connect(database, autocommit=True) as source:
        source.execute(SCHEMA)
        for name in TOPICS:
            # Records without a key go anywhere: one partition keeps them in order.
            partitions = 1 if name == "public.notes" else 6
            kafka.create_topic(f"{topic}.{name}", partitions)
            kafka.create_topic(f"{topic}.ours.{name}", partitions)
        connect.create(topic, worker.debezium(database, topic, **shape.connector))
        sink = Kafka(
            f"kafka://{kafka.address}",
            format=Format(topic_prefix=topic, extended_headers_enabled=True, **shape.format),  # type: ignore[arg-type]
            topics=[Topic(f"{topic}.*", f"{topic}.ours.{{schema}}.{{table}}")],
        )
        pipeline = Pipeline(Postgres(database, ["public.*"]), sink, name="same", state_dir=None, checkpoint=Memory())
        pipeline.run(until_current=True)
        until(lambda: len(_all(kafka, topic)) >= 101, "for Debezium's snapshot", timeout_s=180)
        source.execute(CHANGES)
        pipeline.run(until_current=True)
        ours = _all(kafka, f"{topic}.ours")
        until(lambda: len(_all(kafka, topic)) >= len(ours), "for Debezium's changes", timeout_s=180)
        theirs = _all(kafka, topic)
        connect.remove(topic)
        rows = [source.execute(query.encode()).fetchall() for query in QUERIES]
    assert [_comparable(record, f"{topic}.ours", shape) for record in ours] == [
        _comparable(record, topic, shape) for record in theirs
    ]
    assert len({record.partition for record in ours}) == 6
    assert any(record.value is None for record in ours)
    assert {name for record in ours for name, _ in record.headers} > {"__debezium.newkey", "__debezium.oldkey"}
    for number, prefix in enumerate((topic, f"{topic}.ours")):
        names, path = [f"{prefix}.{name}" for name in TOPICS[:2]], tmp_path / f"{number}.duckdb"
        reading = Group(f"kafka://{kafka.address}", names, group=prefix, registry=SchemaRegistry(registry.url))
        Pipeline(reading, DuckDB(path), name="read", state_dir=None).run(until_current=True)
        with duckdb.connect(str(path)) as target:
            assert [target.execute(query).fetchall() for query in QUERIES] == rows


def _all(broker: server.Broker, prefix: str) -> list[Got]:
    return read(broker, *(f"{prefix}.{name}" for name in TOPICS))


def _comparable(record: Got, prefix: str, shape: Shape) -> tuple[Any, ...]:
    """All that must be the same: where it lies, and its very bytes, but for clocks and what tells two readers apart."""
    key, value = (data and shape.comparable(data) for data in (record.key, record.value))
    headers = [(name, b"" if name.endswith(".runId") else text) for name, text in record.headers]
    return record.topic.removeprefix(prefix), record.partition, key, value, headers
