"""The way over from an offset in a topic of Kafka, with changes that make several events, or none of a row (I6).

The ledger is a second engine that is never stopped. What the first delivered, and then what Tailrace delivered on its
slot, is what the second delivered: key changes, whole old rows, TRUNCATE, messages and two tables in one order.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition

from servers import kafka as servers_kafka
from servers.debezium import Record, properties
from tests.background import beside
from tests.conformance.test_takeover import TIMEOUT_S, StartDebezium, run, taken_over
from tests.waiting import until

_TRANSACTION = (
    "INSERT INTO orders SELECT n, n FROM generate_series({0}01, {0}40) n",
    "INSERT INTO notes SELECT n, 'a' FROM generate_series({0}01, {0}40) n",
    "UPDATE orders SET id = id + 1000000 WHERE id BETWEEN {0}01 AND {0}20",
    "UPDATE notes SET text = 'b' WHERE id BETWEEN {0}01 AND {0}20",
    "SELECT pg_logical_emit_message(true, 'p', 'within {0}')",
    "UPDATE notes SET id = id + 1000000 WHERE id BETWEEN {0}01 AND {0}10",
    "DELETE FROM orders WHERE id BETWEEN {0}21 AND {0}25",
    "DELETE FROM notes WHERE id BETWEEN {0}21 AND {0}25",
)
_ENDS = "TRUNCATE notes"
_EVENTS = 40 + 40 + 20 * 3 + 20 + 1 + 10 * 3 + 5 * 2 + 5 * 2 + 1 + 2
"""Records that a transaction makes at most: changes, their tombstones, a TRUNCATE, and the transaction's two ends."""
Told = tuple[Any, ...]


@pytest.fixture
def shop(database: str) -> str:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE orders (id bigint PRIMARY KEY, number bigint)")
        connection.execute("CREATE TABLE notes (id bigint PRIMARY KEY, text text)")
        connection.execute("ALTER TABLE notes REPLICA IDENTITY FULL")
        connection.execute("CREATE TABLE ends (id int PRIMARY KEY)")
    return database


@pytest.mark.parametrize("options", [{}, {"provide_transaction_metadata": "true"}], ids=["changes", "transactions"])
def test_i6_an_offset_in_a_topic_is_gone_on_from(
    options: Mapping[str, str],
    kafka: servers_kafka.Broker,
    shop: str,
    topic: str,
    tmp_path: Path,
    start_debezium: StartDebezium,
) -> None:
    settings = _settings(shop, "first", options) | _stored_in(kafka, topic)
    (tmp_path / "engine.properties").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    with start_debezium(_settings(shop, "second", options)) as ledger:
        ledger.until(_is_beat, timeout_s=TIMEOUT_S)
        with start_debezium(settings) as engine:
            engine.until(_is_beat, timeout_s=TIMEOUT_S)
            with _writing(shop):
                records = engine.take(12 * _EVENTS, timeout_s=TIMEOUT_S)
                engine.close()
            records += engine.rest(timeout_s=TIMEOUT_S)
        (tmp_path / "record.txt").write_bytes(_records(kafka, topic))
        taken_over(tmp_path, "engine.properties", "--sink", "file:out.jsonl", "--offsets", "record.txt")
        with psycopg.connect(shop, autocommit=True) as connection:
            connection.execute("INSERT INTO ends VALUES (1)")
        run(tmp_path, settings)
        everything = _told(_pairs(ledger.until(_is_end, timeout_s=TIMEOUT_S)))
    theirs, ours = _told(_pairs(records)), _told(_lines(tmp_path / "out.jsonl"))
    if options:  # the records at the end of the last transaction come behind its rows
        everything += ours[len(ours) - 1 :] if ours[-1] != everything[-1] else []
    begin = everything.index(theirs[0])
    assert theirs == everything[begin : begin + len(theirs)]
    assert ours == everything[len(everything) - len(ours) :]
    again = len(theirs) - (len(everything) - begin - len(ours))
    assert 0 <= again <= (_EVENTS if options else 3), f"{again} records came again"
    if options and again:
        assert ours[0][3] == "BEGIN"


def _settings(url: str, name: str, options: Mapping[str, str]) -> dict[str, str]:
    slot = f"{name}_{url.rsplit('/', 1)[1].split('?')[0]}"
    return properties(
        url, name="shop", snapshot_mode="no_data", slot_name=slot, publication_name=slot, slot_drop_on_stop="false",
        publication_autocreate_mode="filtered", table_include_list=r"public\.(orders|notes|ends)",
        skipped_operations="none", heartbeat_interval_ms="200", max_batch_size="64", poll_interval_ms="20",
        **options,
    )  # fmt: skip


def _stored_in(kafka: servers_kafka.Broker, topic: str) -> dict[str, str]:
    return {
        "offset.storage": "org.apache.kafka.connect.storage.KafkaOffsetBackingStore",
        "offset.storage.topic": topic,
        "offset.storage.partitions": "1",
        "offset.storage.replication.factor": "1",
        "offset.flush.interval.ms": "0",
        "bootstrap.servers": kafka.address,
    }


@contextmanager
def _writing(url: str) -> Iterator[None]:
    """Transactions of everything, one after the other, until the end of the block."""
    stopped = threading.Event()

    def write() -> None:
        with psycopg.connect(url) as connection:
            turn = 0
            while not stopped.is_set():
                turn += 1
                for statement in (*_TRANSACTION, *([_ENDS] if turn % 4 == 0 else [])):
                    connection.execute(statement.format(turn).encode())
                connection.commit()

    with beside(write, stopped.set):
        yield


def _records(kafka: servers_kafka.Broker, topic: str) -> bytes:
    """All records of the topic as text, as a console consumer prints keys and values."""
    consumer = Consumer({"bootstrap.servers": kafka.address, "group.id": topic, "enable.auto.commit": False})
    partition = TopicPartition(topic, 0, 0)
    try:
        consumer.assign([partition])
        end = consumer.get_watermark_offsets(partition, timeout=TIMEOUT_S)[1]
        found: list[bytes] = []
        until(lambda: _taken(consumer, found) >= end, "for the offsets")
    finally:
        consumer.close()
    return b"\n".join(found)


def _taken(consumer: Consumer, found: list[bytes]) -> int:
    for message in consumer.consume(1000, 0.2):
        assert message.error() is None, message.error()
        found.append((message.key() or b"") + b"\t" + (message.value() or b"null"))
    return len(found)


def _is_beat(record: Record) -> bool:
    return "heartbeat" in record.topic


def _is_end(record: Record) -> bool:
    return record.topic.endswith(".ends")


def _pairs(records: Iterable[Record]) -> Iterator[tuple[str, Any, Any]]:
    for record in records:
        key, value = (None if half is None else json.loads(half) for half in (record.key, record.value))
        yield record.topic, key, value


def _lines(file: Path) -> Iterator[tuple[str, Any, Any]]:
    for line in map(json.loads, file.read_text().splitlines()):
        yield line["topic"], line["key"], line["value"]


def _told(records: Iterable[tuple[str, Any, Any]]) -> list[Told]:
    """What tells a record from every other one, but heartbeats, which are a reader's own."""
    names = ("status", "op", "before", "after", "message", "transaction", "event_count")
    found = []
    for topic, key, value in records:
        if "heartbeat" not in topic:
            source = (value or {}).get("source", {})
            at = None if value is None else (source.get("lsn"), source.get("txId"), (value or {}).get("id"))
            # For messages Debezium prints a Java object, another each time, which changes the order too.
            counts = {
                each["data_collection"]: each["event_count"] for each in (value or {}).get("data_collections") or ()
            }
            tables = {name: count for name, count in counts.items() if name.startswith("public.")}
            found.append((topic, key, at, *((value or {}).get(name) for name in names), tables))
    return found
