"""Members of one group on a real broker: partitions come and go, processes hang and are killed, and each change is
written once."""

from __future__ import annotations

import logging
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import duckdb
import pytest

from servers.kafka import Broker
from tailrace import Pipeline
from tailrace.contract import Writer
from tailrace.error import Fatal
from tailrace.model import Batch, Finding, Limits
from tailrace.source.kafka import Kafka
from tailrace.testing.fake import AtomicSink, ListSink, Target
from tests.server.kafka.filling import Member, event, fill, produce, running
from tests.waiting import until

ROOT = Path(__file__).parents[3]
PROTOCOLS = ("classic", "consumer")
QUICK = {"session.timeout.ms": "6000", "heartbeat.interval.ms": "500"}
IMPATIENT = {
    "classic": {**QUICK, "max.poll.interval.ms": "6000"},
    "consumer": {"max.poll.interval.ms": "6000"},
}
"""A member may be silent for six seconds, and take half of them to let go."""


def source(broker: Broker, topic: str, **options: object) -> Kafka:
    return Kafka(f"kafka://{broker.address}/{topic}?group={topic}", **options)  # type: ignore[arg-type]


def partitions(member: Member) -> int:
    """How many partitions a member reads now."""
    return len(member.pipeline.status().positions)


@dataclass(frozen=True, slots=True)
class Gated:
    """An exactly-once sink over a common target, whose own writes wait while its gate is shut."""

    kind: ClassVar[str] = "gated"
    transactional: ClassVar[bool] = True
    table_like: ClassVar[bool] = False
    truncate: ClassVar[bool] = True
    target: Target
    gate: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Event = field(default_factory=threading.Event)

    def check(self) -> list[Finding]:
        return []

    def open(self, name: str, limits: Limits) -> Writer:
        writer = AtomicSink(self.target).open(name, limits)
        plain = writer.write

        def write(batch: Batch) -> None:
            self.arrived.set()
            self.gate.wait()
            plain(batch)

        writer.write = write  # type: ignore[method-assign]
        return writer


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_i16_members_share_the_partitions_and_lose_and_double_nothing(
    kafka: Broker, topic: str, tmp_path: Path, protocol: str
) -> None:
    kafka.create_topic(topic, 6)
    target = Target()
    made = source(kafka, topic, group_protocol=protocol)
    members = [Member(made, AtomicSink(target), "p", tmp_path / str(at)) for at in range(3)]
    counted = iter(range(10**9))

    def more(count: int = 200) -> None:
        fill(kafka, topic, (next(counted) for _ in range(count)))

    def written() -> bool:
        more(20)
        return len(target.records) > before + 100

    more()
    with running(members[0]):
        target.wait(200, 60)
        with running(members[1], members[2]):
            before = len(target.records)
            until(written, "for changes while members join")
            until(lambda: more(5) or all(1 <= partitions(member) <= 4 for member in members), "for the sharing")
            members[1].stop()
            before = len(target.records)
            until(written, "for changes while a member leaves")
        total = next(counted)
        until(lambda: len(target.records) >= total, "for the rest")
    assert sorted(map(int, filter(None, target.keys))) == list(range(total))
    assert all(member.error is None for member in members)
    assert sum(member.pipeline.status().restarts for member in members) == 0


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_i16_a_member_that_hangs_is_given_up_and_writes_nothing_when_it_wakes(
    kafka: Broker, topic: str, tmp_path: Path, protocol: str
) -> None:
    kafka.create_topic(topic, 2)
    fill(kafka, topic, range(50))
    target = Target()
    made = source(kafka, topic, group_protocol=protocol, options=IMPATIENT[protocol])
    hanging, healthy = Gated(target), Gated(target)
    healthy.gate.set()
    first, second = (Member(made, sink, "p", tmp_path / str(at)) for at, sink in enumerate((hanging, healthy)))
    with running(first):
        assert hanging.arrived.wait(60)
        with running(second):
            until(lambda: target.records, "for the other member to take over")
            hanging.gate.set()
            until(lambda: len(target.records) >= 50, "for all")
            fill(kafka, topic, range(50, 80))
            until(lambda: len(target.records) >= 80, "for more")
    assert sorted(map(int, filter(None, target.keys))) == list(range(80))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_slow_sink_does_not_cost_the_membership(
    kafka: Broker, topic: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, protocol: str
) -> None:
    kafka.create_topic(topic)
    fill(kafka, topic, range(2_000))
    target = Target()
    target.gate.clear()
    silence = {name: "12000" for name in IMPATIENT[protocol] if name != "heartbeat.interval.ms"}
    made = source(kafka, topic, group_protocol=protocol, options=IMPATIENT[protocol] | silence)
    limits = Limits(shelf_bytes_max=32 << 10, batch_bytes_max=8 << 10)
    member = Member(made, ListSink(target), "p", tmp_path, limits)
    with caplog.at_level(logging.INFO, "tailrace"), running(member):
        target.wait_for(lambda: target.offers > 0, 60)
        began = time.monotonic()
        until(lambda: time.monotonic() - began > 15, "longer than a member may be silent")
        target.gate.set()
        target.wait(2_000, 60)
    assert "given this member up" not in caplog.text
    assert member.pipeline.status().restarts == 0
    assert len(target.keys) == len(set(target.keys)) == 2_000


def test_brokers_without_kip_848_are_told_of(start_kafka: Callable[..., Broker], tmp_path: Path) -> None:
    broker = start_kafka(settings={"group.coordinator.rebalance.protocols": "classic"})
    broker.create_topic("t")
    made = source(broker, "t", group_protocol="consumer")
    with pytest.raises(Fatal, match=r"reading: .*[Vv]ersion|reading: .*[Ff]eature"):
        Pipeline(made, ListSink(Target()), name="p", state_dir=tmp_path).run(until_current=True)


def _process(broker: Broker, topic: str, kind: str, target: str, state: Path, *once: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.server.kafka.runner", broker.address, topic, kind, target, str(state)]
    return subprocess.Popen([*command, *once], stdout=subprocess.PIPE, text=True, cwd=ROOT)


def _kill_after(process: subprocess.Popen[str], lines: int, after_s: float) -> None:
    assert process.stdout is not None
    for _ in range(lines):
        process.stdout.readline()
    try:
        process.wait(after_s)
    except subprocess.TimeoutExpired:
        process.kill()
    process.stdout.close()
    process.wait(30)


def test_kills_lose_and_double_nothing_in_duckdb(kafka: Broker, topic: str, tmp_path: Path) -> None:
    kafka.create_topic(topic, 2)
    path, source_of_chance = tmp_path / "shop.duckdb", random.Random(20261128)

    def insert(ids: range) -> None:
        produce(kafka, topic, ((None, event("c", after={"id": at, "n": at})) for at in ids))

    for life in range(5):
        insert(range(life * 3_000, (life + 1) * 3_000))
        process = _process(kafka, topic, "duckdb", str(path), tmp_path / "state")
        _kill_after(process, 1, source_of_chance.uniform(0, 0.5))
        assert process.returncode == -9
    with _process(kafka, topic, "duckdb", str(path), tmp_path / "state", "once") as last:
        last.communicate(timeout=120)
    assert last.returncode == 0
    with duckdb.connect(str(path), read_only=True) as connection:
        found = connection.execute("SELECT id FROM public.orders").fetchall()  # without a key: a repeat would be seen
    assert Counter(at for (at,) in found) == Counter(range(15_000))
