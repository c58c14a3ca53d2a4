"""Members of a group that each fill a DuckDB file of their own, while partitions move between them."""

from __future__ import annotations

import itertools
import json
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from servers.kafka import Broker
from tailrace.sink.duckdb import DuckDB
from tests.server.kafka.filling import Member, event, produce, running
from tests.server.kafka.test_group import PROTOCOLS, QUICK, source
from tests.waiting import until

PARTITIONS, ONCE, OFTEN = 4, range(100), range(100, 140)


class Load:
    """Rows of keys, each in a partition of its own, with a number that grows; and what must be left of them."""

    def __init__(self, broker: Broker, topic: str) -> None:
        self._broker, self._topic = broker, topic
        self._numbers = itertools.count()
        self.newest: dict[int, int] = {}
        self.written: Counter[int] = Counter()
        """Records, by partition."""

    def write(self, keys: Iterable[int]) -> None:
        for partition, several in itertools.groupby(sorted(keys, key=partition_of), key=partition_of):
            rows = [(key, next(self._numbers)) for key in several]
            records = [(json.dumps({"id": key}).encode(), event("u", after={"id": key, "n": n})) for key, n in rows]
            produce(self._broker, self._topic, records, partition=partition)
            self.newest |= dict(rows)
            self.written[partition] += len(rows)

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Updates without end beside the block."""
        over = threading.Event()

        def run() -> None:
            while not over.wait(0.05):
                self.write(OFTEN)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(60)


def partition_of(key: int) -> int:
    return key % PARTITIONS


def read(member: Member) -> dict[int, int]:
    """How many records it has written of each partition that is its own now."""
    found = member.pipeline.status().positions
    return {int(lineage.rpartition("/")[2]): int(at or -1) + 1 for lineage, at in found.items()}


def rows(path: Path) -> dict[int, int]:
    with duckdb.connect(str(path), read_only=True) as connection:
        found = connection.execute("SELECT id, n FROM public.orders").fetchall()
    assert len(found) == len({key for key, _ in found})
    return dict(found)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_whoever_has_a_partition_has_all_of_it_in_a_file_of_its_own(
    kafka: Broker, topic: str, tmp_path: Path, protocol: str
) -> None:
    """A file that gets a partition for the first time begins at its beginning, whatever the group has read of it."""
    kafka.create_topic(topic, PARTITIONS)
    load, paths = Load(kafka, topic), [tmp_path / "first.duckdb", tmp_path / "second.duckdb"]
    made = source(kafka, topic, group_protocol=protocol, options=QUICK if protocol == "classic" else {})

    def member(at: int) -> Member:
        return Member(made, DuckDB(str(paths[at])), "p", tmp_path / str(at))

    first, second = member(0), member(1)

    def shared() -> bool:
        return len(read(first)) == len(read(second)) == PARTITIONS // 2

    def caught_up() -> bool:
        return read(first) | read(second) == load.written

    load.write(ONCE)
    with running(first):
        with load.going_on():
            until(lambda: len(read(first)) == PARTITIONS, "for the first to have all")
            with running(second):
                until(shared, "for the sharing")
            until(lambda: len(read(first)) == PARTITIONS, "for all to be back")
            moved = second
            second = member(1)
        with running(second):
            with load.going_on():
                until(shared, "for the sharing anew")
            until(caught_up, "for both to be at the ends")
            owners = [set(read(first)), set(read(second))]
    assert [each.error for each in (first, moved, second)] == [None] * 3
    assert owners[0] | owners[1] == set(range(PARTITIONS))
    for path, owned in zip(paths, owners, strict=True):
        held = {key: n for key, n in rows(path).items() if partition_of(key) in owned}
        assert held == {key: n for key, n in load.newest.items() if partition_of(key) in owned}
