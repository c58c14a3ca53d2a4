"""What a stream does when the network or one of its two sessions misbehaves."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from psycopg.conninfo import conninfo_to_dict

from servers import postgres
from servers.proxy import Proxy
from tailrace.dialect.postgres import session, witness
from tailrace.dialect.postgres.witness import silence_s
from tailrace.error import Retryable
from tailrace.model import Limits
from tailrace.source.postgres import walsender
from tests.server.postgres.reading import PATIENCE_S, Make, Reading, Sql

Start = Callable[..., postgres.Server]
SENDER_TIMEOUT = {"wal_sender_timeout": "3s"}


@pytest.fixture
def hasty(start_postgres: Start, sql: Sql) -> postgres.Server:
    """A server that gives up on a silent reader soon."""
    server = start_postgres(18, settings=SENDER_TIMEOUT)
    sql(server.url, "CREATE TABLE orders (id int PRIMARY KEY, note text)")
    return server


@pytest.fixture
def proxy(hasty: postgres.Server) -> Iterator[Proxy]:
    with Proxy("127.0.0.1", hasty.port) as made:
        yield made


def reads_until_it_breaks(it: Reading) -> None:
    while True:
        it.read()


@pytest.mark.parametrize("fault", ["stall", "blackhole", "half_open"])
def test_a_silent_connection_is_given_up_and_nothing_is_lost(
    hasty: postgres.Server, proxy: Proxy, sql: Sql, reading: Make, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(walsender, "_FAREWELL_S", 1.0)  # to a connection that is dead
    it = reading(proxy.through(hasty.url), "silent", snapshot="never").open()
    sql(hasty.url, "INSERT INTO orders VALUES (1)")
    it.count(1)
    getattr(proxy, fault)()
    began = time.monotonic()
    with pytest.raises(Retryable, match="nothing was heard from the server of slot 'tailrace_silent' for 5 s"):
        reads_until_it_breaks(it)
    assert time.monotonic() - began < PATIENCE_S
    sql(hasty.url, "INSERT INTO orders VALUES (2)")
    proxy.resume()
    it.restart().count(2)
    assert [change.key for change in it.seen] == [{"id": "1"}, {"id": "2"}]


def test_a_cut_connection_is_noticed_at_once_and_nothing_is_lost(database: str, sql: Sql, reading: Make) -> None:
    parts = conninfo_to_dict(database)  # of a server that is patient: nobody but the proxy cuts, and only once
    sql(database, "CREATE TABLE orders (id int PRIMARY KEY, note text)")
    with Proxy(str(parts["host"]), int(str(parts["port"]))) as proxy:
        it = reading(proxy.through(database), str(parts["dbname"]), snapshot="never").open().first()
        sql(database, "INSERT INTO orders SELECT i, repeat('x', 1000) FROM generate_series(1, 20000) AS i")
        proxy.cut_after(5_000_000)
        with pytest.raises(Retryable) as broken:
            reads_until_it_breaks(it)
        assert "nothing was heard" not in str(broken.value)  # as after a silence
        it.restart().count(20000)
    assert len(it.seen) == 20000


def test_i11_a_side_session_that_does_not_answer_delays_no_ping(
    start_postgres: Start, sql: Sql, reading: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witness, "_SILENCE_S_MIN", PATIENCE_S)
    url = start_postgres(18, settings={"wal_sender_timeout": "6s"}).url
    sql(url, "CREATE TABLE orders (id int PRIMARY KEY, note text)")
    it = reading(url, "slow", snapshot="never").open()
    sql(url, "INSERT INTO orders VALUES (1)")
    it.count(1)
    (walsender,) = sql(url, "SELECT pid FROM pg_stat_replication")
    ((side,),) = sql(
        url,
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'tailrace' AND backend_type = 'client backend'",
    )
    os.kill(side, signal.SIGSTOP)
    # Less than we wait for it, longer than the server waits for us.
    wakes = threading.Timer(9.0, os.kill, (side, signal.SIGCONT))
    wakes.start()
    while wakes.is_alive():
        it.stream.tend()
        it.read(0.05)
    # Pings that wait for the side session end it.
    assert sql(url, "SELECT pid FROM pg_stat_replication") == [walsender]
    sql(url, "ALTER TABLE orders ADD n int", "INSERT INTO orders VALUES (2)")
    it.count(2)


def test_i11_an_idle_server_that_waits_for_us_no_longer_than_a_ping_is_not_given_up(
    start_postgres: Start, sql: Sql, reading: Make
) -> None:
    """It hears of us often enough to say nothing by itself, so that it must be asked before the silence is too long."""
    url = start_postgres(18, settings={"wal_sender_timeout": "9s"}).url
    sql(url, "CREATE TABLE quiet (id int PRIMARY KEY)")
    it = reading(url, "quiet", snapshot="never")
    it.limits = Limits()
    it.open().first()
    rested = time.monotonic() + silence_s(9) + 1
    while time.monotonic() < rested:
        it.read(0.5)
    sql(url, "INSERT INTO quiet VALUES (1)")
    it.count(1)


def test_a_side_session_that_never_answers_is_given_up(hasty: postgres.Server, sql: Sql, reading: Make) -> None:
    it = reading(hasty.url, "mute", snapshot="never").open().first()
    ((side,),) = sql(
        hasty.url,
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'tailrace' AND backend_type = 'client backend'",
    )
    os.kill(side, signal.SIGSTOP)
    try:
        with pytest.raises(Retryable, match="nothing was heard"):
            reads_until_it_breaks(it)
    finally:
        os.kill(side, signal.SIGCONT)


def test_a_connection_cut_in_its_first_statement_is_retryable(hasty: postgres.Server, proxy: Proxy) -> None:
    url = proxy.through(hasty.url)
    session.connect(url).close()
    proxy.cut_after(proxy.to_client_bytes - 3)  # within the answer to the SET that follows the login
    with pytest.raises(Retryable, match="cannot connect to"):
        session.connect(url)
    session.connect(url).close()


def test_a_snapshot_that_waits_for_the_server_lets_other_threads_run(
    hasty: postgres.Server, proxy: Proxy, sql: Sql, reading: Make
) -> None:
    sql(hasty.url, "INSERT INTO orders SELECT i, 'x' FROM generate_series(1, 3) AS i")
    proxy.delay(0.02)  # by a thread of this process: the wait would never end if it kept the interpreter to itself
    reading(proxy.through(hasty.url), "delayed").open().count(3)
