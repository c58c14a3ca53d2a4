"""Functions whose one call outlasts `max.poll.interval.ms` several times over: the group hears from their members all
the while, and nothing is done twice."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from confluent_kafka import ConsumerGroupState

import tailrace as tr
from servers.kafka import Broker
from tailrace.model import Limits
from tailrace.source.kafka import Kafka
from tests.server.kafka.filling import Member, fill, running
from tests.server.kafka.test_group import IMPATIENT, PROTOCOLS
from tests.waiting import until

KINDS = ("plain", "async", "concurrent")
CHANGES, INTERVALS, INTERVAL_S = 2_000, 3, 12.0
QUIET_S = 4.0
"""Longer than a member may keep an answer of its own to itself."""
SMALL = Limits(shelf_bytes_max=32 << 10, batch_bytes_max=8 << 10)
"""So that most of what there is waits at the broker, and nothing more may be read."""


@dataclass
class Slow:
    """An App whose first call ends once it is told to; what it was called with, in order."""

    source: Kafka
    kind: str
    ids: list[int] = field(default_factory=list)
    entered: threading.Event = field(default_factory=threading.Event)
    told: threading.Event = field(default_factory=threading.Event)

    def app(self) -> tr.App:
        app = tr.App(self.source, name="p", limits=SMALL)
        if self.kind == "async":

            @app.on("public.orders")
            async def wait(change: tr.Change) -> None:
                if self._enters(change):
                    await asyncio.to_thread(self.told.wait)

        else:

            @app.on("public.orders", concurrency=1 if self.kind == "plain" else 2)
            def handle(change: tr.Change) -> None:
                if self._enters(change):
                    self.told.wait()

        return app

    def _enters(self, change: tr.Change) -> bool:
        assert change.key is not None
        self.ids.append(change.key["id"])
        self.entered.set()
        return not self.told.is_set()


@contextmanager
def handling(*slow: Slow, folder: Path) -> Iterator[list[Member]]:
    """A member of each, alone in its group; all are told to go on at the end, whatever happens."""
    members = [Member(each.source, each.app(), "p", folder / each.kind, SMALL) for each in slow]
    with ExitStack() as stack:
        stack.enter_context(running(*members))
        for each in slow:
            stack.callback(each.told.set)
        yield members


def membership(broker: Broker, group: str) -> tuple[object, ...]:
    """State of a group, who is in it with which partitions, and what its coordinator has noted of it: each of its
    generations, and each member that came or was given up."""
    admin = broker.admin()
    found = admin.describe_consumer_groups([group], request_timeout=60)[group].result()
    members = [
        (member.member_id, sorted((place.topic, place.partition) for place in member.assignment.topic_partitions))
        for member in found.members
    ]
    return found.state, sorted(members), [line for line in broker.log().splitlines() if group in line]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_call_that_outlasts_the_poll_interval_several_times_does_not_cost_the_membership(
    kafka: Broker, topic: str, tmp_path: Path, protocol: str
) -> None:
    kafka.create_topic(topic)
    fill(kafka, topic, range(CHANGES))
    options = IMPATIENT[protocol] | {"max.poll.interval.ms": f"{INTERVAL_S * 1000:.0f}"}
    if protocol == "classic":
        options |= {"session.timeout.ms": f"{INTERVAL_S * 1000:.0f}"}
    url = f"kafka://{kafka.address}/{topic}"
    sources = {
        kind: Kafka(url, group=f"{topic}_{kind}", group_protocol=protocol, options=options)  # type: ignore[arg-type]
        for kind in KINDS
    }
    slow = [Slow(made, kind) for kind, made in sources.items()]

    def memberships() -> list[tuple[object, ...]]:
        return [membership(kafka, str(each.source.group)) for each in slow]

    seen: list[tuple[float, list[tuple[object, ...]]]] = []

    def settled() -> bool:
        now, found = time.monotonic(), memberships()
        if not seen or seen[-1][1] != found:
            seen.append((now, found))
        return now - seen[-1][0] > QUIET_S

    with handling(*slow, folder=tmp_path) as members:
        until(lambda: all(each.entered.is_set() for each in slow), "for the calls", timeout_s=180)
        until(settled, "for the groups to settle")
        before, began = memberships(), time.monotonic()
        assert [found[0] for found in before] == [ConsumerGroupState.STABLE] * len(KINDS)
        assert all(noted for _, _, noted in before)
        until(lambda: time.monotonic() - began > INTERVALS * INTERVAL_S, "for the group to lose patience")
        assert memberships() == before
        assert max(len(each.ids) for each in slow) <= 2
        for each in slow:
            each.told.set()
        until(lambda: all(len(each.ids) >= CHANGES for each in slow), "for the rest", timeout_s=180)
        assert memberships() == before
    assert [sorted(each.ids) for each in slow] == [list(range(CHANGES))] * len(KINDS)
    assert [member.error for member in members] == [None] * len(KINDS)
    assert [member.pipeline.status().restarts for member in members] == [0] * len(KINDS)
