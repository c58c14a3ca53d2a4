"""A partition that moves while its handlers are at work: whoever had it begins no call of it once another member has
begun one, and that goes on right behind the last."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections import defaultdict
from pathlib import Path

import pytest

import tailrace as tr
from servers.kafka import Broker
from tailrace.contract import BrokenOff
from tailrace.dead_letters import Kafka as DeadLetters
from tailrace.model import Limits
from tailrace.source.kafka import Kafka
from tests.server.kafka.filling import Member, event, produce, running
from tests.server.kafka.test_dead_letters import row
from tests.waiting import until

PARTITIONS, KEYS, VERSIONS = 2, 50, 10
LANES = {"in turn": 1, "parallel": 4, "parallel async": 4}
"""How many calls of different keys a member makes at a time."""
# Nobody is given up while the machine is slow: what is shown is the order of calls, not the time that they take.
OPTIONS = {
    "classic": {"session.timeout.ms": "20000", "heartbeat.interval.ms": "500", "max.poll.interval.ms": "20000"},
    "consumer": {"max.poll.interval.ms": "20000"},
}


class Ledger:
    """Which member was called with which version of which key of which partition, in order."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int, int, int]] = []
        self.quick = threading.Event()
        """Until it is set a call takes its time."""

    def of(self, member: str) -> list[int]:
        """The partitions of a member's calls."""
        return [partition for name, partition, _, _ in self.calls if name == member]

    def app(self, source: Kafka, member: str, how: str) -> tr.App:
        """The functions of a member."""
        app = tr.App(source, name="p")
        on, pause_s = app.on("public.orders", concurrency=LANES[how]), 0.2 * LANES[how]

        def note(change: tr.Change) -> None:
            row = change.after
            assert row is not None
            self.calls.append((member, int(change.position.lineage.rpartition("/")[2]), row["id"], row["n"]))

        if how == "parallel async":

            @on
            async def wait(change: tr.Change) -> None:
                note(change)
                await asyncio.to_thread(self.quick.wait, pause_s)

        else:

            @on
            def handle(change: tr.Change) -> None:
                note(change)
                self.quick.wait(pause_s)

        return app


@pytest.mark.parametrize("how", LANES)
@pytest.mark.parametrize("protocol", OPTIONS)
def test_no_call_of_a_partition_begins_once_another_member_has_it(
    kafka: Broker, topic: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, protocol: str, how: str
) -> None:
    kafka.create_topic(topic, PARTITIONS)
    for partition in range(PARTITIONS):
        rows = [{"id": key, "n": version} for version in range(1, VERSIONS + 1) for key in range(KEYS)]
        events = [(json.dumps({"id": row["id"]}).encode(), event("u", after=row)) for row in rows]
        produce(kafka, topic, events, partition=partition)
    source = Kafka(
        f"kafka://{kafka.address}/{topic}?group={topic}",
        group_protocol=protocol,  # type: ignore[arg-type]
        options=OPTIONS[protocol],
    )
    ledger = Ledger()
    first, second = (
        Member(source, ledger.app(source, name, how), "p", tmp_path / name) for name in ("first", "second")
    )
    with caplog.at_level(logging.WARNING, "tailrace"), running(first):
        until(lambda: len(ledger.calls) > 2, "for the first member's calls")
        with running(second):
            until(lambda: ledger.of("second"), "for the second member's calls")
            before = len(ledger.of("first"))
            until(lambda: len(ledger.of("first")) > before + 2, "for the first member to go on with what it has")
            ledger.quick.set()
            until(lambda: len({call[1:] for call in ledger.calls}) >= PARTITIONS * KEYS * VERSIONS, "for all calls")
    for at, (name, partition, _, _) in enumerate(ledger.calls):
        if name == "second":
            assert ("first", partition) not in [call[:2] for call in ledger.calls[at:]]
    versions = defaultdict(list)
    for name, partition, key, version in ledger.calls:
        # What is done out of its turn comes again: no position can tell of it.
        if how == "in turn" or name == "first" or version not in versions[partition, key]:
            versions[partition, key].append(version)
    assert len(versions) == PARTITIONS * KEYS
    assert all(seen == list(range(1, VERSIONS + 1)) for seen in versions.values())
    assert len(set(calls := [call for call in ledger.calls if call[0] == "second"])) == len(calls)
    assert "not finished with" not in caplog.text
    counts = [member.pipeline.status().changes for member in (first, second)]
    assert sum(counts) == PARTITIONS * KEYS * VERSIONS
    assert counts[1] == len(ledger.of("second"))  # what was left to the other is not counted
    assert [member.error for member in (first, second)] == [None, None]


def test_letters_whose_replay_was_broken_off_are_due_again_but_for_those_that_are_done(
    kafka: Broker, topic: str
) -> None:
    letters = DeadLetters(f"kafka://{kafka.address}/{topic}_dead", retry_delays_s=[0]).open("p", Limits())
    offered: list[list[tr.Position]] = []

    def write(batch: tr.Batch, transform: str | None) -> None:
        offered.append([change.position for change in batch])
        if len(offered) == 1:
            raise BrokenOff({at.lineage: at for at in offered[0][1:2]})

    for at in range(3):
        letters.park(row(at), {0: "not now"})
    with pytest.raises(BrokenOff):
        letters.replay(write, {})
    assert letters.count() == 2
    until(lambda: letters.replay(write, {}) or not letters.count(), "for the rest")
    letters.close()
    assert offered == [[at[0].position for at in map(row, range(3))], [at[0].position for at in map(row, (1, 2))]]
