"""The group and the broker at their worst: members come and go without a pause, the broker dies while it is read, what
comes next is gone, a member is static."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition

from servers.kafka import Broker
from tailrace.error import HistoryLost
from tailrace.model import Limits
from tailrace.testing.fake import AtomicSink, ListSink, Target
from tests.fault.row import fault, goes_on, stops
from tests.server.kafka.filling import Member, event, fill, running
from tests.server.kafka.test_group import PROTOCOLS, QUICK, source
from tests.waiting import until

SMALL = Limits(batch_bytes_max=8 << 10, shelf_bytes_max=32 << 10, backoff_s_max=0.5)


KEYS = 40


class Filler:
    """Writes versions of keys until it is stopped, the broker there or not; `count` were acknowledged then."""

    def __init__(self, broker: Broker, topic: str) -> None:
        self.count = 0
        self._producer = Producer({"bootstrap.servers": broker.address, "enable.idempotence": True})
        self._topic = topic
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def _work(self) -> None:
        while not self._stopped.wait(0.05):
            for at in range(self.count, self.count + 20):
                row = {"id": at % KEYS, "n": at}
                key = json.dumps({"id": row["id"]}).encode()
                self._producer.produce(self._topic, key=key, value=event("u", after=row))
            self._producer.poll(0)
            self.count += 20

    def __enter__(self) -> Filler:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopped.set()
        self._thread.join()
        assert self._producer.flush(60) == 0

    def compare(self, target: Target) -> None:
        """Each key's versions are in the target once, in the order in which they were written."""
        found: dict[int, list[int]] = {key: [] for key in range(KEYS)}
        for record in target.records:
            assert record.cells is not None
            found[int(record.cells["id"])].append(int(record.cells["n"]))
        assert found == {key: list(range(key, self.count, KEYS)) for key in range(KEYS)}


@fault("members join and leave, 24 times", "source, a group of up to five", goes_on("every change once"))
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_i16_a_storm_of_joins_and_leaves_loses_and_doubles_nothing(
    kafka: Broker, topic: str, tmp_path: Path, protocol: str, seed: int
) -> None:
    chance = random.Random(seed)
    kafka.create_topic(topic, 12)
    target = Target()
    # A member that leaves while it joins is one that the broker waits for as long as its session lasts.
    made = source(kafka, topic, group_protocol=protocol, options=QUICK if protocol == "classic" else {})
    members: list[Member] = []
    started = 0

    def join() -> None:
        nonlocal started
        assert all(member.alive for member in members)
        started += 1
        members.append(Member(made, AtomicSink(target), "p", tmp_path / str(started), SMALL))
        members[-1].start()

    try:
        with Filler(kafka, topic) as filler:
            join()
            target.wait(20, 60)
            for _ in range(24):
                if len(members) < 2 or (len(members) < 5 and chance.random() < 0.5):
                    join()
                else:
                    members.pop(chance.randrange(len(members))).stop()
                pause = chance.uniform(0, 0.3)
                threading.Event().wait(pause)
        until(lambda: len(target.records) >= filler.count, "for the rest", timeout_s=120)
        assert all(member.alive for member in members)
    finally:
        for member in members:
            member.pipeline.stop()
    for member in members:
        member.stop()
    filler.compare(target)


@fault("a broker is killed, and stopped, and starts again", "source", goes_on("every change once"))
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_broker_that_is_killed_and_restarted_while_it_is_read_costs_nothing(
    start_kafka: Callable[..., Broker], tmp_path: Path, protocol: str
) -> None:
    broker = start_kafka()
    topic = broker.create_topic("orders", 3)
    target = Target()
    made = source(broker, topic, group_protocol=protocol, options=QUICK if protocol == "classic" else {})
    member = Member(made, AtomicSink(target), "p", tmp_path, SMALL)
    with running(member):
        with Filler(broker, topic) as filler:
            for end in (broker.kill, broker.stop):
                before = len(target.records)
                until(lambda before=before: len(target.records) > before + 200, "for reading", timeout_s=180)  # type: ignore[misc]
                end()
                written = filler.count
                until(lambda written=written: filler.count > written + 100, "for writes to a broker that is away")  # type: ignore[misc]
                broker.start()
            before = len(target.records)
            until(lambda: len(target.records) > before + 200, "for reading on", timeout_s=180)
        until(lambda: len(target.records) >= filler.count, "for the rest", timeout_s=180)
        assert member.alive
    filler.compare(target)


@fault(
    "offsets that come next are gone",
    "source, reading",
    stops(4, "topic …, partition …: …", "with out_of_range goes on over the hole"),
)
@pytest.mark.parametrize("told", [False, True])
def test_records_that_go_while_they_are_waited_for_are_a_hole_unless_told(
    kafka: Broker, topic: str, tmp_path: Path, told: bool
) -> None:
    kafka.create_topic(topic, segment_bytes="1048576")
    fill(kafka, topic, range(60_000))  # more than the client fetches ahead, and the shelf holds
    target = Target()
    target.gate.clear()
    options = {"options": {"queued.max.messages.kbytes": "64", "fetch.message.max.bytes": "32768"}}
    made = source(kafka, topic, **({"out_of_range": "earliest"} if told else {}), **options)
    member = Member(made, ListSink(target), "p", tmp_path, SMALL)
    with running(member):
        target.wait_for(lambda: target.offers > 0, 60)
        admin = kafka.admin()
        gone = TopicPartition(topic, 0, 59_000)
        admin.delete_records([gone])[gone].result(30)
        target.gate.set()
        if told:
            until(lambda: len(target.keys) and target.keys[-1] == "59999", "for what is still there")
            assert member.alive
        else:
            until(lambda: not member.alive, "for the end")
    if not told:
        assert isinstance(member.error, HistoryLost)
        assert f"topic {topic}, partition 0" in str(member.error)
    assert len(target.keys) < 59_000


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_static_member_gets_its_partitions_back_and_nobody_else_notices(
    kafka: Broker, topic: str, tmp_path: Path, protocol: str
) -> None:
    kafka.create_topic(topic, 4)
    fill(kafka, topic, range(40))
    target = Target()

    def member(name: str) -> Member:
        made = source(kafka, topic, member=name, group_protocol=protocol)
        return Member(made, AtomicSink(target), "p", tmp_path / name)

    def held(member: Member) -> set[str]:
        return set(member.pipeline.status().positions)

    one, two = member("one"), member("two")
    with running(two):
        target.wait(40, 60)
        with running(one):
            until(lambda: (fill(kafka, topic, [0]), len(held(one)) == len(held(two)) == 2)[1], "for the sharing")
            before = held(one), held(two)
        claims = dict(target.epochs)
        again = member("one")
        with running(again):
            until(lambda: (fill(kafka, topic, [1]), len(held(again)) == 2)[1], "for it to be back")
            assert (held(again), held(two)) == before
    assert all(target.epochs[lineage] == claims[lineage] for lineage in before[1])  # nobody claimed them anew


def test_a_member_of_a_name_that_is_taken_waits_until_it_is_free(kafka: Broker, topic: str, tmp_path: Path) -> None:
    """KIP-848: the group takes no second one, where the classic protocol fences the first."""
    kafka.create_topic(topic, 2)
    fill(kafka, topic, range(20))
    target = Target()
    made = source(kafka, topic, member="one", group_protocol="consumer")
    first, second = (Member(made, AtomicSink(target), "p", tmp_path / name, SMALL) for name in ("first", "second"))
    with running(first):
        target.wait(20, 60)
        with running(second):
            said = "another member of our name"
            until(lambda: said in (second.pipeline.status().error or ""), "for the second to be told")
            fill(kafka, topic, range(20, 40))
            target.wait(40, 60)
            first.stop()
            fill(kafka, topic, range(40, 60))
            target.wait(60, 60)
            assert second.alive
    assert sorted(int(key) for key in target.keys if key) == list(range(60))
