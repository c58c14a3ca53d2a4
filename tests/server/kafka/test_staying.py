"""Cooperative rebalancing: what stays with a member while others come and go is read on, as if nothing had happened,
and is not claimed anew; what moves is claimed by whoever gets it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import duckdb
import psycopg
import pytest
from confluent_kafka import Consumer

from servers import kafka
from servers.kafka import Broker
from tailrace.contract import Sink
from tailrace.sink.duckdb import DuckDB
from tailrace.sink.postgres import Postgres
from tailrace.source.kafka import topic
from tests.server.kafka.filling import Member, event, produce, running
from tests.server.kafka.test_group import PROTOCOLS, source
from tests.server.kafka.watching import Watched
from tests.waiting import until
from tests.wanting import or_skip

PARTITIONS = 6
BRISK = {"group.consumer.min.heartbeat.interval.ms": "100", "group.consumer.heartbeat.interval.ms": "300"}
OPTIONS = {"classic": {"heartbeat.interval.ms": "300"}, "consumer": {}}
"""Members hear soon what the group wants of them, and are not given up sooner."""
Numbers = frozenset[int]
WAIT_S = 180.0


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that is slow to say where partitions end has no member start again: that would be another's leaving."""
    monkeypatch.setattr(topic, "_ASK_S", 60.0)


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """A broker that has members ask it often."""
    with ExitStack() as stack:
        yield or_skip(lambda: stack.enter_context(kafka.start(settings=BRISK)))


class Copy:
    """A target, and what is in it."""

    def __init__(self, kind: str, place: str) -> None:
        self._place = place
        self._duckdb = kind == "duckdb"
        self.sink: Sink = DuckDB(place) if self._duckdb else Postgres(place)

    def epochs(self) -> dict[str, int]:
        """Of each lineage that was ever claimed in it."""
        where = "_tailrace.positions WHERE pipeline" if self._duckdb else "tailrace.position WHERE name"
        return dict(self._rows(f"SELECT lineage, epoch FROM {where} = 'p'"))  # type: ignore[arg-type]

    def rows(self) -> Counter[tuple[int, int]]:
        """Partition and number of each row."""
        return Counter(self._rows("SELECT part, n FROM public.log"))  # type: ignore[arg-type]

    def _rows(self, query: str) -> list[tuple[object, ...]]:
        if self._duckdb:
            with duckdb.connect(self._place) as connection:
                return connection.execute(query).fetchall()
        with psycopg.connect(self._place) as target:
            return target.execute(query.encode()).fetchall()


class Log:
    """Rows that are written to partitions, each once."""

    def __init__(self, broker: Broker, topic: str) -> None:
        self._broker = broker
        self._topic = topic
        self.written: set[tuple[int, int]] = set()

    def write(self, partitions: Numbers) -> None:
        """The next row of each."""
        for part in partitions:
            row = part, sum(at == part for at, _ in self.written)
            value = event("c", after=dict(zip(("part", "n"), row, strict=True)), table="log")
            produce(self._broker, self._topic, [(None, value)], partition=part)
            self.written.add(row)

    def of(self, partitions: Numbers) -> set[tuple[int, int]]:
        """What is written to these."""
        return {row for row in self.written if row[0] in partitions}


@contextmanager
def outsider(broker: Broker, topic: str, protocol: str) -> Iterator[Consumer]:
    """Another program in the group, which does nothing that the group asks of it but while it is polled."""
    classic = {"partition.assignment.strategy": "cooperative-sticky"} if protocol == "classic" else {}
    settings = {"bootstrap.servers": broker.address, "group.id": topic, "group.protocol": protocol}
    consumer = Consumer({**settings, **classic, **OPTIONS[protocol], "enable.auto.commit": False})
    consumer.subscribe([topic], on_revoke=lambda *_: None)
    try:
        yield consumer
    finally:
        consumer.close()


def wait(condition: Callable[[], object], what: str) -> None:
    """As long as a slow machine takes."""
    until(condition, what, timeout_s=WAIT_S)


def turn(consumer: Consumer) -> None:
    """Let it do what the group asks of it."""
    consumer.poll(0.1)


def held(member: Member) -> Numbers:
    """The partitions of which a member has written something since it has them, or knows where it begins."""
    return frozenset(int(lineage.rpartition("/")[2]) for lineage in member.pipeline.status().positions)


def of(partitions: Numbers, counted: Mapping[str, int]) -> list[int]:
    """What is counted of these partitions."""
    return [count for lineage, count in sorted(counted.items()) if int(lineage.rpartition("/")[2]) in partitions]


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("kind", ["postgres", "duckdb"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_i16_partitions_that_stay_are_read_on_and_not_claimed_anew_and_those_that_move_are(
    broker: Broker, database: str, tmp_path: Path, protocol: str, kind: str
) -> None:
    name = broker.create_topic(f"{protocol}_{kind}", PARTITIONS)
    everything, log = frozenset(range(PARTITIONS)), Log(broker, name)
    places = [str(tmp_path / f"{at}.duckdb") if kind == "duckdb" else database for at in range(2)]
    copies = [Copy(kind, place) for place in places]
    sources = [Watched(source(broker, name, group_protocol=protocol, options=OPTIONS[protocol])) for _ in range(2)]
    first, second = (Member(sources[at], copies[at].sink, "p", tmp_path / str(at)) for at in range(2))
    log.write(everything)
    with running(first):
        wait(lambda: held(first) == everything, "for the first to have all")
        assert set(copies[0].epochs().values()) == {1}
        with outsider(broker, name, protocol) as other:
            wait(lambda: turn(other) or len(other.assignment()) == 3 == len(held(first)), "for two to share")
            before, had = held(first), copies[0].epochs()
            assert of(before, had) == [1, 1, 1]
            with running(second):
                wait(lambda: len(held(first)) == 2, "for the first to let go of one")
                stays = held(first)
                # The other one does not let go of what it is to give up: the sharing is not over.
                assert len(held(second)) < 2
                log.write(everything)
                wait(lambda: copies[0].rows().keys() >= log.of(stays), "for what stays to be read on meanwhile")
                assert len(held(second)) < 2
                wait(lambda: turn(other) or len(held(second)) == 2 == len(other.assignment()), "for three to share")
                assert held(first) == stays
                moved = held(second)
                assert of(stays, copies[0].epochs()) == [1, 1]
                earlier = had if kind == "postgres" else dict.fromkeys(had, 0)
                assert of(moved, copies[1].epochs()) == [1 + at for at in of(moved, earlier)]
                second.stop()
            wait(lambda: turn(other) or len(other.assignment()) == 3 == len(held(first)), "for two to share again")
            assert held(first) > stays
        wait(lambda: held(first) == everything, "for the first to have all again")
        log.write(everything)
        wait(lambda: set(copies[0].rows()) >= log.written, "for the rest")
        assert copies[0].rows() == Counter(log.written)
        came, went, epochs = sources[0].came, sources[0].went, copies[0].epochs()
        assert of(stays, epochs) == of(stays, came) == [1, 1]
        assert of(stays, went) == []
        assert min(of(everything - stays, epochs)) >= 2
        assert min(of(everything - stays, came)) >= 2
    assert [member.pipeline.status().restarts for member in (first, second)] == [0, 0]
    assert [member.error for member in (first, second)] == [None, None]
