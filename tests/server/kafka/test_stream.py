"""A stream of a Kafka source call by call: what comes at an awkward moment is neither skipped nor taken for more."""

from __future__ import annotations

import time

import pytest

from servers.kafka import Broker
from tailrace.source.kafka import Kafka
from tests.server.kafka.filling import fill
from tests.server.kafka.stepping import Steps, stepping
from tests.waiting import until


def source(broker: Broker, topic: str, **options: object) -> Kafka:
    return Kafka(f"kafka://{broker.address}/{topic}?group={topic}", **options)  # type: ignore[arg-type]


def tend(steps: Steps, for_s: float) -> None:
    """The shelf is full for so long."""
    began = time.monotonic()
    until(lambda: steps.stream.tend() or time.monotonic() - began > for_s)


@pytest.mark.parametrize("until_current", [False, True])
def test_i6_what_comes_while_a_partition_waits_to_be_claimed_is_read_in_its_turn(
    kafka: Broker, topic: str, until_current: bool
) -> None:
    kafka.create_topic(topic)
    fill(kafka, topic, range(5))
    with stepping(source(kafka, topic), until_current=until_current) as steps:
        steps.until_offered()
        tend(steps, 1)  # longer than it takes until partitions are paused
        fill(kafka, topic, range(5, 8))
        tend(steps, 2)
        steps.begin()
        tend(steps, 1)
        steps.until_read(8)
        assert steps.ids == list(range(8))
