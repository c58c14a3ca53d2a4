"""Dead letters in topics, in pieces: what a member that was killed has left, what is read of a request before its rest,
and how often a change is tried that waited for another."""

from __future__ import annotations

import json
import threading
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

import tailrace as tr
from servers.kafka import Broker
from tailrace.dead_letters import Kafka
from tailrace.dead_letters.letter import Letter
from tailrace.dead_letters.request import Action
from tailrace.dead_letters.store import TopicStore
from tailrace.testing.fake import ListSink, Target
from tests.server.kafka.filling import event, fill, produce
from tests.server.kafka.test_dead_letters import QUICK, Shop, held, open_for_business, row
from tests.server.kafka.test_group import source
from tests.server.sink.kafka.topics import read
from tests.waiting import until


def test_a_dead_letter_that_a_killed_member_left_among_the_retries_ends_there(
    kafka: Broker, topic: str, tmp_path: Path
) -> None:
    kafka.create_topic(topic)
    shop = Shop(kafka, topic, tmp_path, delays=(0.1,))
    shop.broken = {1}
    fill(kafka, topic, range(3))
    with open_for_business(shop):
        until(lambda: held(kafka, f"{topic}_dead"), "for the dead letter")
        until(lambda: not held(kafka, f"{topic}_dead.retry"), "for its end among the retries")
    [(each, (value, told))] = held(kafka, f"{topic}_dead").items()
    tries = shop.tries[1]
    producer = Producer({"bootstrap.servers": kafka.address})
    headers: list[tuple[str, str | bytes | None]] = [*told.items(), ("tailrace.due", "1.0")]
    producer.produce(f"{topic}_dead.retry", json.dumps(value).encode(), each, partition=0, headers=headers)
    assert producer.flush(60) == 0
    with open_for_business(shop):
        until(lambda: not held(kafka, f"{topic}_dead.retry"), "for its end among the retries")
    assert held(kafka, f"{topic}_dead").keys() == {each}
    assert shop.tries[1] == tries


def test_letters_are_asked_for_and_leave_in_stream_order(kafka: Broker, topic: str) -> None:
    """Each part of it that is read, or written, first is one that may go without the rest."""
    settings = Kafka(f"kafka://{kafka.address}/{topic}_dead", retry_delays_s=[600])
    letters = [Letter.of(row(at)[0], "why", 1) for at in range(20)]
    ids = [letter.id for letter in letters]
    with closing(settings.store("p", nbytes_max=1 << 20)) as store:
        store.park(letters)
        store.bury(letters[12:])
        store.ask(Action.REPLAY, reversed(ids))
        asked = [record.key for record in read(kafka, f"{topic}_dead") if (record.key or b"").startswith(b"ask/")]
        store.remove(ids, "replayed")
    gone = [record.key for record in read(kafka, f"{topic}_dead") if record.value is None]
    waited = [record.key for record in read(kafka, f"{topic}_dead.retry") if record.value is None]
    assert asked == [f"ask/{each}".encode() for each in ids]
    assert waited[8:] == [each.encode() for each in ids[:12]]  # behind the ends of those that are dead
    assert gone == [each.encode() for each in ids[12:]]


def test_a_topic_that_busy_brokers_do_not_tell_of_in_time_is_waited_for(
    kafka: Broker, topic: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """librdkafka calls one unknown whose leader it does not hear of within a tenth of a second."""
    shop, end, blind = Shop(kafka, topic, tmp_path, delays=(0.1,) * 1_000), TopicStore._end, list[TopicStore]()

    def find(store: TopicStore, name: str) -> int:
        if shop.parked and not blind:
            blind.append(store)
        if store in blind:
            raise KafkaException(KafkaError(KafkaError._UNKNOWN_PARTITION))
        return end(store, name)

    monkeypatch.setattr(TopicStore, "_end", find)
    monkeypatch.setattr("tailrace.dead_letters.store._NEW_S", 0.0)
    kafka.create_topic(topic)
    shop.broken = {1}
    fill(kafka, topic, range(3))
    with open_for_business(shop):
        until(lambda: shop.pipeline.status().restarts, "for another life")
        shop.broken.clear()
        until(lambda: shop.of(1) == [1], "for the letter")
    assert "it is there, but the brokers do not tell of it" in str(shop.pipeline.status().error)


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
    running = threading.Thread(target=pipeline.run, daemon=True)
    running.start()
    try:
        until(lambda: done == [1, 2, 3] or held(kafka, dead), "for all of them")
    finally:
        pipeline.stop()
        running.join(60)
    assert done == [1, 2, 3]
    assert tries == {1: 4, 2: 4, 3: 1}
    assert held(kafka, dead) == {}


def test_letters_that_a_transform_refuses_together_do_not_end_each_life_of_the_pipeline(
    kafka: Broker, topic: str, tmp_path: Path
) -> None:
    kafka.create_topic(topic)
    fill(kafka, topic, range(5))
    target, first = Target(), True
    letters = Kafka(f"kafka://{kafka.address}/{topic}_dead", retry_delays_s=[600])

    def refuse(batch: tr.Batch) -> tr.Batch:
        ids = [change.after["id"] for change in batch if change.after is not None]
        if first and ids:
            raise tr.Reject(dict.fromkeys(range(len(ids)), "all of them"))
        if 3 in ids:
            raise tr.Reject("one of them")
        return batch

    pipeline = tr.Pipeline(
        source(kafka, topic), ListSink(target), name="p", state_dir=tmp_path, transforms=[refuse], limits=QUICK,
        dead_letters=letters,
    )  # fmt: skip

    def dead() -> list[tuple[Any, dict[str, str]]]:
        return [found for key, found in held(kafka, f"{topic}_dead").items() if not key.startswith("ask/")]

    pipeline.run(until_current=True)
    waiting = held(kafka, f"{topic}_dead.retry")
    assert len(waiting) == 5
    first = False
    with closing(letters.store("p", nbytes_max=1 << 20)) as store:
        store.ask(Action.REPLAY, waiting)
    running = threading.Thread(target=pipeline.run, daemon=True)
    running.start()
    try:
        until(lambda: dead() or not running.is_alive(), "for the one at fault to be dead")
        until(lambda: len(target.records) == 4 or not running.is_alive(), "for the others")
        assert running.is_alive()
    finally:
        pipeline.stop()
        running.join(60)
    [(_, told)] = dead()
    assert (told["tailrace.offset"], told["tailrace.error"]) == ("3", "one of them")
    assert held(kafka, f"{topic}_dead.retry") == {}
