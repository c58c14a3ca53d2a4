"""What `check` says of a group whose coordinator is not there, or has just started, on a real broker."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from servers.kafka import Broker
from tailrace.model import Finding, Severity
from tailrace.source.kafka import Kafka, check
from tests.server.kafka.test_commit import is_taken
from tests.waiting import until

_OFFSETS = "__consumer_offsets"


def of_group(broker: Broker) -> Finding:
    """What is said of the group, behind the broker and the topic."""
    answered, topic, group = Kafka(f"kafka://{broker.address}/t?group=g").check()
    assert (answered.severity, topic.severity) == (Severity.OK, Severity.OK)
    return group


def test_a_coordinator_that_does_not_come_is_no_missing_right_and_is_asked_for_until_it_comes(
    start_kafka: Callable[..., Broker], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = start_kafka(settings={"offsets.topic.replication.factor": "3"})  # of one broker: it cannot be made
    broker.create_topic("t")
    monkeypatch.setattr(check, "_GROUP_S", 2.0)
    missing = of_group(broker)
    assert missing.severity is Severity.ERROR
    assert "who is in it" in missing.message and "2 s" in missing.message
    assert "acl" not in str(missing.fix) and _OFFSETS in str(missing.fix)
    monkeypatch.setattr(check, "_GROUP_S", 300.0)
    with ThreadPoolExecutor() as asking:
        answer = asking.submit(of_group, broker)
        broker.create_topic(_OFFSETS, 4, cleanup_policy="compact")
        assert answer.result(300) == Finding(Severity.OK, "group g", "nobody is in it")


def test_a_coordinator_that_loads_is_waited_for(
    start_kafka: Callable[..., Broker], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = start_kafka(settings={"offsets.topic.num.partitions": "1"})
    broker.create_topic("t")
    _commit(broker)
    _repeat(broker, 300_000)
    broker.stop()
    broker.start()
    monkeypatch.setattr(check, "_GROUP_S", 300.0)
    assert of_group(broker) == Finding(Severity.OK, "group g", "nobody is in it")


def _commit(broker: Broker) -> None:
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "g"})
    until(lambda: is_taken(consumer), "for a coordinator that has just begun")
    consumer.close()
    assert of_group(broker).severity is Severity.OK


def _repeat(broker: Broker, times: int) -> None:
    """Write what the coordinator has written of the group once more, so often: it has all of that to load."""
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "look"})
    consumer.assign([TopicPartition(_OFFSETS, 0, OFFSET_BEGINNING)])
    message = consumer.poll(60)
    assert message is not None and message.error() is None
    consumer.close()
    # Brokers let only this client write to topics of their own.
    producer = Producer(
        {
            "bootstrap.servers": broker.address,
            "client.id": "__admin_client",
            "linger.ms": 50,
            "queue.buffering.max.messages": times,
        }
    )
    for _ in range(times):
        producer.produce(_OFFSETS, key=message.key(), value=message.value(), partition=0)
    assert producer.flush(300) == 0
