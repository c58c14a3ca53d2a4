"""Dead letters in topics: tried again after pauses, in the order of their keys, by whoever has the partition."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition

import tailrace as tr
from servers.kafka import Broker
from servers.process import free_port
from tailrace import Pipeline
from tailrace._native import BatchBuilder
from tailrace.config import load
from tailrace.contract import Letters
from tailrace.dead_letters import Kafka
from tailrace.dead_letters.letter import Letter
from tailrace.dead_letters.request import Action
from tailrace.error import ConfigError, Fatal, Retryable
from tailrace.model import Column, Limits, Table
from tailrace.testing.fake import AtomicSink, Target
from tests.cli.conftest import Cli
from tests.counting import calls
from tests.server.kafka.filling import event, fill, produce
from tests.server.kafka.test_group import source
from tests.server.sink.kafka.topics import read
from tests.waiting import until

QUICK = Limits(backoff_s_max=0.01)


class Shop:
    """Functions on a topic: those of `broken` ids fail, and all that were done are noted, in order."""

    def __init__(self, broker: Broker, topic: str, folder: Path, *, delays: tuple[float, ...] = ()) -> None:
        self.url = f"kafka://{broker.address}/{topic}_dead"
        self.done: list[tuple[int, int]] = []
        self.tries: dict[int, int] = {}
        self.broken: set[int] = set()
        self.heal_after: dict[int, int] = {}
        app = tr.App(
            f"kafka://{broker.address}/{topic}?group={topic}",
            name="search",
            dead_letters=tr.DeadLetterTopic(self.url, retry_delays_s=delays),
            limits=QUICK,
        )

        @app.on("public.orders", retries=1)
        def note(change: tr.Change) -> None:
            after: Any = change.after
            key = after["id"]
            self.tries[key] = self.tries.get(key, 0) + 1
            if key in self.broken or self.tries[key] <= self.heal_after.get(key, 0):
                raise OSError("not now")
            self.done.append((key, after["n"]))

        self.pipeline = app.pipeline(state_dir=folder)

    def of(self, key: int) -> list[int]:
        return [n for each, n in self.done if each == key]

    @property
    def parked(self) -> int:
        return self.pipeline.status().dead_letters


@contextmanager
def open_for_business(*shops: Shop) -> Iterator[None]:
    """The Apps run in threads of their own."""
    failed: list[BaseException] = []

    def run(shop: Shop) -> None:
        try:
            shop.pipeline.run()
        except BaseException as error:  # noqa: BLE001 - raised below
            failed.append(error)

    threads = [threading.Thread(target=run, args=[shop]) for shop in shops]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for shop in shops:
            shop.pipeline.stop()
        for thread in threads:
            thread.join(60)
    assert not failed, failed


def update(broker: Broker, topic: str, key: int, n: int, **to: int) -> None:
    produce(broker, topic, [(json.dumps({"id": key}).encode(), event("u", after={"id": key, "n": n}))], **to)


def held(broker: Broker, topic: str) -> dict[str, tuple[Any, dict[str, str]]]:
    """What a compacted topic holds: value and headers by key."""
    found: dict[str, tuple[Any, dict[str, str]]] = {}
    for record in read(broker, topic):
        key = (record.key or b"").decode()
        if key.startswith("owner/"):
            continue
        found.pop(key, None)
        if record.value is not None:
            found[key] = json.loads(record.value), {name: text.decode() for name, text in record.headers}
    return found


def test_what_fails_is_tried_again_after_pauses_while_other_keys_go_on(
    kafka: Broker, topic: str, tmp_path: Path
) -> None:
    kafka.create_topic(topic)
    shop = Shop(kafka, topic, tmp_path, delays=(0.2, 0.3, 0.2))
    shop.heal_after = {2: 5}  # two tries at first, then two each round: the third round has it
    fill(kafka, topic, range(4))
    with open_for_business(shop):
        until(lambda: shop.of(3), "for the key behind it")
        update(kafka, topic, 2, 20)
        update(kafka, topic, 3, 30)
        until(lambda: shop.of(3) == [3, 30], "for other keys")
        until(lambda: shop.of(2) == [2, 20], "for both changes of the key, in order")
        until(lambda: shop.parked == 0, "for nothing to be parked")
        update(kafka, topic, 2, 200)
        until(lambda: shop.of(2) == [2, 20, 200], "for the key to be free again")
    assert shop.tries[2] == 6 + 2
    assert held(kafka, f"{topic}_dead.retry") == held(kafka, f"{topic}_dead") == {}


def test_after_the_last_try_it_is_a_dead_letter_that_says_where_it_came_from(
    kafka: Broker, topic: str, tmp_path: Path
) -> None:
    cli = Cli(tmp_path, os.environ)
    kafka.create_topic(topic)
    shop = Shop(kafka, topic, tmp_path, delays=(0.1, 0.1))
    shop.broken = {1}
    fill(kafka, topic, range(3))
    with open_for_business(shop):
        until(lambda: shop.of(2), "for the key behind it")
        update(kafka, topic, 1, 10)
        until(lambda: len(held(kafka, f"{topic}_dead")) == 2, "for the dead letter, and the one behind it")
        until(lambda: not held(kafka, f"{topic}_dead.retry"), "for nothing to wait")
        by_offset = {told["tailrace.offset"]: told for _, told in held(kafka, f"{topic}_dead").values()}
        assert by_offset.keys() == {"1", "3"}
        told = by_offset["1"]
        assert (told["tailrace.topic"], told["tailrace.partition"]) == (topic, "0")
        assert (told["tailrace.attempts"], told["tailrace.pipeline"]) == ("3", "search")
        assert told["tailrace.timestamp"] == "1700000000000"
        assert "OSError" in told["tailrace.error"]
        assert told["tailrace.table"] == "public.orders"
        listed = json.loads(cli.run("dead-letters", "list", shop.url, "--json").out)
        assert [letter["op"] for letter in listed] == ["c", "u"]
        assert shop.tries[1] == 6
        again = cli.run("dead-letters", "replay", shop.url)
        assert again.code == 5, again.err
        assert "still parked 2" in again.out
        assert shop.tries[1] == 8
        shop.broken.clear()
        assert cli.run("dead-letters", "replay", shop.url).code == 0
        assert shop.of(1) == [1, 10]
    assert held(kafka, f"{topic}_dead") == {}


def test_letters_are_dropped_while_the_app_runs_and_while_it_does_not(
    kafka: Broker, topic: str, tmp_path: Path
) -> None:
    cli = Cli(tmp_path, os.environ)
    kafka.create_topic(topic)
    shop = Shop(kafka, topic, tmp_path)
    shop.broken = {0, 1}
    fill(kafka, topic, range(2))
    with open_for_business(shop):
        until(lambda: shop.parked == 2, "for the letters")
        first, second = (letter["id"] for letter in json.loads(cli.run("dead-letters", "list", shop.url, "--json").out))
        assert cli.run("dead-letters", "drop", shop.url, first, "--yes").code == 0
        until(lambda: shop.parked == 1, "for the App to hear of it")
        shop.broken.clear()
        update(kafka, topic, 0, 10)
        update(kafka, topic, 1, 11)
        until(lambda: shop.of(0) == [10], "for the key to be free")
        until(lambda: shop.parked == 2, "for what is behind the other")
    assert cli.run("dead-letters", "show", shop.url, second).out.count("\n") == 1
    assert cli.run("dead-letters", "drop", shop.url, "--yes").out == "dropped 2\n"
    with open_for_business(shop):
        update(kafka, topic, 1, 12)
        until(lambda: shop.of(1) == [12], "for the other key to be free")


def test_a_member_that_gets_the_partition_knows_what_is_parked_of_it(kafka: Broker, topic: str, tmp_path: Path) -> None:
    kafka.create_topic(topic, 4)
    first, second = (Shop(kafka, topic, tmp_path / str(at), delays=(1.0,) * 100) for at in range(2))
    first.broken = second.broken = {0, 1, 2, 3}
    for key in range(4):
        update(kafka, topic, key, 1, partition=key)
    with open_for_business(first):
        until(lambda: first.parked == 4, "for the letters")
        with open_for_business(second):
            until(lambda: first.parked == second.parked == 2, "for the letters to be shared with the partitions")
    with open_for_business(second):
        until(lambda: second.parked == 4, "for all of them to go over")
        for key in range(4):
            update(kafka, topic, key, 2, partition=key)
        until(lambda: second.parked == 8, "for the later changes to be parked behind them")
        second.broken.clear()
        until(lambda: second.parked == 0, "for the next round")
    assert first.done == []
    assert [second.of(key) for key in range(4)] == [[1, 2]] * 4


def test_a_member_without_a_partition_leaves_the_letters_to_the_others(
    kafka: Broker, topic: str, tmp_path: Path
) -> None:
    kafka.create_topic(topic)
    first, second = (Shop(kafka, topic, tmp_path / str(at), delays=(0.1,) * 1_000) for at in range(2))
    first.broken = second.broken = {0}
    fill(kafka, topic, range(1))
    with open_for_business(first):
        until(lambda: first.parked == 1, "for the letter")
        with open_for_business(second):
            until(lambda: second.pipeline.status().state == "streaming", "for the other member")
            tries = first.tries[0]
            until(lambda: first.tries[0] > tries + 4, "for rounds that the other member could have taken part in")
    assert second.tries == {}


def row(at: int) -> tr.Batch:
    """An insert at this offset, of a row of its own."""
    builder = BatchBuilder("kafka/cluster/topic/0")
    builder.begin(xid=0, at=f"{at:020d}", committed_at_us=1_700_000_000_000_000)
    builder.add("c", Table("public", "orders", [Column("id", "int8")], key=["id"]), after={"id": str(at)})
    builder.commit()
    return builder.take()


def test_a_letter_more_costs_the_same_however_many_are_parked(kafka: Broker, topic: str) -> None:
    """Counted for one of few and for one of many; what others would see of it is read back each time."""
    settings = Kafka(f"kafka://{kafka.address}/{topic}_dead", retry_delays_s=[600])
    letters = settings.open("p", Limits())

    def park(at: int) -> None:
        letters.park(row(at), {0: "not now"})
        letters.parked(row(at + 10_000))
        assert letters.count() == at + 1

    def answer() -> None:
        assert letters.replay(lambda batch, transform: None, {}) == 0

    def idle() -> int:
        until(lambda: answer() or len(letters._store._pile._touched) == 0, "for the rest")  # type: ignore[attr-defined]
        return min(calls(answer) for _ in range(10))

    # How often the client is asked until an answer has come is chance: the least of ten has the least of it.
    few, idle_few = min(calls(lambda at=at: park(at)) for at in range(10)), idle()  # type: ignore[misc]
    for at in range(10, 190):
        park(at)
    many, idle_many = min(calls(lambda at=at: park(at)) for at in range(190, 200)), idle()  # type: ignore[misc]
    letters.close()
    assert many < few + 20
    assert idle_many < idle_few + 20


def test_nobody_waits_for_topics_of_dead_letters_once_a_stop_is_asked_for(
    kafka: Broker, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tailrace.dead_letters.store.make_compacted", lambda *_, **__: None)  # not there for long
    asked = iter([False, False])
    with pytest.raises(Retryable, match="stopped before Kafka was open"):
        Kafka(f"kafka://{kafka.address}/{topic}_dead").open("p", Limits(), stopped=lambda: next(asked, True))


@pytest.mark.parametrize("make", [True, False])
def test_brokers_that_go_while_topics_of_dead_letters_are_listed_are_waited_for(
    monkeypatch: pytest.MonkeyPatch, make: bool
) -> None:
    monkeypatch.setattr("tailrace.dialect.kafka.client.reach", lambda *_, **__: 1)  # they were there just now
    monkeypatch.setattr("tailrace.dialect.kafka.make._ASK_S", 0.5)
    with pytest.raises(Retryable, match="listing the topics"):
        Kafka(f"kafka://127.0.0.1:{free_port()}/dead").store("p", make=make)


def test_what_is_asked_of_a_letter_that_is_not_read_yet_is_not_done(kafka: Broker, topic: str) -> None:
    letter = Letter.of(row(0)[0], "why", 1)
    settings = Kafka(f"kafka://{kafka.address}/{topic}_dead", retry_delays_s=[600])
    owner, other = (settings.store("p", nbytes_max=1 << 20) for _ in range(2))
    retries = [TopicPartition(f"{topic}_dead.retry", 0)]
    other._consumer.pause(retries)  # nothing says in which order two topics are read
    owner.park([letter])
    owner.ask(Action.REPLAY, [letter.id])
    until(lambda: other._take(0) or letter.id in other.open_asks(), "for the request")
    other._consumer.resume(retries)
    other.refresh()
    assert other.asked() == {Action.REPLAY: [letter.id]}
    owner.refresh()
    owner.remove([letter.id], "replayed")
    until(lambda: other.refresh() or other.asked() or not other.open_asks(), "for the request to be done with")
    for store in (owner, other):
        store.close()


def test_of_two_pipelines_that_open_one_topic_at_once_one_parks_and_its_letter_stays(kafka: Broker, topic: str) -> None:
    """Both would park the same change under the same id, and the topic would keep the later of the two letters."""
    settings, both = Kafka(f"kafka://{kafka.address}/{topic}_dead"), threading.Barrier(2)
    opened, refused = dict[str, Letters](), dict[str, Fatal]()

    def begin(name: str) -> None:
        both.wait(60)
        try:
            opened[name] = settings.open(name, Limits())
        except Fatal as error:
            refused[name] = error
        both.wait(60)
        if name in opened:
            opened[name].park(row(0), {0: f"no, says {name}"})

    threads = [threading.Thread(target=begin, args=[name]) for name in ("first", "second")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    told = [told["tailrace.error"] for _, told in held(kafka, f"{topic}_dead").values()]
    assert told == [f"no, says {name}" for name in opened]
    [(owner, letters)], [(other, error)] = opened.items(), refused.items()
    assert f"of the pipeline {owner!r}, not of {other!r}" in str(error)
    letters.close()
    again = settings.open(owner, Limits())
    assert again.count() == 1
    again.close()
    with pytest.raises(Fatal, match=f"of the pipeline '{owner}'"):
        settings.open(other, Limits())


def test_letters_of_another_pipeline_are_refused(kafka: Broker, topic: str, tmp_path: Path) -> None:
    settings = Kafka(f"kafka://{kafka.address}/{topic}_dead")
    (first := settings.open("first", Limits())).park(row(0), {0: "not now"})
    with pytest.raises(Fatal, match="offset 1: a dead letter of the pipeline 'first'") as refused:
        settings.open("second", Limits())
    assert refused.value.hint == "give the dead letters of each pipeline a topic of their own"
    first.close()
    (tmp_path / "shop.toml").write_text(f"""
[pipeline.second]
source = "kafka://{kafka.address}/{topic}?group={topic}"
sink = "file:out.jsonl"
[pipeline.second.dead_letters]
kind = "kafka"
url = "{settings.url}"
""")
    cli = Cli(tmp_path, os.environ)
    dropped = cli.run("dead-letters", "drop", "shop.toml", "second", "--yes")
    assert dropped.code != 0 and "of the pipeline 'first'" in dropped.err
    assert len(held(kafka, f"{topic}_dead")) == 1
    assert "not now" in cli.run("dead-letters", "list", settings.url).out  # who says which topic means all of it


def test_a_record_that_is_not_understood_goes_to_the_topic_of_dead_letters_at_once(
    kafka: Broker, topic: str, tmp_path: Path
) -> None:
    kafka.create_topic(topic)
    fill(kafka, topic, range(2))
    produce(kafka, topic, [(b"k", b"\x00\x01secret")])
    fill(kafka, topic, range(2, 4))
    (tmp_path / "shop.toml").write_text(f"""
[pipeline.shop]
sink = "duckdb:shop.duckdb"
[pipeline.shop.source]
kind = "kafka"
url = "kafka://{kafka.address}/{topic}?group={topic}"
[pipeline.shop.dead_letters]
kind = "kafka"
url = "kafka://{kafka.address}"
topic = "{topic}_dead"
retry_delays_s = [60]
""")
    pipeline = load(tmp_path / "shop.toml", ["shop"]).pipelines["shop"]
    pipeline.run(until_current=True)
    assert pipeline.status().changes == 4
    [(_, told)] = held(kafka, f"{topic}_dead").values()
    assert (told["tailrace.topic"], told["tailrace.offset"]) == (topic, "2")
    assert held(kafka, f"{topic}_dead.retry") == {}
    cli = Cli(tmp_path, os.environ)
    assert "\n" in cli.run("dead-letters", "list", "shop.toml", "shop").out
    assert cli.run("dead-letters", "drop", "shop.toml", "shop", "--yes").out == "dropped 1\n"


def test_a_replay_into_an_exactly_once_sink_arrives_once(kafka: Broker, topic: str, tmp_path: Path) -> None:
    kafka.create_topic(topic, 2)
    fill(kafka, topic, range(20))
    target = Target()
    made = source(kafka, topic)
    letters = Kafka(f"kafka://{kafka.address}/{topic}_dead", retry_delays_s=[0.2] * 100)
    broken = {"on": True}

    def transform(batch: tr.Batch) -> tr.Batch:
        wrong = {at: "not this one" for at, change in enumerate(batch) if change.after and change.after["id"] == 7}
        if broken["on"] and wrong:
            raise tr.Reject(wrong)
        return batch

    members = [
        Pipeline(
            made,
            AtomicSink(target),
            name="p",
            transforms=[transform],
            state_dir=tmp_path / str(at),
            dead_letters=letters,
        )
        for at in range(2)
    ]
    threads = [threading.Thread(target=member.run) for member in members]
    for thread in threads:
        thread.start()
    try:
        until(lambda: len(target.records) == 19, "for all others")
        broken["on"] = False
        until(lambda: len(target.records) == 20, "for the parked one")
    finally:
        for member in members:
            member.stop()
        for thread in threads:
            thread.join(60)
    assert sorted(map(int, filter(None, target.keys))) == list(range(20))
    assert held(kafka, f"{topic}_dead.retry") == {}


def test_topics_that_hold_something_else_are_refused(kafka: Broker, topic: str, tmp_path: Path) -> None:
    kafka.create_topic(f"{topic}_dead")
    produce(kafka, f"{topic}_dead", [(b"k", b"{}")])
    kafka.create_topic(topic)
    with pytest.raises(Fatal, match="offset 0: not a dead letter"):
        Shop(kafka, topic, tmp_path).pipeline.run(until_current=True)


def test_letters_beyond_the_limit_stop_the_pipeline(kafka: Broker, topic: str, tmp_path: Path) -> None:
    kafka.create_topic(topic)
    fill(kafka, topic, range(50))
    letters = Kafka(f"kafka://{kafka.address}/{topic}_dead", bytes_max=3_000)

    def transform(batch: tr.Batch) -> tr.Batch:
        raise tr.Reject(dict.fromkeys(range(len(batch)), "none of them"))

    made = Pipeline(
        source(kafka, topic),
        AtomicSink(Target()),
        name="p",
        transforms=[transform],
        state_dir=tmp_path,
        dead_letters=letters,
    )
    with pytest.raises(Fatal, match="are full: 3000 bytes"):
        made.run(until_current=True)


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        ("kafka://broker:9092", {}, "stands in the URL or in topic, once"),
        ("kafka://broker:9092/a", {"topic": "b"}, "stands in the URL or in topic, once"),
        ("kafka://broker:9092/a", {"retry_topic": "a"}, "retry_topic is the topic of dead letters"),
        ("kafka://broker:9092/a", {"retry_delays_s": [-1]}, "a delay is below 0"),
        ("kafka://broker:9092/a?acks=1", {}, "the option 'acks' is Tailrace's own"),
        ("kafka://broker:9092/a?request.required.acks=1", {}, "the option 'request.required.acks' is Tailrace's own"),
        ("kafka://broker:9092/a?retries=1", {}, "the option 'retries' is Tailrace's own"),
        ("kafka://broker:9092/a", {"options": {"delivery.timeout.ms": "1"}}, "'delivery.timeout.ms' is Tailrace's own"),
        ("kafka://broker:9092/a", {"options": {"transactional.id": "t"}}, "'transactional.id' is Tailrace's own"),
        ("kafka://broker:9092/a", {"options": {"enable.auto.commit": "1"}}, "'enable.auto.commit' is Tailrace's own"),
        ("kafka://me:secret@broker:9092/a", {}, "no mechanism is given"),
    ],
)
def test_settings_that_cannot_be_are_refused(url: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Kafka(url, **options)
