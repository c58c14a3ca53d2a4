"""Bytes that no server sends, from a real one through a proxy: nothing is skipped, and what is said names the place."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from psycopg.conninfo import conninfo_to_dict

from servers.proxy import Proxy
from tailrace.error import Fatal
from tests.server.postgres.reading import Make, Sql


@pytest.fixture
def proxy(database: str) -> Iterator[Proxy]:
    server = conninfo_to_dict(database)
    with Proxy(str(server["host"]), int(str(server["port"]))) as proxy:
        yield proxy


def test_i10_a_copied_row_that_is_not_understood_stops(database: str, sql: Sql, reading: Make, proxy: Proxy) -> None:
    sql(database, "CREATE TABLE orders (id int PRIMARY KEY, note text)", "INSERT INTO orders VALUES (1, 'marker')")
    proxy.replace(b"\tmarker", b"_marker")  # one column too few
    it = reading(proxy.through(database), slot_name(database), tables=["public.orders"]).open()
    with pytest.raises(Fatal, match=r"the copy of public\.orders holds something that is not understood: ") as caught:
        it.count(1)
    assert "marker" not in str(caught.value)  # (I9)
    assert not it.seen


def test_i10_a_streamed_row_that_is_not_understood_stops(database: str, sql: Sql, reading: Make, proxy: Proxy) -> None:
    sql(database, "CREATE TABLE orders (id int PRIMARY KEY, note text)", "INSERT INTO orders VALUES (1, 'before')")
    it = reading(proxy.through(database), slot_name(database), tables=["public.orders"]).open().count(1)
    proxy.replace(b"t\0\0\0\x06marker", b"?\0\0\0\x06marker")  # a kind of cell that there is not
    sql(database, "INSERT INTO orders VALUES (2, 'marker')")
    with pytest.raises(Fatal, match=r"the stream of slot '.*' holds something that is not understood: ") as caught:
        it.count(2)
    assert "marker" not in str(caught.value)
    proxy.resume()
    it.restart().count(2)
    assert it.ops() == ["r", "c"]


def slot_name(url: str) -> str:
    return str(conninfo_to_dict(url)["dbname"])
