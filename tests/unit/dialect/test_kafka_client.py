"""What a client says beside its results: which of it stops a pipeline. Never connects to a broker."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from tailrace.dialect.kafka import client
from tailrace.dialect.kafka.client import Told


def test_a_refusal_lasts_when_it_is_said_again_and_nothing_came_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(client.time, "monotonic", lambda: now)
    told = Told()
    for at, lasting in ((100.0, False), (105.0, False), (110.0, True)):
        now = at
        told(KafkaError(KafkaError._SSL))
        assert told.lasts is lasting
    told.answered()
    assert not told.lasts
    now = 130.0
    told(KafkaError(KafkaError._SSL))
    assert not told.lasts
    now = 200.0
    assert not told.lasts
