"""What a member holds does not grow with the number of its partitions, however slow its sink and large the backlog."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from confluent_kafka import Producer

from servers.kafka import Broker
from tests.server.kafka.filling import event

ROOT = Path(__file__).parents[3]
RECORDS, PARTITIONS = 400_000, 200
ALIKE = 20
"""So many of a partition follow each other. Small records that compress well take the most once they are unpacked."""
MOST = 200 << 20
"""Of a member, with all limits as they are."""


def _fill(broker: Broker, topic: str, partitions: int) -> None:
    broker.create_topic(topic, partitions)
    settings = {"enable.idempotence": True, "compression.type": "lz4", "linger.ms": 50, "batch.size": 1_000_000}
    producer = Producer({"bootstrap.servers": broker.address, **settings})
    for at in range(RECORDS):
        value = event("c", after={"id": at, "note": f"the words of row {at * 7919 % 100_003}"})
        while True:
            try:
                producer.produce(topic, value=value, partition=at // ALIKE % partitions)
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(120) == 0


def _peak(broker: Broker, topic: str) -> int:
    """Bytes that a process which reads all of it had in memory at most."""
    command = [sys.executable, "-m", "tests.server.kafka.holding", broker.address, topic]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    changes, peak = map(int, done.stdout.split())
    assert changes == RECORDS
    return peak


def test_i8_many_partitions_take_no_more_memory_than_one(kafka: Broker, topic: str) -> None:
    names = {partitions: f"{topic}.{partitions}" for partitions in (1, PARTITIONS)}
    for partitions, name in names.items():
        _fill(kafka, name, partitions)
    one, many = (_peak(kafka, name) for name in names.values())
    assert many < MOST
    # The client's own of 200 partitions is 17 to 32 MB, as measured; with answers of 4 MB it was 105.
    assert many - one < one / 2, f"{many} bytes with {PARTITIONS} partitions, and {one} with one"
