"""Every source keeps the source's contract, and the suite finds out those that do not."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Any, Literal, cast

import psycopg
import pytest
from confluent_kafka import Producer

from servers.kafka import Broker
from tailrace import testing
from tailrace.contract import Positions, Source, Stream
from tailrace.error import EndOfStream, Fatal, Retryable
from tailrace.model import Batch, Limits, Position
from tailrace.source.kafka import Kafka
from tailrace.source.postgres import Postgres
from tailrace.testing.evidence import KeptPositions
from tailrace.testing.fake import Log, LogSource
from tests.server.kafka.filling import event

_PARTITIONS = 4
Break = Callable[[Stream], None]


@dataclass(frozen=True)
class Broken(LogSource):
    """A good source whose streams are broken on purpose."""

    harm: Break = lambda stream: None

    def open(self, name: str, positions: Positions, limits: Limits, **how: Any) -> Stream:
        stream = super().open(name, positions, limits, **how)
        self.harm(stream)
        return stream


@dataclass(frozen=True)
class Careless(LogSource):
    """Starts over, without a word, where it cannot make sense of what is saved."""

    keeps_lineage: bool = False

    def open(self, name: str, positions: Positions, limits: Limits, **how: Any) -> Stream:
        foreign = self.log.lineage not in positions.known()
        try:
            return super().open(name, positions, limits, **how)
        except Fatal:
            if self.keeps_lineage and foreign:
                raise
            return super().open(name, KeptPositions(), limits, **how)


@dataclass(frozen=True)
class Exclusive(LogSource):
    """One reader at a time: the next one waits, until `ends` says what to make of a stop, or is refused at once."""

    turn: threading.Lock = field(default_factory=threading.Lock)
    ends: type[Exception] | None = Retryable
    waits: bool = True

    def open(
        self, name: str, positions: Positions, limits: Limits, *, stop: threading.Event | None = None, **how: Any
    ) -> Stream:
        while not self.turn.acquire(timeout=0.05):
            if not self.waits:
                raise Fatal("another reads")
            if self.ends is not None and stop is not None and stop.is_set():
                raise self.ends("stopped while another reads")
        release = ExitStack()
        release.callback(self.turn.release)
        with release:
            stream: Any = super().open(name, positions, limits, stop=stop, **how)
            stream.close = release.pop_all().close  # twice is harmless, as the log's own is
            return cast(Stream, stream)


@dataclass(frozen=True)
class Clinging(LogSource):
    """A stream that somebody may stop opening cannot be closed."""

    def open(
        self, name: str, positions: Positions, limits: Limits, *, stop: threading.Event | None = None, **how: Any
    ) -> Stream:
        stream = super().open(name, positions, limits, stop=stop, **how)
        if stop is not None:
            stream.close = _fails_to_close  # type: ignore[method-assign]
        return stream


def _fails_to_close() -> None:
    raise Retryable("it is in use")


def _check(make: Callable[[Log], Source]) -> list[str]:
    log, keys = Log(), count()
    return testing.check_source(
        lambda: make(log), lambda rows: log.commit(*(("c", {"id": str(next(keys))}) for _ in range(rows)))
    )


def test_the_fake_source_keeps_the_contract() -> None:
    assert any("I6" in line for line in _check(LogSource))


@pytest.mark.parametrize("server", ["database", "database15"])
def test_postgres_keeps_the_contract(server: str, request: pytest.FixtureRequest) -> None:
    url: str = request.getfixturevalue(server)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE orders (id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, note text)")
        shown = testing.check_source(
            lambda: Postgres(url=url, tables=["public.orders"]),
            lambda rows: connection.execute("INSERT INTO orders (note) SELECT 'x' FROM generate_series(1, %s)", [rows]),
        )
        slots = connection.execute("SELECT slot_name FROM pg_replication_slots WHERE database = current_database()")
        assert not slots.fetchall()
    assert any("I6" in line for line in shown)


@pytest.mark.parametrize(("protocol", "positions"), [("classic", "group"), ("classic", "sink"), ("consumer", "sink")])
def test_kafka_keeps_the_contract(
    kafka: Broker, topic: str, protocol: Literal["classic", "consumer"], positions: Literal["group", "sink"]
) -> None:
    kafka.create_topic(topic, _PARTITIONS)
    producer, ids = Producer({"bootstrap.servers": kafka.address, "enable.idempotence": True}), count()

    def commit(rows: int) -> None:
        for at in islice(ids, rows):
            producer.produce(topic, value=event("c", after={"id": at}), partition=at % _PARTITIONS)
        assert producer.flush(120) == 0

    quick = {"heartbeat.interval.ms": "500"} if protocol == "classic" else {}
    source = Kafka(
        f"kafka://{kafka.address}/{topic}", group=topic, group_protocol=protocol, positions=positions, options=quick
    )
    shown = testing.check_source(lambda: source, commit)
    assert any("I16" in line for line in shown)
    assert source.drop("") == []


def _confirms_with_a_fault(stream: Stream) -> None:
    def confirm(positions: Sequence[Position]) -> None:
        raise RuntimeError("the connection is busy")

    stream.confirm = confirm  # type: ignore[method-assign]


def _confirms_and_waits_for_an_answer(stream: Stream) -> None:
    never = threading.Event()
    stream.confirm = lambda positions: never.wait()  # type: ignore[method-assign,assignment,return-value]


def _drops_what_waits(stream: Stream) -> None:
    def tend() -> None:
        with contextlib.suppress(EndOfStream):
            stream.read(0.0)

    stream.tend = tend  # type: ignore[method-assign]


def _skips_the_second_transaction(stream: Stream) -> None:
    if stream._bound is None:  # type: ignore[attr-defined] # one that never ends would be waited for in vain
        return
    read, batches = stream.read, count()

    def skip(timeout_s: float) -> object:
        item = read(timeout_s)
        return read(timeout_s) if isinstance(item, Batch) and next(batches) == 1 else item

    stream.read = skip  # type: ignore[method-assign,assignment]


def _repeats_every_transaction(stream: Stream) -> None:
    read: Callable[[float], object] = stream.read
    held: list[object] = []

    def repeat(timeout_s: float) -> object:
        if held:
            return held.pop()
        item = read(timeout_s)
        if isinstance(item, Batch):
            held.append(item)
        return item

    stream.read = repeat  # type: ignore[method-assign,assignment]


@pytest.mark.parametrize(
    ("harm", "promise"),
    [
        (_confirms_with_a_fault, "I2 .*raises nothing"),
        (_confirms_and_waits_for_an_answer, "I2 .*cheap"),
        (_drops_what_waits, "I11 tend"),
        (_skips_the_second_transaction, "nothing is left out"),
        (_repeats_every_transaction, "I7"),
    ],
)
def test_a_source_that_breaks_a_promise_is_found_out(harm: Break, promise: str) -> None:
    with pytest.raises(AssertionError, match=promise):
        _check(lambda log: Broken(log, harm))


@pytest.mark.parametrize(("keeps_lineage", "promise"), [(False, "I6 .*another server's"), (True, "I6 .*did not write")])
def test_i6_a_source_that_starts_over_from_a_foreign_position_is_found_out(keeps_lineage: bool, promise: str) -> None:
    with pytest.raises(AssertionError, match=promise):
        _check(lambda log: Careless(log, keeps_lineage=keeps_lineage))


@pytest.mark.parametrize("waits", [True, False], ids=["waits", "refuses"])
def test_a_source_that_waits_for_another_reader_until_a_stop_or_not_at_all_is_good(waits: bool) -> None:
    turn = threading.Lock()
    assert any("once it is to stop" in line for line in _check(lambda log: Exclusive(log, turn, waits=waits)))


@pytest.mark.parametrize(
    ("ends", "promise"), [(None, "as soon as `stop` is set"), (OSError, "raises only what is a TailraceError.*OSError")]
)
def test_a_source_that_does_not_heed_a_stop_is_found_out(ends: type[Exception] | None, promise: str) -> None:
    turn = threading.Lock()
    with pytest.raises(AssertionError, match=promise):
        _check(lambda log: Exclusive(log, turn, ends))


def test_a_stream_that_does_not_close_beside_another_reader_is_found_out() -> None:
    with pytest.raises(AssertionError, match=r"close\(\) nothing.*it is in use"):
        _check(Clinging)


def test_a_position_that_cannot_be_kept_as_text_is_found_out() -> None:
    with pytest.raises(AssertionError, match="a position is printable text"):
        KeptPositions().save([Position("test/log", "1\n")])
