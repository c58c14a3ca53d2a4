"""Offsets that the group does not take: told once, sent again, and there once it takes them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from servers.kafka import Broker
from tailrace.source.kafka import Kafka
from tests.server.kafka.filling import fill
from tests.server.kafka.stepping import stepping
from tests.waiting import until


def take(broker: Broker, nbytes: int) -> None:
    """Let the topic of groups' offsets take records of so many bytes; returns once the broker does so."""
    entry = ConfigEntry("max.message.bytes", str(nbytes), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, "__consumer_offsets", incremental_configs=[entry])
    admin = broker.admin()
    admin.incremental_alter_configs([resource])[resource].result(30)
    with closing(Consumer({"bootstrap.servers": broker.address, "group.id": "probe"})) as probe:
        until(lambda: is_taken(probe) == (nbytes > 1), "for the broker to heed the limit")


def is_taken(consumer: Consumer) -> bool:
    """Whether an offset of this consumer's group can be committed."""
    try:
        [place] = consumer.commit(offsets=[TopicPartition("t", 0, 0)], asynchronous=False)
    except KafkaException:
        return False
    return place.error is None


def committed(broker: Broker, group: str) -> int:
    with closing(Consumer({"bootstrap.servers": broker.address, "group.id": group})) as consumer:
        [place] = consumer.committed([TopicPartition("t", 0)], timeout=30)
        return place.offset


def test_offsets_that_the_group_refused_are_told_once_and_committed_when_it_takes_them(
    start_kafka: Callable[..., Broker], caplog: pytest.LogCaptureFixture
) -> None:
    broker = start_kafka()
    broker.create_topic("t")
    fill(broker, "t", range(5))

    def told() -> list[str]:
        lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        return [line for line in lines if "did not take offset" in line]

    with stepping(Kafka(f"kafka://{broker.address}", ["t"], group="g")) as steps:
        steps.until_offered()
        steps.begin()
        steps.until_read(5)
        refusals, note = [], steps.stream.offsets.note

        def noting(*said: object) -> None:
            refusals.append(said)
            note(*said)  # type: ignore[arg-type]

        steps.stream.offsets.note = noting  # type: ignore[method-assign]
        take(broker, 1)
        steps.stream.confirm(steps.positions)
        until(lambda: steps.read() or len(refusals) >= 3, "for three refusals")
        [line] = told()
        assert "topic t, partition 0" in line
        assert committed(broker, "g") < 0
        take(broker, 1_000_000)
        until(lambda: steps.read() or committed(broker, "g") == 5, "for the offset")
        fill(broker, "t", [5])
        steps.until_read(6)
        take(broker, 1)
        steps.stream.confirm(steps.positions)
    assert len(told()) == 2, "what was not taken at the end is told too"
    assert committed(broker, "g") == 5
