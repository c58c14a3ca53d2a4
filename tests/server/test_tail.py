"""`tr.tail` on a real server: it sees what is committed from its start on, and leaves nothing behind."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

import tailrace as tr
from tests.waiting import until

TABLES = ["public.orders"]


@pytest.fixture
def connection(database: str) -> Any:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE orders (id int PRIMARY KEY)")
        yield connection


def check_nothing_is_left(connection: psycopg.Connection) -> None:
    """The publication is gone at once; a temporary slot when the server has heard of the end of its session."""
    assert not connection.execute("SELECT pubname FROM pg_publication").fetchall()
    slots = b"SELECT slot_name FROM pg_replication_slots WHERE database = current_database()"
    until(lambda: not connection.execute(slots).fetchall(), "for the server to drop the slot")


def insert(connection: psycopg.Connection, *keys: int) -> None:
    for key in keys:
        connection.execute("INSERT INTO orders VALUES (%s)", [key])


def test_what_is_committed_after_the_start_is_seen(database: str, connection: psycopg.Connection) -> None:
    insert(connection, 1)
    with tr.tail(database, tables=TABLES) as changes:
        insert(connection, 2, 3)
        first, second = next(changes), next(changes)
    assert [(change.op, change.after["id"]) for change in (first, second) if change.after] == [("c", 2), ("c", 3)]
    check_nothing_is_left(connection)


def test_a_loop_that_breaks_leaves_nothing_on_the_server(database: str, connection: psycopg.Connection) -> None:
    insert(connection, 1, 2)
    for change in tr.tail(database, tables=TABLES, snapshot=True):
        assert change.op == "r"
        break
    check_nothing_is_left(connection)


def test_it_ends_with_what_was_there_at_the_start(database: str, connection: psycopg.Connection) -> None:
    insert(connection, 1, 2)
    changes = list(tr.tail(database, tables=TABLES, snapshot=True, until_current=True))
    assert [change.op for change in changes] == ["r", "r"]
    check_nothing_is_left(connection)


def test_async_for_sees_the_same(database: str, connection: psycopg.Connection) -> None:
    async def collect() -> list[int]:
        keys: list[int] = []
        async with tr.tail(database, tables=TABLES) as changes:
            await asyncio.to_thread(insert, connection, 1, 2)
            async for change in changes:
                assert change.after is not None
                keys.append(change.after["id"])
                if len(keys) == 2:
                    break
        return keys

    assert asyncio.run(collect()) == [1, 2]
    check_nothing_is_left(connection)


def test_a_wait_that_times_out_loses_nothing(database: str, connection: psycopg.Connection) -> None:
    async def collect() -> Any:
        async with tr.tail(database, tables=TABLES) as changes:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(changes), 0.2)
            await asyncio.to_thread(insert, connection, 7)
            return (await asyncio.wait_for(anext(changes), 120)).after

    assert asyncio.run(collect()) == {"id": 7}


def test_i12_closing_twice_is_harmless_and_ends_the_iteration(database: str, connection: psycopg.Connection) -> None:
    insert(connection, 1)
    changes = tr.tail(database, tables=TABLES, snapshot=True)
    assert next(changes).op == "r"
    changes.close()
    changes.close()
    assert list(changes) == []
    check_nothing_is_left(connection)


def test_a_table_that_is_not_there_is_named(database: str) -> None:
    with pytest.raises(tr.ConfigError, match=r"public\.nowhere"), tr.tail(database, tables=["public.nowhere"]):
        pass


def test_a_server_that_does_not_answer_is_an_error_and_not_a_wait() -> None:
    with pytest.raises(tr.Retryable, match="cannot connect"):
        next(tr.tail("postgresql://127.0.0.1:1/shop", tables=TABLES))
