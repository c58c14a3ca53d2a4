"""Members of one group write side by side into one target: each lineage has one holder, and none ends another's session
(I16)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psycopg
import pytest

from tailrace._native import BatchBuilder
from tailrace.error import Fenced, Retryable
from tailrace.model import Batch, Column, Limits, Table
from tailrace.sink.postgres import Postgres
from tailrace.sink.postgres.writer import PostgresWriter
from tests.waiting import until

ORDERS = Table("public", "orders", [Column("id", "int8", nullable=False), Column("note", "text")], key=["id"])
WIDER = Table("public", "orders", [Column("id", "text", nullable=False), Column("note", "text")], key=["id"])


class Partition:
    """The server's side of one lineage: each call is one committed transaction."""

    def __init__(self, number: int) -> None:
        self.lineage = f"kafka/cluster/topic/{number}"
        self._builder = BatchBuilder(self.lineage, database="shop")
        self._offset = 0

    def put(self, *keys: object, op: str = "c", table: Table = ORDERS) -> Batch:
        self._offset += 1
        self._builder.begin(xid=0, at=f"{self._offset:020d}", committed_at_us=1_700_000_000_000_000)
        for key in keys:
            self._builder.add(op, table, after={"id": str(key), "note": f"{key}"})  # type: ignore[arg-type]
        self._builder.commit()
        return self._builder.take()


@contextmanager
def members(url: str, count: int) -> Iterator[list[PostgresWriter]]:
    """Open writers of one pipeline."""
    with ExitStack() as stack:
        opened = [Postgres(url).open("p", Limits()) for _ in range(count)]
        for writer in opened:
            stack.callback(writer.close)
        yield opened  # type: ignore[misc]


def forgotten(writer: PostgresWriter) -> bool:
    """Whether it could forget what it had at the server: not while the server still ends the session of another."""
    try:
        writer.forget()
    except Retryable:
        return False
    return True


def ids(url: str) -> list[object]:
    with psycopg.connect(url) as target:
        return [key for (key,) in target.execute("SELECT id FROM orders ORDER BY id").fetchall()]


def test_i16_members_write_side_by_side_and_mark_what_they_write(database: str) -> None:
    left, right = Partition(0), Partition(1)
    with members(database, 2) as (one, two):
        one.claim(left.lineage)
        two.claim(right.lineage)
        for step in range(3):
            one.write(left.put(step))
            two.write(right.put(100 + step))
        with psycopg.connect(database, autocommit=True) as target:
            origins = (
                "SELECT count(*) FROM pg_replication_origin_status JOIN pg_replication_origin ON roident = local_id"
                " WHERE starts_with(roname, 'tailrace/' || current_database())"
            )
            assert target.execute(origins.encode()).fetchone() == (2,)
            with pytest.raises(Retryable):
                one.forget()  # the other member lives, and has an origin
            two.close()
            until(lambda: forgotten(one), "for the server to end the other's session")
            assert target.execute(origins.encode()).fetchone() == (0,)
    assert ids(database) == [0, 1, 2, 100, 101, 102]


def test_i16_what_was_yielded_is_claimed_without_ending_the_session_before(database: str) -> None:
    left, right = Partition(0), Partition(1)
    with members(database, 2) as (one, two):
        one.claim(left.lineage)
        one.claim(right.lineage)
        one.write(left.put(1))
        one.write(right.put(2))
        one.yield_up([right.lineage])
        assert two.claim(right.lineage) is not None
        two.write(right.put(3))
        one.write(left.put(4))  # its session lives, and the other lineage is its own
        with pytest.raises(Fenced):
            one.write(right.put(5))
        two.yield_up([right.lineage])
        assert one.claim(right.lineage) is not None
    assert ids(database) == [1, 2, 3, 4]


def test_i16_what_was_not_yielded_ends_the_session_of_who_was_given_up(database: str) -> None:
    left, right = Partition(0), Partition(1)
    with members(database, 2) as (one, two):
        one.claim(left.lineage)
        one.claim(right.lineage)
        one.write(right.put(1))
        two.claim(right.lineage)
        two.yield_up([left.lineage])  # was never its own: changes nothing
        with pytest.raises(Fenced):
            one.write(left.put(2))
        two.claim(left.lineage)
        two.write(left.put(3))
    assert ids(database) == [1, 3]


def test_members_that_begin_at_once_make_a_table_once(database: str) -> None:
    partitions = [Partition(number) for number in range(6)]
    failed: list[BaseException] = []
    start = threading.Barrier(len(partitions))

    def work(writer: PostgresWriter, partition: Partition) -> None:
        try:
            writer.claim(partition.lineage)
            number = int(partition.lineage[-1])
            start.wait(120)
            writer.write(partition.put(*range(number * 1_000, number * 1_000 + 200)))
        except BaseException as error:  # noqa: BLE001 - looked at below
            failed.append(error)

    with members(database, len(partitions)) as writers:
        threads = [threading.Thread(target=work, args=pair) for pair in zip(writers, partitions, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failed, failed
    assert len(ids(database)) == 1_200


@pytest.mark.parametrize("count", [3, 300])
def test_a_column_that_one_member_widens_is_wider_for_all(database: str, count: int) -> None:
    left, right = Partition(0), Partition(1)
    with members(database, 2) as (one, two):
        one.claim(left.lineage)
        two.claim(right.lineage)
        one.write(left.put(*range(count)))
        two.write(right.put(*range(1_000, 1_000 + count), op="u"))
        two.write(right.put("a name", table=WIDER))
        one.write(left.put(*range(count), op="u"))
        one.write(left.put(*range(2_000, 2_000 + count)))
        assert one.missing == 0
    assert len(ids(database)) == 3 * count + 1
