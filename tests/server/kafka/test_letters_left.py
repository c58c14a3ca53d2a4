"""Dead letters in topics, in pieces: what a member that was killed has left, what is read of a request before its rest,
and how often a change is tried that waited for another."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import tailrace as tr
from servers.kafka import Broker
from tests.server.kafka.filling import event, produce
from tests.server.kafka.test_dead_letters import QUICK, held
from tests.waiting import until


def test_a_change_that_waited_behind_another_has_all_its_tries(kafka: Broker, topic: str, tmp_path: Path) -> None:
    dead = f"{topic}_dead"
    fails = {1: 3, 2: 3}
    tries, done = Counter[int](), list[int]()
    shop = tr.App(
        f"kafka://{kafka.address}/{topic}?group={topic}",
        name="search",
        dead_letters=tr.DeadLetterTopic(f"kafka://{kafka.address}/{dead}", retry_delays_s=(0.05,) * 3),
        limits=QUICK,
    )

    @shop.on("public.orders", retries=0)
    def note(change: tr.Change) -> None:
        row: Any = change.after
        tries[n := row["n"]] += 1
        if tries[n] <= fails.get(n, 0):
            raise OSError("not now")
        done.append(n)

    kafka.create_topic(topic)
    versions = (1, 2, 3)
    produce(kafka, topic, [(b'{"id": 7}', event("u", after={"id": 7, "n": n})) for n in versions])
    pipeline = shop.pipeline(state_dir=tmp_path)
    running = threading.Thread(target=pipeline.run)
    running.start()
    try:
        until(lambda: done == [1, 2, 3] or held(kafka, dead), "for all of them")
    finally:
        pipeline.stop()
        running.join(60)
    assert done == [1, 2, 3]
    assert tries == {1: 4, 2: 4, 3: 1}
    assert held(kafka, dead) == {}
