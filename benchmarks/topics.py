"""Sides of benchmarks that fill Kafka's topics: ours, the plain client, and the real Debezium in Kafka Connect."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks import orders
from benchmarks.meter import Meter, Numbers
from benchmarks.result import Run
from benchmarks.side import run_pipeline
from servers import connect, kafka
from tailrace.format import Format
from tailrace.sink.kafka import Kafka

if TYPE_CHECKING:
    from benchmarks.bench import Bench

PARTITIONS = 6
FIRST = 40_000_000
"""The id of the first row that is committed for a latency through Kafka."""
_VALUE = (
    b'{"before":null,"after":{"id":%d,"customer_id":79190,"product_id":47290,"quantity":2,"amount":"H0A=","status":'
    b'"packed","note":null,"paid":true,"created_at":"2026-01-01T00:20:34.567000Z","due":20812,"token":'
    b'"a9b7ba70-783b-317e-9998-dc4dd82eb3c5",'
    b'"attributes":"{\\"gift\\": false, \\"items\\": 1, \\"channel\\": \\"web\\"}"},'
    b'"source":{"version":"3.6.3.Final","connector":"postgresql","name":"shop","ts_ms":1767225600123,"snapshot":"false",'
    b'"db":"bench","sequence":"[\\"123456789\\",\\"123456789\\"]","ts_us":1767225600123456,"ts_ns":1767225600123456000,'
    b'"schema":"public","table":"orders","txId":1234,"lsn":123456789,"xmin":null,"origin":null,"origin_lsn":null},'
    b'"transaction":null,"op":"c","ts_ms":1767225600456,"ts_us":1767225600456789,"ts_ns":1767225600456789012}'
)
_TIMEOUT_S = 600.0


def fill(
    *, url: str, slot: str, address: str, topic: str, rows: int, transactions: bool, schemas: bool = False
) -> Numbers:
    """Our stream of `rows` rows into topics that begin with `topic`."""
    sink = Kafka(
        f"kafka://{address}",
        format=Format(topic_prefix=topic, schemas_enable=schemas),
        transactions=transactions,
        transactional_id=topic,
        positions_topic=f"{topic}.positions",
    )
    numbers = run_pipeline(sink, url=url, slot=slot, events=lambda: rows)
    # A commit is answered before its markers are in the partitions, and readers of what is committed end there.
    _reach(lambda: count(address, f"{topic}.public.orders"), rows)
    return numbers


def produce(*, address: str, topic: str, count: int) -> Numbers:
    """The client alone, with values of an event's size and the same settings."""
    settings = {"enable.idempotence": True, "acks": "all", "compression.type": "lz4", "partitioner": "murmur2_random"}
    producer, name = Producer({"bootstrap.servers": address, **settings}), f"{topic}.public.orders"
    with Meter() as meter:
        for number in range(count):
            key, value = b'{"id":%d}' % number, _VALUE % number
            while True:
                try:
                    producer.produce(name, value, key)
                except BufferError:
                    producer.poll(0.1)
                else:
                    break
        while producer.flush(1):
            pass
    return meter.numbers(count)


def debezium(bench: Bench, broker: kafka.Broker) -> Run:
    """A tuned connector on the load: from its first record to its last, so that the start of a JVM is not counted."""
    slot = bench.slot()
    name = broker.create_topic(f"{slot}.public.orders", PARTITIONS)
    orders.copy_slot(bench.load, slot)
    settings = connect.debezium(
        bench.load.url,
        slot,
        snapshot_mode="no_data",
        slot_name=slot,
        publication_name="bench",
        publication_autocreate_mode="disabled",
        table_include_list="public.orders",
        max_batch_size="8192",
        max_queue_size="32768",
        poll_interval_ms="10",
        **{f"producer_override_{option}": value for option, value in _TUNED.items()},
    )
    allow = {"connector.client.config.override.policy": "All"}
    with connect.start(broker.address, settings=allow, java_options=()) as worker:
        jvm = psutil.Process(worker.pid)
        worker.create(slot, settings)
        first = _reach(lambda: count(broker.address, name), 1)
        started, before = time.perf_counter(), jvm.cpu_times()
        _reach(lambda: count(broker.address, name), bench.load.rows)
        seconds, after = time.perf_counter() - started, jvm.cpu_times()
        peak = next(line for line in Path(f"/proc/{jvm.pid}/status").read_text().splitlines() if "VmHWM" in line)
    orders.drop_slot(bench.load, slot)
    cpu_s = after.user + after.system - before.user - before.system
    return Run(seconds, cpu_s, bench.load.rows - first, int(peak.split()[1]) / 1024)


_TUNED = {"linger_ms": "10", "batch_size": "262144", "compression_type": "lz4"}


def count(address: str, topic: str) -> int:
    """How many records a topic holds (none of which is compacted, or of a transaction)."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "counts"})
    try:
        ends = [consumer.get_watermark_offsets(TopicPartition(topic, at), timeout=30)[1] for at in range(PARTITIONS)]
    finally:
        consumer.close()
    return sum(ends)


def _reach(ask: Callable[[], int], wanted: int) -> int:
    deadline = time.monotonic() + _TIMEOUT_S
    while (now := ask()) < wanted:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{now} of {wanted} records after {_TIMEOUT_S:g} s")
        time.sleep(0.05)
    return now


SIDES: dict[str, Callable[..., Numbers]] = {"kafka": fill, "kafka_produce": produce}
