"""Brokers that die, restart and hang under load: nothing is lost, and no event of a key is overtaken."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from confluent_kafka import KafkaError

from servers import kafka as server
from tailrace.contract import Writer
from tailrace.error import Fatal, Retryable
from tailrace.format import Format
from tailrace.model import Limits
from tailrace.pipeline import Pipeline
from tailrace.sink.kafka import Kafka
from tailrace.sink.kafka import topic as topics
from tailrace.sink.kafka.transaction import TransactionalWriter
from tailrace.sink.kafka.writer import KafkaWriter
from tailrace.source import Postgres
from tests.fault.row import fault, stops, waits, warns
from tests.server.sink.kafka.topics import Got, read
from tests.unit.sink.feed import LINEAGE, Feed
from tests.waiting import until

KEYS = 20
LIMITS = Limits(segment_bytes=16 << 10, batch_bytes_max=32 << 10, backoff_s_max=1.0)


class Load:
    """Updates rows in turn, each a step further, in the background until it is stopped: however long a broker takes."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.rounds = 0
        """How often each row was updated."""
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE steps (id int PRIMARY KEY, step int)")
            connection.execute("INSERT INTO steps SELECT n, 0 FROM generate_series(1, %s) n", [KEYS])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """No more, once the round is whole."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join(120)

    def _work(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._stopped.is_set():
                for key in range(1, KEYS + 1):
                    connection.execute("UPDATE steps SET step = step + 1 WHERE id = %s", [key])
                    connection.execute("SELECT pg_sleep(0.01)")
                self.rounds += 1


@pytest.fixture
def load(database: str) -> Iterator[Load]:
    """Over the table `steps` of the source."""
    made = Load(database)
    yield made
    made.stop()


@fault(
    "a broker is killed, and stopped, and starts again",
    "sink",
    waits("", "nothing lost, no event of a key overtaken; with transactions every change once"),
)
@pytest.mark.parametrize("transactions", [False, True])
def test_a_broker_that_is_killed_and_restarted_under_load_costs_nothing(
    start_kafka: Callable[..., server.Broker],
    database: str,
    load: Load,
    tmp_path: Path,
    transactions: bool,
) -> None:
    broker = start_kafka()
    sink = Kafka(
        f"kafka://{broker.address}", format=Format(topic_prefix="t"), create_topics=True, partitions=3,
        transactions=transactions,
    )  # fmt: skip
    source = Postgres(database, ["public.steps"])
    pipeline = Pipeline(source, sink, name="steps", state_dir=None if transactions else tmp_path, limits=LIMITS)
    running = threading.Thread(target=pipeline.run, daemon=True)
    running.start()
    until(lambda: len(read(broker, "t.public.steps")) >= KEYS, "for the snapshot")
    load.start()
    for kill in (broker.kill, broker.stop):
        before = len(read(broker, "t.public.steps"))
        until(lambda before=before: len(read(broker, "t.public.steps")) > before, "for changes to flow")
        kill()
        broker.start()
    load.stop()
    assert running.is_alive()
    pipeline.stop()
    running.join(120)
    pipeline.run(until_current=True)
    judge(read(broker, "t.public.steps", settled=True), last=load.rounds, once=transactions)


def judge(records: Iterable[Got], *, last: int, once: bool) -> None:
    """Each row's steps are all there up to the `last` that was committed, and none overtook another; with `once` none
    came twice."""
    steps: dict[int, list[int]] = defaultdict(list)
    for record in records:
        steps[record.row["id"]].append(record.row["step"])
    for seen in steps.values():
        furthest = -1
        for step in seen:
            assert step <= furthest + 1, f"{step} overtook what was between it and {furthest}"
            furthest = max(furthest, step)
        assert seen[-1] == furthest == last
        assert not once or seen == list(range(last + 1))
    assert len(steps) == KEYS


def hang(broker: server.Broker) -> psutil.Process:
    """Stop the broker's process as a debugger would, until it is resumed."""
    process = psutil.Process(broker.pid)
    process.suspend()
    until(lambda: _statuses(process) == {psutil.STATUS_STOPPED}, "for the broker to hang")
    return process


def _statuses(process: psutil.Process) -> set[str]:
    """Of its threads; one that was about to end when they were listed has none."""
    statuses = set[str]()
    for thread in process.threads():
        with contextlib.suppress(psutil.NoSuchProcess):
            statuses.add(psutil.Process(thread.id).status())
    return statuses


def expect(writer: Writer, silence_s: float) -> None:
    """From now on brokers may be silent for so long only: before, a slow machine may take its time."""
    assert isinstance(writer, KafkaWriter | TransactionalWriter)
    writer._sender.patience.silence_s = silence_s


def test_a_broker_that_hangs_makes_the_writer_give_up_whole(start_kafka: Callable[..., server.Broker]) -> None:
    broker = start_kafka()
    sink = Kafka(
        f"kafka://{broker.address}", format=Format(topic_prefix="t"), create_topics=True, delivery_timeout_s=60.0
    )
    feed, writer = Feed(), sink.open("p", Limits())
    assert writer._sender.patience.silence_s == 60.0
    # What only a human could mend is mended once the brokers acknowledge: it is no reason for what comes later.
    writer._sender._told(KafkaError(KafkaError._SSL, "a certificate had expired"))
    writer.write(feed.insert(1))
    process = hang(broker)
    expect(writer, 2.0)
    with pytest.raises(Retryable, match=r"^topic t\.public\.orders: Kafka has acknowledged nothing for 2 s"):
        writer.write(feed.insert(2))
    writer.close()
    process.resume()
    again = sink.open("p", Limits())
    again.write(feed.insert(3))
    again.close()
    seen = [record.row["id"] for record in read(broker, "t.public.orders")]
    assert [key for key in seen if key != 2] == [1, 3]


def test_a_batch_without_records_is_no_answer_of_a_broker(kafka: server.Broker, topic: str) -> None:
    sink = Kafka(f"kafka://{kafka.address}", format=Format(topic_prefix=topic), create_topics=True)
    writer, feed = sink.open("p", Limits()), Feed()
    assert isinstance(writer, KafkaWriter)
    told = writer._sender._told
    told(KafkaError(KafkaError.SASL_AUTHENTICATION_FAILED))
    writer.write(feed.progress())
    assert told.grave is not None
    writer.write(feed.insert(1))
    assert told.grave is None
    writer.close()


def test_whether_somebody_else_has_come_is_not_asked_for_long_of_brokers_that_hang(
    start_kafka: Callable[..., server.Broker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tailrace.sink.kafka.transaction._EXPLAIN_S", 1.0)
    broker = start_kafka()
    sink = Kafka(f"kafka://{broker.address}", format=Format(topic_prefix="t"), create_topics=True, transactions=True)
    feed, writer = Feed(), sink.open("p", Limits())
    assert isinstance(writer, TransactionalWriter)
    writer.claim(LINEAGE)
    writer.write(feed.insert(1))
    writer._sender.fenced = True  # by whatever the client said before
    process, ended = hang(broker), list[BaseException]()
    expect(writer, 2.0)

    def work() -> None:
        try:
            writer.write(feed.insert(2))
        except Retryable as error:
            ended.append(error)

    working = threading.Thread(target=work, daemon=True)
    working.start()
    until(lambda: not working.is_alive(), "for the fault", timeout_s=30)  # it asked for a minute and longer
    assert str(ended[0]).startswith("topic t.public.orders, tailrace.p.positions: Kafka has acknowledged nothing")
    process.resume()
    writer.close()


def test_a_stop_ends_the_wait_for_a_broker_that_hangs(start_kafka: Callable[..., server.Broker]) -> None:
    broker = start_kafka()
    sink = Kafka(f"kafka://{broker.address}", format=Format(topic_prefix="t"), create_topics=True)
    feed, writer = Feed(), sink.open("p", Limits(stop_timeout_s=0.5))
    writer.write(feed.insert(1))
    process = hang(broker)
    writer.interrupt()
    with pytest.raises(Retryable, match="stopped before Kafka acknowledged"):
        writer.write(feed.insert(2))
    process.resume()
    writer.close()


@fault(
    "a topic is deleted",
    "sink",
    stops(1, "topic …: …", "the next start makes it as configured, and goes on behind what was acknowledged"),
)
@pytest.mark.parametrize("transactions", [False, True])
def test_a_topic_that_is_deleted_under_the_sink_stops_it_and_is_made_as_configured_at_the_next_start(
    kafka: server.Broker, topic: str, transactions: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the client makes of it: it fails the records, drops them with their partition, or, in a transaction,
    waits without end. That is decided by who asks first, so each gets its chance."""
    monkeypatch.setattr(topics, "_WATCH_S", 0.1)
    for prefix in (f"{topic}.{turn}" for turn in range(5)):
        name, feed = f"{prefix}.public.orders", Feed()
        sink = _written(kafka, prefix, transactions=transactions)
        writer = sink.open("p", Limits())
        writer.write(feed.insert(1))
        _delete(kafka, name)
        expect(writer, 10.0)
        with pytest.raises(Fatal, match=rf"topic {name}: "):
            writer.write(feed.insert(2))
        writer.close()
        again = sink.open("p", Limits())
        again.write(feed.insert(3))
        again.close()
        assert len(kafka.admin().list_topics(timeout=30).topics[name].partitions) == 3
        assert [record.row["id"] for record in read(kafka, name, settled=True)] == [3]


@pytest.mark.parametrize("transactions", [False, True])
def test_a_topic_that_is_deleted_and_made_anew_under_the_sink_gets_all_that_comes_after(
    kafka: server.Broker, topic: str, transactions: bool
) -> None:
    """What the old one held is gone by the hand of whoever deleted it; an acknowledged record lies in the new one."""
    feed, writer = Feed(), _written(kafka, topic, transactions=transactions).open("p", Limits())
    writer.write(feed.insert(1))
    _make_anew(kafka, f"{topic}.public.orders")
    for key in range(2, 12):
        writer.write(feed.insert(key))
    writer.close()
    records = read(kafka, f"{topic}.public.orders", settled=True)
    assert sorted(record.row["id"] for record in records) == list(range(2, 12))


@fault(
    "a topic is deleted and made anew",
    "sink",
    warns("the topic … was deleted and made anew while it is written to: …", "with what comes after in the new one"),
)
@pytest.mark.parametrize("transactions", [False, True])
def test_a_topic_that_was_made_anew_under_the_sink_is_told_once(
    kafka: server.Broker,
    topic: str,
    transactions: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(topics, "_WATCH_S", 0.0)
    keys, feed = itertools.count(2), Feed()
    _make(kafka, f"{topic}.public.orders")  # one that the sink makes may be unknown when its id is asked for first
    writer = _written(kafka, topic, transactions=transactions).open("p", Limits())
    writer.write(feed.insert(1))
    _make_anew(kafka, f"{topic}.public.orders")

    def told() -> int:
        writer.write(feed.insert(next(keys)))
        words = f"the topic {topic}.public.orders was deleted and made anew while it is written to"
        return sum(words in record.getMessage() for record in caplog.records)

    until(lambda: told() > 0, "for a warning")
    assert [told() for _ in range(10)] == [1] * 10
    writer.close()


def _make_anew(broker: server.Broker, name: str) -> None:
    """Until the broker knows of it too: the controller that makes a topic answers first."""
    _delete(broker, name)
    _make(broker, name)


def _make(broker: server.Broker, name: str) -> None:
    broker.create_topic(name, 3)
    until(lambda: name in broker.admin().list_topics(timeout=30).topics, "for the topic to be known")


def _delete(broker: server.Broker, name: str) -> None:
    broker.drop_topics(name)
    until(lambda: name not in broker.admin().list_topics(timeout=30).topics, "for the topic to go")


def _written(broker: server.Broker, prefix: str, *, transactions: bool) -> Kafka:
    return Kafka(
        f"kafka://{broker.address}",
        format=Format(topic_prefix=prefix),
        create_topics=True,
        partitions=3,
        transactions=transactions,
        positions_topic=f"{prefix}.positions",
        transactional_id=prefix,
    )


def test_brokers_that_are_away_when_a_new_topic_comes_may_come_back(
    start_kafka: Callable[..., server.Broker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics, "_ASK_S", 1.0)
    broker = start_kafka()
    sink = Kafka(f"kafka://{broker.address}", format=Format(topic_prefix="t"), create_topics=True)
    feed, writer = Feed(), sink.open("p", Limits())
    process = hang(broker)
    with pytest.raises(Retryable, match=r"topic t\.public\.orders"):
        writer.write(feed.insert(1))
    process.resume()
    writer.close()
