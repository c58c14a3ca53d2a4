"""Topics that Tailrace fills hold what a Debezium connector in Kafka Connect writes, in the same partitions."""

from __future__ import annotations

import re
from typing import Any

import psycopg

from servers import connect as worker
from servers import kafka as server
from tailrace.checkpoint import Memory
from tailrace.format import Format
from tailrace.pipeline import Pipeline
from tailrace.sink.kafka import Kafka, Topic
from tailrace.source import Postgres
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
_TIMES = re.compile(
    rb'"ts_(?:ms|us|ns)":\d+|"version":"[^"]*"|"snapshot":"[^"]*"|"sequence":"\[[^\]]*\]"|"lsn":\d+|"txId":\d+'
)


def test_topics_are_as_a_debezium_connector_fills_them(
    database: str, kafka: server.Broker, connect: worker.Worker, topic: str
) -> None:
    with psycopg.connect(database, autocommit=True) as source:
        source.execute(SCHEMA)
        for name in TOPICS:
            # Records without a key go anywhere: one partition keeps them in order.
            partitions = 1 if name == "public.notes" else 6
            kafka.create_topic(f"{topic}.{name}", partitions)
            kafka.create_topic(f"{topic}.ours.{name}", partitions)
        connect.create(topic, worker.debezium(database, topic))
        sink = Kafka(
            f"kafka://{kafka.address}",
            format=Format(topic_prefix=topic, extended_headers_enabled=True),
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
    assert [_comparable(record, f"{topic}.ours") for record in ours] == [
        _comparable(record, topic) for record in theirs
    ]
    assert len({record.partition for record in ours}) == 6
    assert any(record.value is None for record in ours)
    assert {name for record in ours for name, _ in record.headers} > {"__debezium.newkey", "__debezium.oldkey"}


def _all(broker: server.Broker, prefix: str) -> list[Got]:
    return read(broker, *(f"{prefix}.{name}" for name in TOPICS))


def _comparable(record: Got, prefix: str) -> tuple[Any, ...]:
    """All that must be the same: where it lies, and its very bytes, but for clocks and what tells two readers apart."""
    value = record.value and _TIMES.sub(b"", record.value)
    headers = [(name, b"" if name.endswith(".runId") else text) for name, text in record.headers]
    return record.topic.removeprefix(prefix), record.partition, record.key, value, headers
