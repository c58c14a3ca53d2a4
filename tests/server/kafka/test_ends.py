"""Where partitions end, of brokers that have stood still, or have just started, and do not know all of them yet."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from servers.kafka import Broker
from tailrace.dialect.kafka import client
from tailrace.error import Fatal, Retryable
from tailrace.source.kafka import topic as topic_module
from tailrace.source.kafka.fault import explained
from tailrace.source.kafka.topic import Topics

PATIENCE_S = 2.0


class Unsettled(Topics):
    """Whose first answers are those of a broker that does not know a partition, the very first of one that stood still
    for longer than we are patient."""

    left = 1

    def _ends(self, places: Sequence[TopicPartition], *, isolation: str) -> dict[tuple[str, int], tuple[int, int]]:
        if not self.left:
            return super()._ends(places, isolation=isolation)
        self.left -= 1
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            threading.Event().wait(PATIENCE_S)
        raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))


@pytest.fixture
def topics(kafka: Broker, topic: str, monkeypatch: pytest.MonkeyPatch) -> Unsettled:
    monkeypatch.setattr(topic_module, "_LED_S", PATIENCE_S)
    kafka.create_topic(topic)
    return Unsettled(client.admin({"bootstrap.servers": kafka.address}, client.Told()), [topic])


def test_who_answers_late_is_asked_again(topics: Unsettled, topic: str) -> None:
    assert topics.ends([TopicPartition(topic, 0)], isolation="read_committed") == {(topic, 0): (0, 0)}


@pytest.mark.parametrize("partition", [0, 1])
def test_a_partition_that_the_brokers_list_is_not_to_be_made(topics: Unsettled, topic: str, partition: int) -> None:
    topics.left = 1_000
    with pytest.raises(Fatal if partition else Retryable) as told, explained("asking where it ends"):
        topics.ends([TopicPartition(topic, partition)], isolation="read_committed")
    assert ("create the topic" in str(told.value)) == bool(partition)


def test_an_error_that_is_told_as_it_came_is_not_its_own_cause(topics: Unsettled, topic: str) -> None:
    topics.left = 1_000
    with pytest.raises(KafkaException) as told:
        topics.ends([TopicPartition(topic, 1)], isolation="read_committed")
    assert told.value.__cause__ is None
