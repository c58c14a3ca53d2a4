"""Where reading begins again: behind what a start at the end has seen, and behind marks that are no records."""

from __future__ import annotations

import json
import logging
from contextlib import closing
from pathlib import Path

import duckdb
import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import NewPartitions

from servers.kafka import Broker
from tailrace import Pipeline
from tailrace.error import Fatal, Retryable
from tailrace.model import Batch, Position
from tailrace.sink.duckdb import DuckDB
from tailrace.source.kafka import Kafka
from tailrace.testing.fake import AtomicSink, ListSink, Target
from tests.server.kafka.filling import Member, event, fill, produce, running
from tests.server.kafka.stepping import stepping
from tests.server.sink.kafka.topics import end_of
from tests.waiting import until

_SINKS: dict[str, type[ListSink | AtomicSink]] = {"checkpoint": ListSink, "sink": AtomicSink}


def source(broker: Broker, topic: str, **options: object) -> Kafka:
    return Kafka(f"kafka://{broker.address}/{topic}?group={topic}", **options)  # type: ignore[arg-type]


def run(made: Kafka, kept: str, target: Target, folder: Path) -> None:
    Pipeline(made, _SINKS[kept](target), name="p", state_dir=folder).run(until_current=True, retry=False)


def ids(target: Target) -> list[int]:
    return sorted(int(key or "") for key in target.keys)


def forget(broker: Broker, topic: str) -> None:
    """What retention does once all of a topic is old."""
    admin = broker.admin()  # futures die with their client
    for future in admin.delete_records([TopicPartition(topic, 0, -1)]).values():
        future.result(60)


def set_offset(broker: Broker, group: str, offset: int) -> None:
    """What `kafka-consumer-groups --reset-offsets` does."""
    tool = Consumer({"bootstrap.servers": broker.address, "group.id": group})
    tool.commit(offsets=[TopicPartition(group, 0, offset)], asynchronous=False)
    tool.close()


def until_marked(broker: Broker, topic: str, partition: int, end: int) -> None:
    """Until transactions end at offset `end` for readers: a commit is answered before their marks are written."""
    settings = {"bootstrap.servers": broker.address, "group.id": "ends", "isolation.level": "read_committed"}
    with closing(Consumer(settings)) as reader:
        place = TopicPartition(topic, partition)
        until(lambda: end_of(reader, place) == end, "for the transaction's mark")


def more_partitions(broker: Broker, topic: str) -> None:
    """It has three from now on."""
    admin = broker.admin()
    admin.create_partitions([NewPartitions(topic, 3)])[topic].result(60)
    until(lambda: len(admin.list_topics(topic).topics[topic].partitions) == 3, "for the partitions")


@pytest.mark.parametrize("kept", _SINKS)
@pytest.mark.parametrize("there", [0, 5])
def test_records_that_come_behind_a_start_at_the_end_are_read_by_the_next(
    kafka: Broker, topic: str, tmp_path: Path, kept: str, there: int
) -> None:
    """Of partitions of which nothing was read nothing was saved, and each start went to their end of now."""
    kafka.create_topic(topic, 2)
    fill(kafka, topic, range(there))
    target, made = Target(), source(kafka, topic, auto_offset_reset="latest")
    run(made, kept, target, tmp_path)
    fill(kafka, topic, range(10, 15))
    run(made, kept, target, tmp_path)
    assert ids(target) == [10, 11, 12, 13, 14]


def test_partitions_that_are_made_while_others_are_read_from_their_end_are_read_whole(
    kafka: Broker, topic: str, tmp_path: Path
) -> None:
    kafka.create_topic(topic, 1)
    fill(kafka, topic, range(5))
    options = {"topic.metadata.refresh.interval.ms": "1000"}
    member = Member(
        source(kafka, topic, auto_offset_reset="latest", options=options), ListSink(target := Target()), "p", tmp_path
    )
    with running(member):
        until(lambda: member.pipeline.status().lags == {f"{topic}/0": 0}, "for its partition")
        more_partitions(kafka, topic)
        fill(kafka, topic, range(10, 40))
        until(lambda: len(target.keys) >= 30, "for what lies in all partitions")
    assert ids(target) == list(range(10, 40))


def test_partitions_that_are_made_while_nobody_reads_are_read_whole(kafka: Broker, topic: str, tmp_path: Path) -> None:
    kafka.create_topic(topic, 1)
    fill(kafka, topic, range(5))
    target, made = Target(), source(kafka, topic, auto_offset_reset="latest")
    run(made, "checkpoint", target, tmp_path)
    more_partitions(kafka, topic)
    fill(kafka, topic, range(10, 40))
    run(made, "checkpoint", target, tmp_path)
    assert ids(target) == list(range(10, 40))


@pytest.mark.parametrize("kept", _SINKS)
def test_marks_of_transactions_that_retention_took_are_no_hole(
    kafka: Broker, topic: str, tmp_path: Path, kept: str
) -> None:
    """Behind the last record lies the mark of its transaction, which goes with it."""
    kafka.create_topic(topic)
    producer = Producer({"bootstrap.servers": kafka.address, "transactional.id": topic})
    producer.init_transactions(60)

    def written(at: int) -> None:
        producer.begin_transaction()
        producer.produce(topic, key=json.dumps({"id": at}).encode(), value=event("c", after={"id": at, "n": at}))
        producer.commit_transaction(60)
        until_marked(kafka, topic, 0, 2 * at)

    written(1)
    target = Target()
    run(source(kafka, topic), kept, target, tmp_path)
    forget(kafka, topic)
    written(2)
    run(source(kafka, topic), kept, target, tmp_path)
    assert ids(target) == [1, 2]


def test_an_offset_of_the_group_that_is_set_on_skips_a_record_and_one_that_is_set_back_does_nothing(
    kafka: Broker, topic: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kafka.create_topic(topic)
    fill(kafka, topic, [1])
    produce(kafka, topic, [(b"k", b"no event")])
    fill(kafka, topic, [2])
    target = Target()
    with pytest.raises(Fatal, match="offset 1: not a JSON value") as caught:
        run(source(kafka, topic), "checkpoint", target, tmp_path)
    assert "an offset of the group that Kafka's tools set behind it" in str(caught.value.hint)
    set_offset(kafka, topic, 2)
    run(source(kafka, topic), "checkpoint", target, tmp_path)
    set_offset(kafka, topic, 0)
    with caplog.at_level(logging.INFO, logger="tailrace.source.kafka"):
        run(source(kafka, topic), "checkpoint", target, tmp_path)
    assert ids(target) == [1, 2]
    assert "offset 3 comes next by what was saved here, and 0 by the group" in caplog.text


def test_a_group_whose_members_share_in_another_way_is_named(kafka: Broker, topic: str) -> None:
    """As those of most clients do, which have Kafka's first strategies."""
    kafka.create_topic(topic)
    other = Consumer({"bootstrap.servers": kafka.address, "group.id": topic, "partition.assignment.strategy": "range"})
    try:
        other.subscribe([topic])
        until(lambda: other.poll(0.1) or other.assignment(), "for the other member")
        with stepping(source(kafka, topic)) as steps, pytest.raises(Retryable, match="in another way") as caught:
            until(lambda: steps.read(), "for the error")  # type: ignore[func-returns-value]
        assert "a group of its own" in str(caught.value.hint)
    finally:
        other.close()


def test_a_tombstone_that_comes_first_is_of_the_table_that_was_read_before(
    kafka: Broker, topic: str, tmp_path: Path
) -> None:
    """The topic is not called as its table, the keys have no schema, and compaction has taken the delete."""
    kafka.create_topic(topic)
    fill(kafka, topic, [1, 2])

    def left() -> list[tuple[int]]:
        sink = DuckDB(tmp_path / "shop.duckdb")
        Pipeline(source(kafka, topic), sink, name="p", state_dir=tmp_path).run(until_current=True, retry=False)
        with duckdb.connect(str(tmp_path / "shop.duckdb"), read_only=True) as connection:
            assert connection.execute(
                "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'public'"
            ).fetchall() == [("orders",)]
            return connection.execute("SELECT id FROM public.orders ORDER BY id").fetchall()

    assert left() == [(1,), (2,)]
    produce(kafka, topic, [(json.dumps({"id": 1}).encode(), None)])
    assert left() == [(2,)]
    produce(kafka, topic, [(json.dumps({"id": 2}).encode(), None)])
    assert left() == []


@pytest.mark.parametrize("out_of_range", ["stop", "earliest", "latest"])
def test_records_before_the_beginning_that_go_before_they_are_looked_at_are_no_hole(
    kafka: Broker, topic: str, monkeypatch: pytest.MonkeyPatch, out_of_range: str
) -> None:
    """Reading begins some records before what comes next, for the tables that they are of."""
    kafka.create_topic(topic)
    fill(kafka, topic, range(6))
    with stepping(source(kafka, topic, out_of_range=out_of_range)) as steps:
        steps.until_offered()
        topics = steps.stream._topics
        known = topics.ends([TopicPartition(topic, 0)], isolation="read_committed")
        admin = kafka.admin()
        for future in admin.delete_records([TopicPartition(topic, 0, 4)]).values():
            future.result(60)
        with monkeypatch.context() as before:
            before.setattr(topics, "ends", lambda places, *, isolation: known)
            [lineage] = steps.offered
            steps.stream.begin({lineage: Position(lineage, f"{3:020d}")})
        steps.until_read(2)
        assert steps.ids == [4, 5]


def test_how_far_a_quiet_partition_is_is_told_while_another_is_busy(kafka: Broker, topic: str) -> None:
    kafka.create_topic(topic, 2)
    producer = Producer({"bootstrap.servers": kafka.address, "transactional.id": topic})
    producer.init_transactions(60)
    producer.begin_transaction()
    producer.produce(topic, key=b'{"id":1}', value=event("c", after={"id": 1}), partition=1)
    producer.commit_transaction(60)
    until_marked(kafka, topic, 1, 2)
    for at in (2, 3):
        produce(kafka, topic, [(json.dumps({"id": at}).encode(), event("c", after={"id": at}))], partition=0)
    with stepping(source(kafka, topic)) as steps:
        steps.until_offered(2)
        steps.begin()
        stream, came = steps.stream, list[Message]()

        def all_came() -> bool:
            stream._look()
            came.extend(stream._fetch(0.1))
            ends = {each.partition() for each in came if each.error() is not None}
            return ends >= {0, 1} and sum(each.error() is None for each in came) == 3

        until(all_came, "for records and ends")
        stream._held = [each for each in came if each.partition() == 1]
        steps.until_read(1)
        stream._held, stream._progress_at = [each for each in came if each.partition() == 0], 0.0
        told = stream.read(0)
        assert isinstance(told, Batch) and len(told) == 0
        assert [position.text for position in told.positions] == [f"{1:020d}"]
        steps.until_read(3)
        assert steps.ids == [1, 2, 3]


@pytest.mark.parametrize("kept", _SINKS)
def test_a_hole_is_gone_over_to_the_end_only_once(kafka: Broker, topic: str, tmp_path: Path, kept: str) -> None:
    kafka.create_topic(topic)
    fill(kafka, topic, [1])
    target, made = Target(), source(kafka, topic, out_of_range="latest")
    run(made, kept, target, tmp_path)
    fill(kafka, topic, [2])
    forget(kafka, topic)
    run(made, kept, target, tmp_path)
    fill(kafka, topic, [3])
    run(made, kept, target, tmp_path)
    assert ids(target) == [1, 3]
