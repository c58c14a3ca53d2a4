"""How far a member is behind, partition by partition, as `status` shows it."""

from __future__ import annotations

import json
import os
import signal
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from confluent_kafka import Producer

from servers.kafka import Broker
from tailrace.model import Batch, Finding, Limits
from tailrace.source.kafka import Kafka
from tailrace.testing.fake import ListSink
from tests.cli.conftest import Cli
from tests.server.kafka.filling import Member, event, produce, running
from tests.waiting import until


@dataclass(frozen=True)
class Gate:
    """A sink, and its writer, that takes nothing until it is opened."""

    open_: threading.Event = field(default_factory=threading.Event)
    kind: ClassVar[str] = "gate"
    transactional: ClassVar[bool] = False
    table_like: ClassVar[bool] = False
    truncate: ClassVar[bool] = True

    def check(self) -> list[Finding]:
        return []

    def open(self, name: str, limits: Limits) -> Gate:
        return self

    def write(self, batch: Batch) -> None:
        assert self.open_.wait(180)

    def close(self) -> None:
        """Nothing is held."""


def fill(broker: Broker, topic: str, count: int, *, partition: int) -> None:
    key = json.dumps({"id": 1}).encode()
    produce(broker, topic, [(key, event("c", after={"id": 1, "n": 1}))] * count, partition=partition)


def test_records_behind_are_counted_by_partition(kafka: Broker, topic: str, tmp_path: Path) -> None:
    kafka.create_topic(topic, 2)
    fill(kafka, topic, 12_000, partition=0)
    gate = Gate()
    source = Kafka(f"kafka://{kafka.address}/{topic}", group=topic)
    member = Member(source, gate, "p", tmp_path, Limits(shelf_bytes_max=1))
    with running(member):

        def behind() -> bool:
            lags = member.pipeline.status().lags
            return lags.get(f"{topic}/0", 0) > 0 and lags.get(f"{topic}/1") == 0

        until(behind, "for records of one partition that were not read")
        gate.open_.set()
        until(lambda: member.pipeline.status().lags == {f"{topic}/0": 0, f"{topic}/1": 0}, "for the end")


def commit(broker: Broker, topic: str, ids: range) -> None:
    """Inserts of rows with these ids, each in a transaction of its own, which leaves a mark behind it in the log."""
    producer = Producer({"bootstrap.servers": broker.address, "transactional.id": topic})
    producer.init_transactions(60)
    for at in ids:
        producer.begin_transaction()
        value = event("c", after={"id": at, "n": at})
        producer.produce(topic, key=json.dumps({"id": at}).encode(), value=value, partition=0)
        producer.commit_transaction(60)


def test_a_topic_written_in_transactions_is_caught_up(kafka: Broker, topic: str, tmp_path: Path) -> None:
    kafka.create_topic(topic)
    commit(kafka, topic, range(3))
    source, sink = Kafka(f"kafka://{kafka.address}/{topic}", group=topic), ListSink()
    member = Member(source, sink, "p", tmp_path)
    status = member.pipeline.status
    with running(member):
        until(lambda: status().lags == {f"{topic}/0": 0}, "for the end of the topic")
        before = status().progressed_at
        until(lambda: status().progressed_at != before, "for a look that finds nothing to do")
        commit(kafka, topic, range(3, 5))
        until(lambda: len(sink.target.records) == 5, "for what was committed since")
        until(lambda: status().lags == {f"{topic}/0": 0}, "for the new end")
    again = Member(source, ListSink(), "p", tmp_path)
    with running(again):  # the mark behind the last record is all that is left
        until(lambda: again.pipeline.status().lags == {f"{topic}/0": 0}, "for the end after a start")


def test_status_lists_the_partitions_of_a_process(kafka: Broker, topic: str, tmp_path: Path) -> None:
    kafka.create_topic(topic, 2)
    fill(kafka, topic, 3, partition=1)
    cli = Cli(tmp_path, os.environ)
    (tmp_path / "t.toml").write_text(
        f"""
[pipeline.shop]
source = "kafka://{kafka.address}/{topic}?group={topic}"
sink = "file:out.jsonl"
"""
    )
    process = cli.start("run", "t.toml")
    try:
        wanted = {f"{topic}/0": 0, f"{topic}/1": 0}
        until(lambda: json.loads(cli.run("status", "t.toml", "--json").out)[0]["lags"] == wanted, "for partitions")
        shown = [line.split() for line in cli.run("status", "t.toml").out.splitlines()]
        assert ["PIPELINE", "PARTITION", "LAG", "RECORDS"] in shown
        assert ["shop", f"{topic}/1", "0"] in shown
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
