"""A coordinator that goes while a group is asked who is in it, and comes back: librdkafka may end the process there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from servers import kafka as server


def test_a_question_that_was_in_the_air_when_the_coordinator_went_is_survived(
    start_kafka: Callable[..., server.Broker],
) -> None:
    """In a process of its own, which would be gone."""
    broker = start_kafka()
    broker.create_topic("t")
    command = [sys.executable, "-m", "tests.server.kafka.asking", broker.address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as asking:
        assert asking.stdin is not None and asking.stdout is not None
        try:
            assert asking.stdout.readline() == "answered\n"
            broker.kill()
            assert asking.stdout.readline() == "given up\n"
            broker.launch()
            broker.wait_ready()
            assert asking.stdout.readline() == "answered again\n"
        finally:
            asking.kill()
