"""A stop while brokers hang: it is heard wherever a pipeline waits for an answer of theirs."""

from __future__ import annotations

import pkgutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from servers import kafka as server
from tailrace import DeadLetterTopic, Pipeline
from tailrace.contract import Sink
from tailrace.dialect.kafka import client
from tailrace.format import Format
from tailrace.model import Limits
from tailrace.sink.kafka import Kafka
from tailrace.testing.fake import ListSink, Log, LogSource
from tests.server.sink.kafka.test_fault import hang
from tests.waiting import until

OPENING = ["dialect.kafka.client.reach", "sink.kafka.opening.make", "sink.kafka.ledger.read"]
WRITING = ["sink.kafka.topic.make"]
LETTERS = [
    "dialect.kafka.client.reach",
    "dead_letters.store.make_compacted",
    "dialect.kafka.make.names",
    "dead_letters.store.TopicStore._ends",
]
END_S = 60.0
"""How long the end of a pipeline is waited for."""
LONG_S = 90.0
"""How long brokers are, where no stop is heard: that must not pass for one."""


def patiently(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a stop brokers are waited for longer than a test is."""
    monkeypatch.setitem(client.reach.__kwdefaults__, "timeout_s", LONG_S)
    monkeypatch.setattr("tailrace.dialect.kafka.make._ASK_S", LONG_S)
    monkeypatch.setattr("tailrace.sink.kafka.ledger._PATIENCE_S", LONG_S)
    monkeypatch.setattr("tailrace.sink.kafka.topic._ASK_S", LONG_S)
    monkeypatch.setattr("tailrace.dead_letters.store._ASK_S", LONG_S)


def test_a_stop_is_heard_whatever_is_asked_of_brokers_that_hang(
    start_kafka: Callable[..., server.Broker], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broker = start_kafka()
    patiently(monkeypatch)
    letters = DeadLetterTopic(f"kafka://{broker.address}/dead")
    sink = Kafka(f"kafka://{broker.address}", format=Format(topic_prefix="t"), create_topics=True, transactions=True)
    cases: list[tuple[str, Sink, DeadLetterTopic | None]] = [(place, sink, None) for place in OPENING + WRITING]
    cases += [(place, ListSink(), letters) for place in LETTERS]
    for place, into, dead in cases:
        source = LogSource(log := Log())
        log.insert(1)
        pipeline = Pipeline(
            source, into, name="p", state_dir=tmp_path, dead_letters=dead, limits=Limits(stop_timeout_s=2.0)
        )
        stop_at(broker, pipeline, monkeypatch, place)


def stop_at(broker: server.Broker, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """Have the broker hang as soon as the function at `place` is called, and stop the pipeline then."""
    called, hung = threading.Event(), threading.Event()
    with monkeypatch.context() as patch:
        function = pkgutil.resolve_name(f"tailrace.{place}")

        def hanging(*given: Any, **named: Any) -> Any:
            called.set()
            assert hung.wait(60)
            return function(*given, **named)

        patch.setattr(f"tailrace.{place}", hanging)
        thread = threading.Thread(target=pipeline.run)
        thread.start()
        # A broker that was away may have lost a question, which is asked again once that has been waited for.
        until(called.is_set, f"for {place} to be called", timeout_s=2 * LONG_S)
        process = hang(broker)
        hung.set()
        pipeline.stop()
        try:
            until(lambda: not thread.is_alive(), f"for the end of a pipeline that waits in {place}", timeout_s=END_S)
        finally:
            process.resume()
            thread.join(60)
