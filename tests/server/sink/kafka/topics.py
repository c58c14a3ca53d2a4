"""Reads topics of a real broker from their beginnings to their ends."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from servers import kafka


@dataclass(frozen=True, slots=True)
class Got:
    """One record as a consumer sees it."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    timestamp_ms: int

    @property
    def row(self) -> dict[str, Any]:
        """The row after the change; for a delete the one before it."""
        event = json.loads(self.value or b"null")
        return event["after"] or event["before"]  # type: ignore[no-any-return]


def read(broker: kafka.Broker, topic: str, *, isolation: str = "read_committed") -> list[Got]:
    """Every record of `topic`, by partition, in order; none when there is no such topic."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker.address,
            "group.id": "reads",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
            "isolation.level": isolation,
            "allow.auto.create.topics": False,
        }
    )
    found = consumer.list_topics(topic, timeout=30).topics[topic]
    if found.error is not None:
        consumer.close()
        return []
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in found.partitions])
    open_, got = set(found.partitions), []
    while open_:
        for message in consumer.consume(500, 0.1):
            error = message.error()
            if error is None:
                got.append(_got(message))
            else:
                assert error.code() == KafkaError._PARTITION_EOF or error.retriable(), error
                open_.discard(message.partition())
    consumer.close()
    return sorted(got, key=lambda record: record.partition)  # stable: in order within each


def _got(message: Any) -> Got:
    return Got(
        message.topic(),
        message.partition(),
        message.key(),
        message.value(),
        message.headers() or [],
        message.timestamp()[1],
    )
