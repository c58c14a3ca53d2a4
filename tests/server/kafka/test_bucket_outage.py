"""An object store of claim checks that stops, or refuses us, while changes flow, at the sink and at the source."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from servers import s3
from servers.kafka import Broker
from tailrace.error import Fatal
from tailrace.format import Format
from tailrace.model import Limits
from tailrace.pipeline import Pipeline
from tailrace.sink.kafka import Kafka as Sink
from tailrace.source import Postgres
from tailrace.source.kafka import Kafka
from tailrace.testing.fake import AtomicSink, Target
from tests.fault.row import fault, stops, waits
from tests.server.kafka.filling import Member, running
from tests.server.sink.kafka.topics import read
from tests.waiting import until
from tests.wanting import or_skip

QUICK = Limits(backoff_s_max=0.5)
LARGE = "x" * 5_000


class Shop:
    """A table whose every third row has a value that its topic does not take, and the road to and from that topic."""

    def __init__(self, url: str, broker: Broker, topic: str, store: s3.Store, folder: Path) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute("CREATE TABLE orders (id int PRIMARY KEY, note text)")
        self._url, self._broker, self.topic, self._folder = url, broker, topic, folder
        self._place = store.url(f"claims/{topic}")
        self.rows: list[tuple[int, str]] = []
        broker.create_topic(f"{topic}.public.orders", max_message_bytes="4000")

    def insert(self, count: int) -> None:
        """So many rows more, all of them in one transaction."""
        first = len(self.rows)
        added = [(key, LARGE if key % 3 == 1 else "small") for key in range(first, first + count)]
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.executemany("INSERT INTO orders VALUES (%s, %s)", added)
        self.rows += added

    def writer(self, *, transactions: bool = False, place: Path | None = None) -> Member:
        """From PostgreSQL into the topic, and into the store unless `place` is another."""
        sink = Sink(
            f"kafka://{self._broker.address}",
            format=Format(topic_prefix=self.topic),
            claim_check=place or self._place,
            transactions=transactions,
            transactional_id=self.topic,
            positions_topic=f"positions.{self.topic}",
        )
        source = Postgres(self._url, ["public.orders"], slot=self._slot, publication=self._slot)
        return Member(source, sink, "w", self._folder / "w", QUICK)

    def reader(self, target: Target) -> Member:
        """From the topic into `target`."""
        source = Kafka(
            f"kafka://{self._broker.address}/{self.topic}.public.orders?group={self.topic}", claim_check=self._place
        )
        return Member(source, AtomicSink(target), "r", self._folder / "r", QUICK)

    def read(self) -> list[tuple[int, str]]:
        """The rows of the topic's events, in order, once those of the last commit can be read."""
        read(self._broker, f"{self.topic}.public.orders", settled=True)
        target = Target()
        Pipeline(self.reader(target).source, AtomicSink(target), name="a", state_dir=None).run(until_current=True)
        return rows_of(target)

    def close(self) -> None:
        self._connection.close()

    @property
    def _slot(self) -> str:
        return "bucket_" + self._url.rpartition("/")[2]


def rows_of(target: Target) -> list[tuple[int, str]]:
    cells = [record.cells or {} for record in target.records]
    return [(int(each["id"]), each["note"]) for each in cells]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[s3.Store]:
    """One of the test's own, to stop and start."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.USER)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.PASSWORD)
    or_skip(s3.install)
    with ExitStack() as stack:
        made = or_skip(lambda: stack.enter_context(s3.start()))
        made.make_bucket("claims")
        yield made


@pytest.fixture
def shop(database: str, kafka: Broker, topic: str, store: s3.Store, tmp_path: Path) -> Iterator[Shop]:
    made = Shop(database, kafka, topic, store, tmp_path)
    yield made
    made.close()


@fault(
    "the object store of claim checks stops, and starts again",
    "sink",
    waits("object store …: storing: …", "nothing lost, in order; with transactions every change once"),
)
@pytest.mark.parametrize("transactions", [False, True])
def test_a_sink_waits_for_a_store_that_is_away(shop: Shop, store: s3.Store, transactions: bool) -> None:
    shop.insert(10)
    writer = shop.writer(transactions=transactions)
    with running(writer):
        until(lambda: writer.pipeline.status().changes >= 10, "for the snapshot")
        store.kill()
        shop.insert(10)
        until(lambda: "object store s3://claims/" in (writer.pipeline.status().error or ""), "for it to be told")
        shop.insert(10)
        store.launch()
        until(lambda: writer.pipeline.status().changes >= 30, "for all of it")
        assert writer.alive
    came = shop.read()
    assert came == shop.rows if transactions else list(dict.fromkeys(came)) == shop.rows


@fault(
    "the object store of claim checks refuses us",
    "sink",
    stops(1, "object store …: storing: ACCESS_DENIED", "goes on once it lets us in, nothing lost, in order"),
)
@pytest.mark.parametrize("transactions", [False, True])
def test_a_sink_that_a_store_refuses_stops_and_goes_on_once_it_is_let_in(
    shop: Shop, store: s3.Store, transactions: bool
) -> None:
    shop.insert(10)
    writer = shop.writer(transactions=transactions)
    with running(writer):
        until(lambda: writer.pipeline.status().changes >= 10, "for the snapshot")
        store.kill()
        store.launch(password="another")
        shop.insert(10)
        until(lambda: not writer.alive, "for the end of the pipeline")
    assert isinstance(writer.error, Fatal)
    assert str(writer.error.args[0]).startswith("object store s3://claims/")
    assert ": storing: ACCESS_DENIED" in str(writer.error)
    shop.insert(10)
    store.kill()
    store.launch()
    shop.writer(transactions=transactions).pipeline.run(until_current=True)
    came = shop.read()
    assert came == shop.rows if transactions else list(dict.fromkeys(came)) == shop.rows


@fault(
    "the object store of claim checks stops, and starts again",
    "source",
    waits("object store …: reading: …", "every change once"),
)
def test_a_source_waits_for_a_store_that_is_away(shop: Shop, store: s3.Store) -> None:
    """The sink writes files where the store has its objects, so that it needs no store."""
    target, folder = Target(), store.folder / "claims" / shop.topic
    shop.insert(10)
    shop.writer(place=folder).pipeline.run(until_current=True)
    reader = shop.reader(target)
    with running(reader):
        until(lambda: len(target.records) == 10, "for what is there")
        store.kill()
        shop.insert(10)
        shop.writer(place=folder).pipeline.run(until_current=True)
        until(lambda: "object store s3://claims/" in (reader.pipeline.status().error or ""), "for it to be told")
        store.launch()
        until(lambda: len(target.records) == 20, "for all of it")
        assert reader.alive
    assert rows_of(target) == shop.rows
