"""What a writer does when its server is silent: gone, or at work for longer than anybody likes to wait."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psycopg
import pytest

from servers.postgres import Server
from servers.proxy import Proxy, Side
from tailrace.error import Retryable
from tailrace.model import Limits
from tailrace.sink.postgres import Postgres, vigil
from tailrace.sink.postgres.writer import PostgresWriter
from tests.unit.sink.feed import LINEAGE, Feed
from tests.waiting import until


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second of silence is long."""
    monkeypatch.setattr(vigil, "SILENCE_S", 1.0)


@pytest.fixture
def proxy(postgres18: Server) -> Iterator[Proxy]:
    with Proxy("127.0.0.1", postgres18.port) as made:
        yield made


def opened(url: str) -> PostgresWriter:
    writer = Postgres(url).open("p", Limits())
    writer.claim(LINEAGE)
    return writer


@pytest.mark.parametrize("rows", [1, 500], ids=["statements", "sets"])
@pytest.mark.parametrize("fault", ["half_open", "blackhole"])
def test_a_server_that_is_gone_is_not_waited_for_and_nothing_is_lost(
    database: str, proxy: Proxy, fault: str, rows: int
) -> None:
    feed, url = Feed(), proxy.through(database) + "?connect_timeout=2"
    writer = opened(url)
    writer.write(feed.insert(1))
    batch = feed.commit(*(("c", {"id": str(key), "note": "n"}) for key in range(2, 2 + rows)))
    if fault == "half_open":
        proxy.half_open(Side.CLIENT)
        proxy.resume()
    else:
        proxy.blackhole()
    with pytest.raises(Retryable, match=r"nothing was heard for 1 s while writing to .*, and "):
        writer.write(batch)
    writer.close()
    proxy.resume()
    writer = opened(url)
    writer.write(batch)
    writer.close()
    with psycopg.connect(database) as target:
        assert target.execute("SELECT count(*) FROM orders").fetchone() == (1 + rows,)


def test_a_server_that_is_at_work_is_waited_for(database: str, proxy: Proxy) -> None:
    feed, writer = Feed(), opened(proxy.through(database))
    writer.write(feed.insert(1))
    with psycopg.connect(database) as holder, psycopg.connect(database, autocommit=True) as other:
        asked = proxy.accepted
        holder.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        writing = threading.Thread(target=writer.write, args=(feed.insert(2),))
        writing.start()
        until(lambda: proxy.accepted >= asked + 3, "for three questions")
        holder.rollback()
        writing.join()
        assert other.execute("SELECT count(*) FROM orders").fetchone() == (2,)
    writer.close()
