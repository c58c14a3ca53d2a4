"""The Kafka source on a real broker: where it begins, how it goes on, and what stops it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import duckdb
import pytest

from servers.kafka import Broker
from tailrace import Pipeline
from tailrace.dead_letters import File
from tailrace.dead_letters.journal import read_all
from tailrace.dead_letters.request import Action, submit
from tailrace.error import ConfigError, Fatal, HistoryLost, Retryable
from tailrace.model import Severity
from tailrace.pipeline import remove
from tailrace.sink.duckdb import DuckDB
from tailrace.source.kafka import Kafka
from tailrace.testing.fake import AtomicSink, ListSink, Target
from tests.fault.row import fault, goes_on, stops
from tests.server.kafka.filling import Member, event, fill, produce, running
from tests.server.kafka.test_beginning import until_marked
from tests.waiting import until


def source(broker: Broker, topic: str, **options: object) -> Kafka:
    return Kafka(f"kafka://{broker.address}/{topic}?group={topic}", **options)  # type: ignore[arg-type]


def run(made: Kafka, target: Target, folder: Path, *, name: str = "p") -> None:
    Pipeline(made, ListSink(target), name=name, state_dir=folder).run(until_current=True, retry=False)


def rows(path: Path, table: str = "orders") -> list[tuple[int, int]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(f"SELECT id, n FROM public.{table} ORDER BY id").fetchall()


def test_a_topic_fills_a_table_and_goes_on_where_it_ended(kafka: Broker, topic: str, tmp_path: Path) -> None:
    kafka.create_topic(topic, 3)
    fill(kafka, topic, range(300))

    def pipeline() -> Pipeline:
        made = Pipeline(source(kafka, topic), DuckDB(tmp_path / "shop.duckdb"), name="p", state_dir=tmp_path)
        made.run(until_current=True, retry=False)
        return made

    pipeline()
    assert rows(tmp_path / "shop.duckdb") == [(at, at) for at in range(300)]
    key = json.dumps({"id": 7}).encode()
    changed = event("u", after={"id": 7, "n": 70})
    produce(kafka, topic, [(key, changed), (json.dumps({"id": 8}).encode(), event("d", before={"id": 8, "n": None}))])
    produce(kafka, topic, [(json.dumps({"id": 8}).encode(), None), (json.dumps({"id": 9}).encode(), None)])
    status = pipeline().status()
    expected = {at: at for at in range(300) if at not in {8, 9}} | {7: 70}
    assert dict(rows(tmp_path / "shop.duckdb")) == expected
    assert status.changes == 3


def test_plain_json_as_upsert_is_what_its_keys_hold_and_a_tombstone_takes_away(
    kafka: Broker, topic: str, tmp_path: Path
) -> None:
    kafka.create_topic(topic, 2)
    names = [json.dumps({"id": at}).encode() for at in range(4)]

    def written(*values: tuple[int, int | None]) -> list[tuple[int, int]]:
        """The table after these values of keys."""
        produce(
            kafka, topic, ((names[at], n if n is None else json.dumps({"id": at, "n": n}).encode()) for at, n in values)
        )
        made = Pipeline(source(kafka, topic, plain="upsert"), DuckDB(file), name="p", state_dir=tmp_path)
        made.run(until_current=True, retry=False)
        with duckdb.connect(str(file), read_only=True) as connection:
            return connection.execute(f'SELECT id, n FROM public."{topic}" ORDER BY id').fetchall()

    file = tmp_path / "shop.duckdb"
    assert written((0, 1), (1, 1), (2, 1), (0, 2), (1, None)) == [(0, 2), (2, 1)]
    assert written((0, 3), (1, 4), (2, None), (3, None)) == [(0, 3), (1, 4)]


def test_the_groups_offsets_say_where_to_go_on(kafka: Broker, topic: str, tmp_path: Path) -> None:
    kafka.create_topic(topic, 2)
    fill(kafka, topic, range(10))
    first, second = Target(), Target()
    run(source(kafka, topic), first, tmp_path / "a")
    assert len(first.keys) == 10
    fill(kafka, topic, range(10, 13))
    run(source(kafka, topic), second, tmp_path / "b")  # another machine: nothing but the group knows
    assert len(second.keys) == 3


def test_what_was_never_read_begins_where_it_is_told(kafka: Broker, topic: str, tmp_path: Path) -> None:
    kafka.create_topic(topic)
    fill(kafka, topic, range(5))
    target = Target()
    run(source(kafka, topic, auto_offset_reset="latest"), target, tmp_path)
    assert target.keys == []


def test_topics_that_are_made_later_are_found_by_their_pattern(kafka: Broker, topic: str, tmp_path: Path) -> None:
    kafka.create_topic(f"{topic}.one")
    fill(kafka, f"{topic}.one", [1])
    url = f"kafka://{kafka.address}?group={topic}"
    made = Kafka(url, topics=[f"{topic}.*"], options={"topic.metadata.refresh.interval.ms": "500"})
    target = Target()
    with running(Member(made, ListSink(target), "p", tmp_path)):
        target.wait(1, 60)
        kafka.create_topic(f"{topic}.two")
        fill(kafka, f"{topic}.two", [2])
        target.wait(2, 60)


@fault(
    "a record is not understood",
    "source",
    stops(1, "topic …, partition …, offset …: …", "what was before it is written"),
)
def test_a_record_that_is_not_understood_stops_behind_what_was_before(
    kafka: Broker, topic: str, tmp_path: Path
) -> None:
    kafka.create_topic(topic)
    fill(kafka, topic, range(3))
    produce(kafka, topic, [(b"k", b"\x00\x01secret")])
    fill(kafka, topic, range(3, 12_000))  # more than one read
    target = Target()
    with pytest.raises(Fatal, match=f"topic {topic}, partition 0, offset 3") as caught:
        run(source(kafka, topic), target, tmp_path)
    assert len(target.keys) == 3
    assert "secret" not in str(caught.value)


@fault(
    "a record is not understood",
    "source, with dead letters",
    goes_on("the record is parked, and read again when it is replayed"),
)
def test_with_dead_letters_a_record_that_is_not_understood_is_parked_and_reading_goes_on(
    kafka: Broker, topic: str, tmp_path: Path
) -> None:
    kafka.create_topic(topic, 2)
    fill(kafka, topic, range(300))
    for partition in (0, 1, 0):
        produce(kafka, topic, [(b"k", b"\x00\x01secret")], partition=partition)
        fill(kafka, topic, range(300, 310))
    produce(kafka, topic, [(b"k", b"{")], partition=1)
    target, letters = Target(), File(tmp_path / "dead.jsonl")
    made = source(kafka, topic)

    def again() -> None:
        Pipeline(made, AtomicSink(target), name="p", state_dir=tmp_path, dead_letters=letters).run(until_current=True)

    again()
    again()
    assert len(target.keys) == 330
    parked = read_all(letters.path)
    assert [letter.transform for letter in parked] == ["source"] * 4
    contents = [json.loads(base64.b64decode(letter.message["content"])) for letter in parked if letter.message]
    assert sorted(base64.b64decode(content["value"]) for content in contents) == [b"\x00\x01secret"] * 3 + [b"{"]
    assert "secret" not in " ".join(letter.reason for letter in parked)
    submit(letters.path, Action.REPLAY, None)
    again()
    again_parked = read_all(letters.path)
    assert [letter.attempts for letter in again_parked] == [2] * 4
    assert all(f"topic {topic}, partition" in letter.reason for letter in again_parked)
    assert "secret" not in " ".join(letter.reason for letter in again_parked)
    assert len(target.keys) == 330


def test_a_missing_topic_is_named(kafka: Broker, topic: str, tmp_path: Path) -> None:
    with pytest.raises(Fatal, match=f"the topic {topic} does not exist"):
        run(source(kafka, topic), Target(), tmp_path)


@fault(
    "offsets that come next are gone",
    "source, stopped",
    stops(
        4, "topic …, partition …: offset … comes next, and the log begins at …", "out_of_range says whether to go on"
    ),
)
def test_offsets_out_of_range_are_a_hole_unless_told(kafka: Broker, topic: str, tmp_path: Path) -> None:
    kafka.create_topic(topic)
    fill(kafka, topic, range(4))
    run(source(kafka, topic), Target(), tmp_path)
    fill(kafka, topic, range(4, 10))
    _delete_records(kafka, topic, 7)
    with pytest.raises(HistoryLost, match="offset 4 comes next, and the log begins at 7"):
        run(source(kafka, topic), Target(), tmp_path)
    target = Target()
    run(source(kafka, topic, out_of_range="earliest"), target, tmp_path)
    assert len(target.keys) == 3


@fault(
    "a topic is deleted and made anew",
    "source, stopped",
    stops(4, "the topic … was deleted and made anew since it was read"),
)
def test_a_topic_that_was_made_anew_is_not_the_same(kafka: Broker, topic: str, tmp_path: Path) -> None:
    kafka.create_topic(topic)
    fill(kafka, topic, range(4))
    run(source(kafka, topic), Target(), tmp_path)
    kafka.drop_topics(topic)
    until(lambda: topic not in kafka.admin().list_topics().topics, "for the topic to go")
    kafka.create_topic(topic)
    fill(kafka, topic, range(4))
    with pytest.raises(HistoryLost, match="was deleted and made anew since it was read"):
        run(source(kafka, topic), Target(), tmp_path)


@fault(
    "the url leads to another cluster",
    "source, stopped",
    stops(4, "the saved position is of …, but this is the cluster …", "`tailrace reset` begins anew there"),
)
@pytest.mark.parametrize("kept", ["group", "sink"])
def test_i6_positions_of_another_cluster_are_not_passed_over(
    kafka: Broker, topic: str, start_kafka: Callable[..., Broker], tmp_path: Path, kept: str
) -> None:
    """It was read from its beginning, as if nothing had ever been."""
    other, target = start_kafka(), Target()
    sink = ListSink(target) if kept == "group" else AtomicSink(target)
    for broker in (kafka, other):
        broker.create_topic(topic)
        fill(broker, topic, range(4))
    here, there = (Pipeline(source(each, topic), sink, name="p", state_dir=tmp_path) for each in (kafka, other))
    here.run(until_current=True, retry=False)
    with pytest.raises(HistoryLost, match=r"the saved position is of kafka/.*, but this is the cluster "):
        there.run(until_current=True, retry=False)
    assert len(target.keys) == 4

    def is_removed() -> bool:
        with suppress(Retryable):  # the coordinator of a broker that is new takes a moment
            remove(there)
            return True
        return False

    until(is_removed, "for the group to be let go of")
    there.run(until_current=True, retry=False)
    there.run(until_current=True, retry=False)
    assert len(target.keys) == 8


@fault("a topic is deleted, or made anew", "source, reading", stops(1, "… topic …"))
@pytest.mark.parametrize("protocol", ["classic", "consumer"])
@pytest.mark.parametrize("anew", [False, True], ids=["deleted", "made anew"])
def test_a_topic_that_is_deleted_while_it_is_read_is_a_loud_end(
    kafka: Broker, topic: str, tmp_path: Path, anew: bool, protocol: str
) -> None:
    kafka.create_topic(topic)
    fill(kafka, topic, range(4))
    target = Target()
    member = Member(source(kafka, topic, group_protocol=protocol), ListSink(target), "p", tmp_path)
    with running(member):
        target.wait(4, 60)
        kafka.drop_topics(topic)
        if anew:
            until(lambda: topic not in kafka.admin().list_topics().topics, "for the topic to go")
            kafka.create_topic(topic)
            fill(kafka, topic, range(9))
        until(lambda: not member.alive, "for the end")
    assert isinstance(member.error, Fatal)
    assert topic in str(member.error)


def test_records_of_a_transaction_that_was_given_up_are_not_read(kafka: Broker, topic: str, tmp_path: Path) -> None:
    from confluent_kafka import Producer

    kafka.create_topic(topic)
    producer = Producer({"bootstrap.servers": kafka.address, "transactional.id": topic})
    producer.init_transactions(30)
    for keep in (True, False, True):
        producer.begin_transaction()
        producer.produce(topic, value=json.dumps({"kept": keep}).encode())
        if keep:
            producer.commit_transaction(30)
        else:
            producer.flush(30)
            producer.abort_transaction(30)
    until_marked(kafka, topic, 0, 6)
    target = Target()
    run(source(kafka, topic), target, tmp_path)
    assert len(target.keys) == 2


def test_drop_removes_the_group(kafka: Broker, topic: str, tmp_path: Path) -> None:
    kafka.create_topic(topic)
    fill(kafka, topic, range(2))
    made = source(kafka, topic)
    run(made, Target(), tmp_path)
    assert made.drop("p") == [f"the consumer group {topic} with its offsets"]
    assert made.drop("p") == []


def test_check_says_what_is_there(kafka: Broker, topic: str) -> None:
    [missing] = source(kafka, topic).check()
    assert missing.severity is Severity.ERROR
    assert topic in missing.message
    kafka.create_topic(topic, 4)
    findings = source(kafka, topic).check()
    assert {finding.severity for finding in findings} == {Severity.OK}
    assert [finding.message for finding in findings] == [
        "the cluster has 1 broker(s)",
        "4 partition(s)",
        "nobody is in it",
    ]


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        ("kafka://b:9092", {}, "no topic is named"),
        ("kafka://b:9092/a", {"topics": ["b"]}, "topics stand in the URL and in topics"),
        ("kafka://b/a", {}, "names a broker without a port"),
        ("kafka://b:9092/a", {"options": {"auto.offset.reset": "latest"}}, "is Tailrace's own"),
        ("kafka://b:9092/a?metadata.broker.list=c:9092", {}, "is Tailrace's own"),
        ("kafka://b:9092/a", {"options": {"message.max.bytes": "10MB"}}, "'message.max.bytes' is no whole number"),
        ("kafka://u:secret@b:9092/a", {}, "no mechanism is given"),
        ("kafka://u:secret@b:9092/a?sasl.mechanism=PLAIN", {}, "no protocol is given"),
        ("kafka://u:secret@b:9092/a", {"options": {"sasl.mechanisms": "PLAIN"}}, "no protocol is given"),
    ],
)
def test_settings_that_cannot_be_are_refused(url: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Kafka(url, **options)  # type: ignore[arg-type]
    assert "secret" not in str(caught.value)


def _delete_records(broker: Broker, topic: str, before: int) -> None:
    from confluent_kafka import TopicPartition

    admin = broker.admin()
    for future in admin.delete_records([TopicPartition(topic, 0, before)]).values():
        future.result(30)
