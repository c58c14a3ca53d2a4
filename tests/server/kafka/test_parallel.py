"""Functions that are called for several keys of one partition at the same time."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

import tailrace as tr
from servers.kafka import Broker
from tailrace.source.kafka import Kafka
from tests.server.kafka.filling import Member, event, produce, running
from tests.server.kafka.test_group import PROTOCOLS
from tests.server.kafka.watching import Watched
from tests.waiting import TIMEOUT_S, until

LANES, KEYS, VERSIONS = 4, 200, 3
"""So many keys that no lane is without one."""


class Calls:
    """Calls whose first waits until it is told to go on, and which then go on only once `LANES` of them are under way
    at the same time; those that began and ended, in order."""

    def __init__(self) -> None:
        self.told = threading.Event()
        self.began: list[tuple[int, int]] = []
        self.ended: list[tuple[int, int]] = []
        self._met = False
        self._barrier = threading.Barrier(LANES)
        self._async_barrier = asyncio.Barrier(LANES)

    def plain(self, app: tr.App) -> None:
        """Register a function that is called on threads."""

        @app.on("public.orders", concurrency=LANES)
        def handle(change: tr.Change) -> None:
            if (row := self._begin(change))[1] == 0:
                self.told.wait()
            elif not self._met:
                self._barrier.wait(TIMEOUT_S)
                self._met = True
            self.ended.append(row)

    def asynchronous(self, app: tr.App) -> None:
        """Register one that is called in tasks."""

        @app.on("public.orders", concurrency=LANES)
        async def handle(change: tr.Change) -> None:
            if (row := self._begin(change))[1] == 0:
                await asyncio.to_thread(self.told.wait)
            elif not self._met:
                async with asyncio.timeout(TIMEOUT_S):
                    await self._async_barrier.wait()
                self._met = True
            self.ended.append(row)

    def _begin(self, change: tr.Change) -> tuple[int, int]:
        assert change.after is not None
        self.began.append(row := (change.after["id"], change.after["n"]))
        return row


@pytest.mark.parametrize("register", [Calls.plain, Calls.asynchronous], ids=["plain", "async"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_keys_of_one_partition_are_handled_at_the_same_time_and_each_in_its_order(
    kafka: Broker, topic: str, tmp_path: Path, protocol: str, register: Callable[[Calls, tr.App], None]
) -> None:
    kafka.create_topic(topic)
    rows = [{"id": KEYS, "n": 0}, *({"id": key, "n": at} for key in range(KEYS) for at in range(1, VERSIONS + 1))]
    keyed = [(json.dumps({"id": row["id"]}).encode(), event("u", after=row)) for row in rows]
    produce(kafka, topic, keyed[:1])
    source = Watched(
        Kafka(f"kafka://{kafka.address}/{topic}?group={topic}", group_protocol=protocol)  # type: ignore[arg-type]
    )
    app, calls = tr.App(source, name="p"), Calls()
    register(calls, app)
    member = Member(source, app, "p", tmp_path)
    with running(member):
        try:
            until(lambda: calls.began, "for the first call")
            produce(kafka, topic, keyed[1:])
            # What waits is handed over together once the first call is done.
            until(lambda: source.changes >= len(rows), "for the rest")
        finally:
            calls.told.set()
        until(lambda: len(calls.ended) >= len(rows) or not member.alive, "for all calls", timeout_s=2 * TIMEOUT_S)
    assert member.error is None
    assert len(calls.began) == len(rows)
    versions = defaultdict(list)
    for key, version in calls.ended:
        versions[key].append(version)
    assert versions == {KEYS: [0]} | {key: list(range(1, VERSIONS + 1)) for key in range(KEYS)}
