"""Transactions that the log has before anybody sees them: their commit waits for a synchronous standby."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest

from servers import postgres
from tailrace._native import Relation
from tailrace.model import Table
from tailrace.source.postgres import stream
from tailrace.source.postgres.stream import Describer
from tests.server.postgres.reading import Make, Reading

Start = Callable[..., postgres.Server]


@pytest.fixture(params=[14, 18])
def server(request: pytest.FixtureRequest, start_postgres: Start) -> postgres.Server:
    """One whose publication has the table `t`, and which streams transactions above 64 kB before their end."""
    made = start_postgres(request.param, settings={"logical_decoding_work_mem": "64kB"})
    made.execute("CREATE TABLE probe (n int)")
    made.execute("CREATE TABLE t (id int PRIMARY KEY)")
    made.execute("CREATE PUBLICATION p FOR TABLE t")
    return made


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Table, bool] | None]:
    """What the stream's relations were described as; None where the catalog is to be asked again."""
    answers: list[tuple[Table, bool] | None] = []
    describe = Describer.__call__

    def noted(self: Describer, relation: Relation) -> tuple[Table, bool] | None:
        answers.append(describe(self, relation))
        return answers[-1]

    monkeypatch.setattr(Describer, "__call__", noted)
    return answers


def write(server: postgres.Server, rows: int) -> None:
    """One transaction that makes what its rows are of."""
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TYPE mood AS ENUM ('low', 'high')")
        connection.execute("ALTER TABLE t ADD m mood DEFAULT 'high', ADD v text")
        connection.execute("COMMENT ON TABLE t IS 'of moods'")
        made = "INSERT INTO t SELECT i, 'low', repeat('v', 200) FROM generate_series(1, %s) AS i"
        connection.execute(made, [rows])


def name_standbys(server: postgres.Server, names: str) -> None:
    server.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
    server.execute("SELECT pg_reload_conf()")


@contextmanager
def commits_wait(server: postgres.Server, it: Reading, names: str) -> Iterator[None]:
    """Within the block each commit waits for one of the standbys `names`. Reads until that is so for certain."""
    over = threading.Event()

    def probe() -> None:
        with psycopg.connect(server.url, autocommit=True) as connection:
            while not over.is_set():
                connection.execute("INSERT INTO probe VALUES (1)")

    waits = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    with ThreadPoolExecutor(1) as pool, psycopg.connect(server.url, autocommit=True) as looking:
        name_standbys(server, names)
        probing = pool.submit(probe)
        try:
            it.until(lambda: looking.execute(waits).fetchone() == (True,))
            over.set()
            yield
        finally:
            over.set()
            name_standbys(server, "")
        probing.result()


@pytest.mark.parametrize("rows", [1, 5000], ids=["sent at its commit", "streamed before"])
def test_what_a_transaction_has_made_is_waited_for_until_it_can_be_seen(
    server: postgres.Server, reading: Make, described: list[tuple[Table, bool] | None], rows: int
) -> None:
    it = reading(server.url, snapshot="never", publication="p").open().first()
    with ThreadPoolExecutor(1) as pool:
        with commits_wait(server, it, "nobody"):
            writing = pool.submit(write, server, rows)
            it.until(lambda: None in described or bool(it.seen))
            assert not it.seen
        writing.result()
    it.count(rows)
    [table] = {table.version: table for batch in it.batches for table in batch.tables}.values()
    assert ([column.type for column in table.columns], table.comment) == (["int4", "enum", "text"], "of moods")
    assert (table.columns[1].labels, table.columns[1].default) == (("low", "high"), "'high'::public.mood")
    server.execute("INSERT INTO t VALUES (0)")
    it.count(rows + 1)


def test_a_commit_that_waits_for_us_is_not_waited_for(
    server: postgres.Server, reading: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "_VISIBLE_S", 0.25)
    it = reading(server.url, snapshot="never", publication="p").open().first()
    with ThreadPoolExecutor(1) as pool, commits_wait(server, it, "*"):
        writing = pool.submit(write, server, 1)
        it.count(1).until(writing.done)
        writing.result()
    assert "has committed in the log, and after 0 s the server does not show it yet" in caplog.text
