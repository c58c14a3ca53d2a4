"""Health and lag of a pipeline from a real PostgreSQL: a sink that is stuck, a log that grows without rows for us."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest

from tailrace.checkpoint import Memory
from tailrace.health import Address, HealthServer
from tailrace.model import Limits
from tailrace.pipeline import Pipeline
from tailrace.source import Postgres
from tailrace.testing.fake import ListSink, Target
from tests.unit.health.asking import get, verdict
from tests.waiting import until

STALLED_S = 2.0


@pytest.fixture
def target() -> Target:
    return Target()


@pytest.fixture
def pipeline(database: str, target: Target) -> Iterator[Pipeline]:
    """From table `orders` of a fresh database into `target`, running."""
    execute(database, "create table orders (id int primary key, note text)", "create table other (n int)")
    name = "health_" + database.rsplit("/", 1)[1]
    source = Postgres(database, tables=["public.orders"], slot=name, publication=name)
    limits = Limits(stop_timeout_s=5, progress_interval_s=1, shelf_bytes_max=1_000_000)
    made = Pipeline(source, ListSink(target), name="p", checkpoint=Memory(), state_dir=None, limits=limits)
    thread = threading.Thread(target=made.run)
    thread.start()
    try:
        until(lambda: made.status().reason == "caught up")
        yield made
    finally:
        target.gate.set()
        made.stop()
        thread.join()


@pytest.fixture
def server(pipeline: Pipeline) -> Iterator[HealthServer]:
    made = HealthServer(Address("127.0.0.1", 0), [pipeline], stalled_s=STALLED_S)
    yield made
    made.close()


def execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def test_a_stuck_sink_is_told_with_the_age_of_what_it_holds(
    database: str, pipeline: Pipeline, server: HealthServer, target: Target
) -> None:
    until(lambda: verdict(server)[0] == 200)
    target.gate.clear()
    before = time.time()
    execute(database, "insert into orders values (1, 'one')", "insert into orders values (2, 'two')")
    after = time.time()
    until(lambda: verdict(server)[0] == 503)
    looked = time.time()
    status = pipeline.status()
    assert status.lag_s is not None
    assert looked - after - 1 <= status.lag_s <= time.time() - before + 0.5, "the age of the first, by commit time"
    assert status.caught_up_at is not None
    assert status.caught_up_at <= after
    until(lambda: 'tailrace_retained_bytes{pipeline="p"}' in get(server, "/metrics")[1])
    assert 'tailrace_healthy{pipeline="p"} 0.0' in get(server, "/metrics")[1]
    thousand = "insert into orders select i, repeat('x', 1000) from generate_series({0}001, {0}999) i"
    execute(database, *(thousand.format(number) for number in range(1, 21)))
    until(lambda: (pipeline.status().lag_bytes or 0) > 5_000_000, "for a log that is not read beyond a full shelf")
    target.gate.set()
    until(lambda: pipeline.status().changes_per_s > 0 and pipeline.status().bytes_per_s > 0, "for the rates")
    until(lambda: verdict(server)[0] == 200)
    until(lambda: pipeline.status().changes == 2 + 20 * 999)  # the lag is that of when the server was last asked
    until(lambda: (status := pipeline.status()).lag_s == status.lag_bytes == 0)
    assert (pipeline.status().caught_up_at or 0) >= after


def test_what_the_server_was_asked_before_says_nothing_of_what_it_has_not_sent_since(
    database: str, pipeline: Pipeline
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        slot = "select active_pid from pg_replication_slots where database = current_database()"
        [(walsender,)] = connection.execute(slot).fetchall()
        os.kill(walsender, signal.SIGSTOP)
        try:
            connection.execute("insert into orders values (1, 'one')")
            after = time.time()
            until(lambda: (pipeline.status().lag_bytes or 0) > 0, "for the next answer of the server")
            assert (pipeline.status().caught_up_at or 0) <= after
        finally:
            os.kill(walsender, signal.SIGCONT)
    until(lambda: (pipeline.status().caught_up_at or 0) > after and pipeline.status().changes == 1)


def test_a_log_that_grows_without_rows_for_us_is_no_lag_for_long(
    database: str, pipeline: Pipeline, server: HealthServer
) -> None:
    began = time.time()
    execute(database, "insert into other select generate_series(1, 200000)")
    until(lambda: (pipeline.status().caught_up_at or 0) > began + 1)
    until(lambda: pipeline.status().lag_s == 0 and verdict(server)[0] == 200)
    assert pipeline.status().changes == 0


def test_while_a_pipeline_is_down_its_lag_is_not_known(database: str, pipeline: Pipeline) -> None:
    caught_up_at = pipeline.status().caught_up_at
    assert caught_up_at is not None
    pipeline.stop()
    until(lambda: pipeline.status().state == "stopped")
    status = pipeline.status()
    assert (status.lag_s, status.lag_bytes) == (None, None)
    assert (status.caught_up_at or 0) >= caught_up_at
