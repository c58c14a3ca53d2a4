"""What the Kafka sink refuses in its own configuration, before a broker is asked."""

from __future__ import annotations

from typing import Any

import pytest

from tailrace.error import ConfigError
from tailrace.sink.kafka import Kafka


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        ("kafka://b:9092/topic", {}, "names no topic"),
        ("kafka://b:9092?acks=1", {}, "'acks' is Tailrace's own"),
        ("kafka://b:9092", {"delivery.timeout.ms": "1"}, "'delivery.timeout.ms' is Tailrace's own"),
        ("kafka://b:9092", {"metadata.broker.list": "c:9092"}, "'metadata.broker.list' is Tailrace's own"),
        ("kafka://b:9092", {"message.max.bytes": "10MB"}, "'message.max.bytes' is a whole number"),
    ],
)
def test_settings_that_cannot_be_are_refused(url: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Kafka(url, options=options)
