"""A schema registry that stops and comes back while changes flow, at the sink and at the source."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from servers import registry as servers_registry
from servers.kafka import Broker
from servers.process import free_port
from tailrace import Pipeline
from tailrace.format import Format
from tailrace.model import Limits
from tailrace.registry import Registry
from tailrace.sink.kafka import Kafka as KafkaSink
from tailrace.source import Postgres
from tailrace.source.kafka import Kafka, SchemaRegistry
from tailrace.testing.fake import ListSink
from tests.fault.row import fault, waits
from tests.server.kafka.filling import Member, produce, running
from tests.server.sink.kafka.topics import read
from tests.waiting import until
from tests.wanting import or_skip

QUICK = Limits(backoff_s_max=1.0)


class Outage:
    """A registry of the test's own, which stops and starts and keeps what it holds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._up = ExitStack()
        self.start()

    def start(self) -> None:
        self.server = or_skip(
            lambda: self._up.enter_context(servers_registry.start(port=self._port, kept=self._folder))
        )

    def stop(self) -> None:
        self._up.close()


@pytest.fixture
def outage(tmp_path: Path) -> Iterator[Outage]:
    (folder := tmp_path / "registry").mkdir()
    made = Outage(folder)
    yield made
    made.stop()


class Load:
    """Inserts rows one by one until it is stopped."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stopped = threading.Event()
        self.count = 0
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE orders (id int PRIMARY KEY)")

    @contextmanager
    def flowing(self) -> Iterator[None]:
        thread = threading.Thread(target=self._work)
        thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            thread.join(60)

    def wait_more(self) -> None:
        """Until some rows more are committed."""
        before = self.count
        until(lambda: self.count > before + 20, "for rows to be committed")

    def _work(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._stopped.is_set():
                connection.execute("INSERT INTO orders (id) VALUES (%s)", [self.count])
                self.count += 1
                connection.execute("SELECT pg_sleep(0.01)")


@fault(
    "the schema registry stops, and a new version of a schema comes",
    "sink",
    waits("schema registry … does not answer…", "nothing lost; with transactions every change once"),
)
@pytest.mark.parametrize("transactions", [False, True])
def test_a_sink_waits_for_a_registry_that_is_down_when_a_new_version_of_a_schema_comes(
    kafka: Broker, outage: Outage, database: str, topic: str, tmp_path: Path, transactions: bool
) -> None:
    load, name = Load(database), f"{topic}.public.orders"
    form = Format(
        topic_prefix=topic, key_converter="avro", value_converter="avro", schema_registry_url=outage.server.url
    )
    sink = KafkaSink(f"kafka://{kafka.address}", format=form, create_topics=True, transactions=transactions)
    pipeline = Pipeline(
        Postgres(database, ["public.orders"]),
        sink,
        name=topic,
        state_dir=None if transactions else tmp_path,
        limits=QUICK,
    )
    thread = threading.Thread(target=pipeline.run)
    thread.start()
    try:
        with load.flowing():
            until(lambda: pipeline.status().changes > 20, "for changes to flow")
            outage.stop()
            with psycopg.connect(database, autocommit=True) as connection, connection.transaction():
                connection.execute("ALTER TABLE orders ADD note text DEFAULT 'new'")
                [(before,)] = connection.execute("SELECT count(*) FROM orders").fetchall()
            until(lambda: "does not answer" in (pipeline.status().error or ""), "for the outage to be told")
            load.wait_more()
            # Those before it may come in a batch of their own, or wait in one with the first behind it.
            assert len({record.key for record in read(kafka, name)}) <= before
            outage.start()
            load.wait_more()
        until(lambda: len({record.key for record in read(kafka, name)}) == load.count, "for all of it")
        assert thread.is_alive()
    finally:
        pipeline.stop()
        thread.join(60)
    records = read(kafka, name)
    assert len({record.key for record in records}) == load.count
    assert not transactions or len(records) == load.count
    ids = list(dict.fromkeys(int.from_bytes((record.value or b"")[1:5], "big") for record in records))
    texts = [Registry(outage.server.url).open().schema(each).text for each in ids]
    assert ["note" in text for text in texts] == [False, True]


@fault(
    "the schema registry stops, and a schema comes that is not known yet",
    "source",
    waits("schema registry … does not answer…"),
)
def test_a_source_waits_for_a_registry_that_is_down_when_an_unknown_id_comes(
    kafka: Broker, outage: Outage, database: str, topic: str, tmp_path: Path
) -> None:
    form = Format(
        topic_prefix=topic, key_converter="avro", value_converter="avro", schema_registry_url=outage.server.url
    )
    sink = KafkaSink(f"kafka://{kafka.address}", format=form, create_topics=True)
    filling = Pipeline(Postgres(database, ["public.orders"]), sink, name=topic, state_dir=tmp_path / "filling")
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE orders (id int PRIMARY KEY)")
        connection.execute("INSERT INTO orders SELECT generate_series(0, 99)")
        filling.run(until_current=True)
        connection.execute("ALTER TABLE orders ADD note text DEFAULT 'new'")
        connection.execute("INSERT INTO orders SELECT generate_series(100, 199)")
        filling.run(until_current=True)
    made = [(record.key, record.value) for record in read(kafka, f"{topic}.public.orders")]
    copy = kafka.create_topic(f"{topic}.copy")
    produce(kafka, copy, made[:50])
    source = Kafka(f"kafka://{kafka.address}", [copy], group=topic, registry=SchemaRegistry(outage.server.url))
    seen = ListSink()
    member = Member(source, seen, "p", tmp_path / "p", QUICK)
    with running(member):
        until(lambda: len(seen.target.records) == 50, "for what has a schema that is known")
        outage.stop()
        produce(kafka, copy, made[50:150])
        until(lambda: "does not answer" in (member.pipeline.status().error or ""), "for the outage to be told")
        produce(kafka, copy, made[150:])
        outage.start()
        until(lambda: len({record.position for record in seen.target.records}) == 200, "for all of it")
        assert member.alive
    ids = [int((record.cells or {})["id"]) for record in seen.target.records]
    assert list(dict.fromkeys(ids)) == list(range(200))
    assert [(record.cells or {}).get("note") for record in seen.target.records][-100:] == ["new"] * 100
