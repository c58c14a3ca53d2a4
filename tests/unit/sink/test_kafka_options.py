"""What the Kafka sink refuses in its own configuration, before a broker is asked."""

from __future__ import annotations

from typing import Any

import pytest

from tailrace.dialect.kafka import client
from tailrace.dialect.kafka.client import Told
from tailrace.error import ConfigError
from tailrace.sink.kafka import Kafka


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        ("kafka://b:9092/topic", {}, "names no topic"),
        ("kafka://b:9092?acks=1", {}, "'acks' is Tailrace's own"),
        ("kafka://b:9092", {"delivery.timeout.ms": "1"}, "'delivery.timeout.ms' is Tailrace's own"),
        ("kafka://b:9092", {"metadata.broker.list": "c:9092"}, "'metadata.broker.list' is Tailrace's own"),
        ("kafka://b:9092?retries=1", {}, "'retries' is Tailrace's own"),
        ("kafka://b:9092", {"message.send.max.retries": "1"}, "'message.send.max.retries' is Tailrace's own"),
        ("kafka://b:9092", {"queuing.strategy": "lifo"}, "'queuing.strategy' is Tailrace's own"),
        ("kafka://b:9092", {"transaction.timeout.ms": "1000"}, "'transaction.timeout.ms' is Tailrace's own"),
        ("kafka://b:9092", {"default.topic.config": ""}, "'default.topic.config' is Tailrace's own"),
        ("kafka://b:9092", {"message.max.bytes": "10MB"}, "'message.max.bytes' is a whole number"),
    ],
)
def test_settings_that_cannot_be_are_refused(url: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Kafka(url, options=options)


@pytest.mark.parametrize("transactions", [False, True])
def test_what_durability_and_order_hang_on_is_what_the_producer_is_told(transactions: bool) -> None:
    told = Kafka("kafka://b:9092?linger.ms=1", options={"batch.size": "2000"}, transactions=transactions).producing("p")
    promised = {"enable.idempotence": True, "acks": "all", "message.timeout.ms": 0, "partitioner": "murmur2_random"}
    assert {name: told[name] for name in promised} == promised
    assert not {"retries", "message.send.max.retries"} & told.keys()  # the client's default is without end
    assert (told["linger.ms"], told["batch.size"], "transactional.id" in told) == ("1", "2000", transactions)


def test_the_clients_own_queue_is_bounded() -> None:
    waiting = client.producer(Kafka("kafka://127.0.0.1:9").producing("p"), Told())
    taken = 0
    with pytest.raises(BufferError):
        while True:
            waiting.produce("t", b"x" * 1_000_000)
            taken += 1
    assert taken == 16
    waiting.purge()
    waiting.close()


@pytest.mark.parametrize("name", ["max.in.flight", "max.in.flight.requests.per.connection"])
def test_more_requests_in_flight_than_brokers_keep_in_order_are_refused_by_the_client(name: str) -> None:
    sink = Kafka("kafka://127.0.0.1:9", options={name: "6"})
    with pytest.raises(ConfigError, match=r"`max\.in\.flight` must be set <= 5"):
        client.producer(sink.producing("p"), Told())
