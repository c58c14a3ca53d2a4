"""Changes and position in one Kafka transaction: whoever reads what is committed sees each change once."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from servers import kafka as server
from tailrace.config import load
from tailrace.error import CheckFailed, ConfigError, Fatal, Fenced, Reject, Retryable
from tailrace.format import Format
from tailrace.model import Batch, Limits, Position, Severity
from tailrace.sink.kafka import Kafka, ledger
from tailrace.sink.kafka.ledger import Held
from tailrace.sink.kafka.transaction import TransactionalWriter
from tests.server.sink.kafka.topics import end_of, read
from tests.unit.sink.feed import LINEAGE, Feed
from tests.waiting import until


@pytest.fixture
def transactional(kafka: server.Broker, topic: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Kafka]:
    """The sink of a pipeline that is named after the test's topics. Busy brokers may take long to tell who has come."""
    monkeypatch.setattr("tailrace.sink.kafka.transaction._EXPLAIN_S", 60.0)

    def make(**options: object) -> Kafka:
        return Kafka(
            f"kafka://{kafka.address}",
            format=Format(topic_prefix=topic),
            create_topics=True,
            transactions=True,
            positions_topic=f"{topic}.positions",
            transactional_id=topic,
            **options,  # type: ignore[arg-type]
        )

    return make


def opened(sink: Kafka, *, claim: bool = True, limits: Limits | None = None) -> TransactionalWriter:
    writer = sink.open("p", limits or Limits())
    assert isinstance(writer, TransactionalWriter)
    if claim:
        writer.claim(LINEAGE)
    return writer


def keys(broker: server.Broker, topic: str, isolation: str = "read_committed") -> list[int]:
    settled = isolation == "read_committed"
    return [record.row["id"] for record in read(broker, f"{topic}.public.orders", isolation=isolation, settled=settled)]


def until_saved(sink: Kafka, position: Position) -> None:
    """Wait for what was committed a moment ago, and can be read a moment later."""
    until(lambda: sink.saved("p") == {position.lineage: position}, "for the commit to be readable")


def saved_one_after_another(broker: server.Broker, topic: str) -> list[str]:
    """The texts of all positions that were committed."""
    values = [record.event for record in read(broker, f"{topic}.positions", settled=True)]
    return [value["position"] for value in values if isinstance(value, dict) and value["position"] is not None]


def end(broker: server.Broker, topic: str) -> int:
    """The offset behind the last record or mark of its first partition."""
    with closing(Consumer({"bootstrap.servers": broker.address, "group.id": "ends"})) as consumer:
        return end_of(consumer, TopicPartition(topic, 0))


def test_the_position_is_committed_with_the_rows_and_found_again(
    kafka: server.Broker, topic: str, transactional: Callable[..., Kafka]
) -> None:
    feed, sink = Feed(), transactional()
    first, second = feed.insert(1), feed.insert(2)
    writer = opened(sink)
    assert writer.known() == {LINEAGE: None}
    writer.write(first)
    writer.write(second)
    writer.close()
    until_saved(sink, second.positions[0])
    again = opened(sink, claim=False)
    assert again.claim(LINEAGE) == second.positions[0]
    again.close()
    assert keys(kafka, topic) == [1, 2]


def test_i16_of_two_writers_only_the_one_that_claimed_last_commits(
    kafka: server.Broker, topic: str, transactional: Callable[..., Kafka]
) -> None:
    feed, sink = Feed(), transactional()
    paused = opened(sink)
    paused.write(feed.insert(1))
    other = opened(sink)
    other.write(feed.insert(2))
    with pytest.raises(Fenced):
        paused.write(feed.insert(99))
    other.write(feed.insert(3))
    paused.close()
    other.close()
    assert keys(kafka, topic) == [1, 2, 3]


def test_a_writer_that_is_fenced_while_it_waits_for_room_in_the_queue_says_so(
    kafka: server.Broker, topic: str, transactional: Callable[..., Kafka]
) -> None:
    feed, sink = Feed(), transactional(options={"queue.buffering.max.messages": "10"})
    paused = opened(sink)
    paused.write(feed.insert(1))
    other = opened(sink)
    with pytest.raises(Fenced):
        paused.write(feed.insert(*range(10, 5000)))
    paused.close()
    other.close()
    assert keys(kafka, topic) == [1]


def test_what_is_known_stays_true_because_nobody_commits_behind_it(
    topic: str, transactional: Callable[..., Kafka]
) -> None:
    """A commit is answered before its end can be read; a source would take its position for lost history."""
    feed, sink = Feed(), transactional()
    late = opened(sink)
    first, second = feed.insert(1), feed.insert(2)
    late.write(first)
    late._begin()
    late._put(LINEAGE, Held(1, second.positions[0].text))
    late._sender.settle()
    again = opened(sink, claim=False)
    assert again.known() == {LINEAGE: first.positions[0]}
    with pytest.raises(KafkaException):
        late._sender.producer.commit_transaction(30)
    assert sink.saved("p") == again.known()
    late.close()
    again.close()


def test_a_topic_of_positions_with_an_open_transaction_is_not_taken_for_settled(
    kafka: server.Broker, topic: str, transactional: Callable[..., Kafka], monkeypatch: pytest.MonkeyPatch
) -> None:
    sink, batch = transactional(), Feed().insert(1)
    writer = opened(sink)
    writer.write(batch)
    writer.close()
    until_saved(sink, batch.positions[0])
    other = Producer({"bootstrap.servers": kafka.address, "transactional.id": f"{topic}.other"})
    other.init_transactions(30)
    other.begin_transaction()
    other.produce(f"{topic}.positions", b"null", ledger.key_of("p", "another"))
    other.flush(30)
    assert sink.saved("p") == {LINEAGE: batch.positions[0]}

    def told() -> str:
        with pytest.raises(Retryable) as refused:
            ledger.read(sink.settings(), f"{topic}.positions", "p", settled=True)
        return str(refused.value)

    with monkeypatch.context() as patched:
        patched.setattr(ledger, "_PATIENCE_S", 3.0)  # in which a busy broker may not even come to that
        until(lambda: re.search(r"still open, at offset \d+ of \d+", told()), "for the transaction to be named")
    other.abort_transaction(30)
    assert ledger.read(sink.settings(), f"{topic}.positions", "p", settled=True).positions() == sink.saved("p")


def test_of_two_members_of_a_group_the_first_stops_and_says_why(
    kafka: server.Broker, topic: str, transactional: Callable[..., Kafka]
) -> None:
    """They share one transactional id: without the hint they would fence each other without end."""
    feed, sink = Feed(), transactional()
    first, second = opened(sink, claim=False), opened(sink, claim=False)
    for lineage in (LINEAGE, "kafka/c/t/1"):
        first.claim(lineage)
    first.write(feed.insert(1))
    first.yield_up(["kafka/c/t/1"])
    second.claim("kafka/c/t/1")
    with pytest.raises(Fatal, match="taken over the transactional id") as stopped:
        first.write(feed.insert(2))
    assert not isinstance(stopped.value, Fenced)
    assert "one member only" in str(stopped.value)
    first.close()
    second.close()
    assert keys(kafka, topic) == [1]


def test_a_transaction_that_its_process_left_open_is_ended_by_the_next_one(
    kafka: server.Broker, topic: str, transactional: Callable[..., Kafka]
) -> None:
    feed, sink = Feed(), transactional()
    writer = opened(sink)
    writer.write(feed.insert(1))
    writer._begin()  # what a kill leaves: rows of a transaction that nobody will commit
    writer._sender.send(feed.insert(2))
    writer._sender.settle()
    assert keys(kafka, topic, "read_uncommitted") == [1, 2]
    again = opened(sink)
    again.write(feed.insert(3))
    again.close()
    writer.close()
    assert keys(kafka, topic) == [1, 3]


def test_a_writer_that_was_only_slow_goes_on(
    kafka: server.Broker, topic: str, transactional: Callable[..., Kafka], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The coordinator gives up a transaction that takes too long, in the very words with which it fences a zombie."""
    feed, sink = Feed(), transactional(transaction_timeout_s=5.0)
    writer = opened(sink)
    writer.write(feed.insert(1))
    writer._begin()
    writer._sender.send(feed.insert(2))
    writer._sender.settle()
    kafka.wait_log("Completed rollback of ongoing transaction for transactionalId " + topic)
    monkeypatch.setattr(writer, "_begin", lambda: setattr(writer, "_open", True))
    with pytest.raises(Retryable, match="transaction_timeout_s = 5: raise it"):
        writer.write(feed.insert(3))
    writer.close()
    again = opened(sink)
    again.write(feed.insert(4))
    again.close()
    assert keys(kafka, topic) == [1, 4]


def test_a_refused_change_leaves_nothing_of_its_batch(
    kafka: server.Broker, topic: str, transactional: Callable[..., Kafka]
) -> None:
    kafka.create_topic(f"{topic}.public.orders", max_message_bytes="4000")
    feed, sink = Feed(), transactional()
    writer = opened(sink)
    batches = [feed.insert(1), feed.insert(2, note="x" * 5000), feed.insert(3)]
    (merged,) = Batch.merge(batches)
    with pytest.raises(Reject) as refused:
        writer.write(merged)
    assert list(refused.value.reasons) == [1]
    assert keys(kafka, topic) == []
    writer.write(merged.without([1]))
    assert writer.known() == {LINEAGE: merged.positions[0]}
    writer.close()
    assert keys(kafka, topic) == [1, 3]


def test_a_transaction_above_the_limit_is_an_error_unless_it_may_be_split(
    kafka: server.Broker, topic: str, transactional: Callable[..., Kafka]
) -> None:
    small = Limits(batch_bytes_max=5000)
    large = Feed().insert(*range(10), note="x" * 1000)
    assert len(list(large.segments())) == 1
    writer = opened(transactional(transaction_bytes_max=5000), limits=small)
    with pytest.raises(Fatal, match="split_transactions") as refused:
        writer.write(large)
    assert "5000" in str(refused.value)
    writer.close()
    assert keys(kafka, topic) == []
    split = opened(transactional(transaction_bytes_max=5000, split_transactions=True), limits=small)
    split.write(large)
    assert split.known() == {LINEAGE: large.positions[0]}
    split.close()
    assert keys(kafka, topic) == list(range(10))
    # A commit leaves a mark in the log, which takes an offset.
    assert end(kafka, f"{topic}.public.orders") - 10 >= 3


def test_small_transactions_that_came_together_are_cut_between_them_and_each_position_goes_with_its_rows(
    kafka: server.Broker, topic: str, transactional: Callable[..., Kafka]
) -> None:
    feed = Feed()
    small = [feed.insert(*range(3 * at, 3 * at + 3), note="x" * 500) for at in range(10)]
    (flood,) = Batch.merge(small)
    writer = opened(transactional(transaction_bytes_max=5000), limits=Limits(batch_bytes_max=5000))
    writer.write(flood)
    assert writer.known() == {LINEAGE: flood.positions[0]}
    writer.close()
    assert keys(kafka, topic) == list(range(30))
    assert end(kafka, f"{topic}.public.orders") == 30 + 4  # three, three, three and one of them, a mark behind each
    stored = saved_one_after_another(kafka, topic)
    assert stored == [small[at].positions[0].text for at in (2, 5, 8, 9)]


@pytest.mark.parametrize("split", [False, True])
def test_of_a_batch_above_the_limit_only_a_transaction_that_is_above_it_is_refused_or_split(
    kafka: server.Broker, topic: str, transactional: Callable[..., Kafka], split: bool
) -> None:
    feed = Feed()
    before, large, behind = feed.insert(1), feed.insert(*range(10, 20), note="x" * 1000), feed.insert(3)
    (flood,) = Batch.merge([before, large, behind])
    options = {"transaction_bytes_max": 5000, "split_transactions": split}
    writer = opened(transactional(**options), limits=Limits(batch_bytes_max=5000))
    if split:
        writer.write(flood)
    else:
        with pytest.raises(Fatal, match=f"a transaction of {large.nbytes} bytes"):
            writer.write(flood)
    last = behind if split else before
    assert writer.known() == {LINEAGE: last.positions[0]}
    writer.close()
    assert keys(kafka, topic) == ([1, *range(10, 20), 3] if split else [1])
    ends = [batch.positions[0].text for batch in (before, large, behind)]
    assert saved_one_after_another(kafka, topic) == (ends if split else ends[:1])


def test_a_change_that_is_refused_behind_what_is_committed_of_its_batch_does_not_make_that_come_again(
    kafka: server.Broker, topic: str, transactional: Callable[..., Kafka]
) -> None:
    kafka.create_topic(f"{topic}.public.orders", max_message_bytes="4000")
    feed = Feed()
    (flood,) = Batch.merge(
        [
            feed.insert(1, 2, note="x" * 1500),
            feed.insert(3, 4, note="x" * 1500),
            feed.insert(5, note="x" * 4500),
            feed.insert(6),
            feed.insert(7, note="x" * 4500),
        ]
    )
    writer = opened(transactional(transaction_bytes_max=5000), limits=Limits(batch_bytes_max=5000))
    with pytest.raises(Reject) as refused:
        writer.write(flood)
    assert (list(refused.value.reasons), refused.value.written) == ([4], frozenset(range(4)))
    assert keys(kafka, topic) == [1, 2, 3, 4]
    rest = flood.without(range(5))
    with pytest.raises(Reject) as refused:
        writer.write(rest)
    assert [rest[index].after["id"] for index in refused.value.reasons] == [7]
    writer.write(rest.without([*refused.value.reasons, *refused.value.written]))
    assert writer.known() == {LINEAGE: flood.positions[0]}
    writer.close()
    assert keys(kafka, topic) == [1, 2, 3, 4, 6]


def test_a_change_above_the_limit_is_a_part_by_itself(
    kafka: server.Broker, topic: str, transactional: Callable[..., Kafka]
) -> None:
    small, options = Limits(batch_bytes_max=500), {"transaction_bytes_max": 500, "split_transactions": True}
    writer = opened(transactional(**options), limits=small)
    writer.write(Feed().insert(1, 2, 3, note="x" * 1000))
    writer.close()
    assert keys(kafka, topic) == [1, 2, 3]
    assert end(kafka, f"{topic}.public.orders") == 3 + 3


def test_a_topic_that_forgets_positions_is_refused_and_check_says_so(
    kafka: server.Broker, topic: str, transactional: Callable[..., Kafka]
) -> None:
    sink, name = transactional(), f"topic {topic}.positions"
    (missing,) = sink.check_tables("p", [])
    assert (missing.severity, missing.subject) == (Severity.OK, name)
    kafka.create_topic(f"{topic}.positions", cleanup_policy="delete")
    with pytest.raises(CheckFailed, match=r"\.positions: .* cleanup\.policy is delete"):
        sink.open("p", Limits())
    (forgets,) = sink.check_tables("p", [])
    assert (forgets.severity, forgets.subject) == (Severity.ERROR, name)
    assert "cleanup.policy=compact" in (forgets.fix or "")
    kafka.create_topic(f"{topic}.compacted", cleanup_policy="compact")
    compacted = replace(sink, positions_topic=f"{topic}.compacted")
    assert [found.severity for found in compacted.check_tables("p", [])] == [Severity.OK]
    opened(compacted).close()


@pytest.mark.parametrize("split", [False, True])
def test_small_transactions_that_waited_together_are_never_too_large(split: bool) -> None:
    sink = Kafka("kafka://broker:9092", transactions=True, transaction_bytes_max=5000, split_transactions=split)
    with pytest.raises(ConfigError, match=r"transaction_bytes_max = 5000, .* limits\.batch_bytes_max = 5001 bytes"):
        sink.open("p", Limits(batch_bytes_max=5001))


def test_a_dead_letter_that_is_offered_again_after_a_crash_is_written_once(
    kafka: server.Broker, topic: str, transactional: Callable[..., Kafka]
) -> None:
    feed, sink = Feed(), transactional()
    letter, last = feed.insert(1), feed.insert(2)
    writer = opened(sink)
    writer.write(last)
    replayed = Batch.progress(last.positions[0]).with_changes(list(letter))
    writer.write(replayed)
    writer.close()
    again = opened(sink)
    again.write(replayed)
    assert keys(kafka, topic) == [2, 1]
    again.forget_replayed([letter[0].position])
    again.close()
    third = opened(sink)
    third.write(replayed)
    third.close()
    assert keys(kafka, topic) == [2, 1, 1]


def test_another_pipelines_positions_are_refused(topic: str, transactional: Callable[..., Kafka]) -> None:
    sink = transactional()
    opened(sink).close()
    with pytest.raises(Fatal, match="belongs to the pipeline 'p', not to 'q'"):
        sink.open("q", Limits())


def test_a_move_is_found_by_the_next_life(transactional: Callable[..., Kafka]) -> None:
    feed, sink = Feed(), transactional()
    writer, batch = opened(sink), feed.insert(1)
    writer.write(batch)
    there = Position("postgres/1/other/slot", batch.positions[0].text)
    writer.move(LINEAGE, there)
    writer.close()
    until_saved(sink, there)


def test_with_transactions_a_checkpoint_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    path.write_text(
        '[pipeline.p]\nsource = "postgresql://localhost/shop"\n'
        '[pipeline.p.sink]\nkind = "kafka"\nurl = "kafka://broker:9092"\ntransactions = true\n'
        'topics = [{match = "p.public.*", name = "{table}", partitions = 3}]\n'
        'security = {tls = true, mechanism = "PLAIN", username = "u", password = "s"}\n'
        '[pipeline.p.checkpoint]\nkind = "file"\npath = "x"\n'
    )
    pipeline = load(path).pipelines["p"]
    assert "sink kafka keeps the position itself" in (pipeline.unused_checkpoint or "")
    assert pipeline.plan().checkpoint is None
    sink = pipeline.sink
    assert isinstance(sink, Kafka)
    assert (sink.topics[0].partitions, sink.transactional) == (3, True)
    assert "sasl.password" in sink.settings()
    assert "'s'" not in repr(sink)
