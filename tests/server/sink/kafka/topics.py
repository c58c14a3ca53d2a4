"""Reads topics of a real broker from their beginnings to their ends."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from servers import kafka
from tests.waiting import TIMEOUT_S, until


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
    def event(self) -> dict[str, Any]:
        """The event; none for a tombstone."""
        return json.loads(self.value or b"null")  # type: ignore[no-any-return]

    @property
    def row(self) -> dict[str, Any]:
        """The row after the change; for a delete the one before it."""
        return self.event["after"] or self.event["before"]  # type: ignore[no-any-return]


def read(
    broker: kafka.Broker | kafka.Cluster, *topics: str, isolation: str = "read_committed", settled: bool = False
) -> list[Got]:
    """Every record of `topics`, by topic and partition, in order; see `each`."""
    got = each(broker, *topics, isolation=isolation, settled=settled)
    return sorted(got, key=lambda record: (topics.index(record.topic), record.partition))


def each(
    broker: kafka.Broker | kafka.Cluster, *topics: str, isolation: str = "read_committed", settled: bool = False
) -> Iterator[Got]:
    """Every record of `topics` as it comes, in the order of its partition; none of a topic that is not there.

    A commit is answered before its end can be read. With `settled` it is waited for; no transaction may stay open then.
    """
    settings = {
        "bootstrap.servers": broker.address,
        "group.id": "reads",
        "enable.partition.eof": True,
        "enable.auto.commit": False,
        "allow.auto.create.topics": False,
    }
    consumer = Consumer({**settings, "isolation.level": isolation})
    known = consumer.list_topics(timeout=60).topics
    parts = [(topic, at) for topic in topics if topic in known for at in known[topic].partitions]
    ends = _ends(settings, parts) if settled else dict.fromkeys(parts, 0)
    consumer.assign([TopicPartition(topic, at, OFFSET_BEGINNING) for topic, at in parts])
    unread, deadline = set(parts), time.monotonic() + TIMEOUT_S
    while unread:
        assert time.monotonic() < deadline, f"waited in vain for the end of {sorted(unread)}"
        for message in consumer.consume(500, 0.05):
            error, part = message.error(), (message.topic(), message.partition())
            if error is None:
                yield _got(message)
                deadline = time.monotonic() + TIMEOUT_S
            else:
                assert error.code() == KafkaError._PARTITION_EOF or error.retriable(), error
                if error.code() == KafkaError._PARTITION_EOF and message.offset() >= ends[part]:
                    unread.discard(part)
    consumer.close()


def _ends(settings: dict[str, Any], parts: list[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """Where partitions end, what is not committed included."""
    with closing(Consumer({**settings, "isolation.level": "read_uncommitted"})) as measure:
        return {part: end_of(measure, TopicPartition(*part)) for part in parts}


def end_of(consumer: Consumer, place: TopicPartition) -> int:
    """Where a partition ends. A leader that was just chosen does not say so before its followers have caught up."""
    found: list[int] = []

    def told() -> bool:
        with suppress(KafkaException):
            found.append(consumer.get_watermark_offsets(place, timeout=30)[1])
        return bool(found)

    until(told, f"for the end of {place.topic}, partition {place.partition}")
    return found[0]


def _got(message: Any) -> Got:
    return Got(
        message.topic(),
        message.partition(),
        message.key(),
        message.value(),
        message.headers() or [],
        message.timestamp()[1],
    )
