"""Of two processes only the last one writes, whatever the first was doing (I16)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tailrace.error import Fenced
from tailrace.model import Limits
from tailrace.sink.postgres import Postgres
from tests.server.sink.postgres.road import Road
from tests.unit.sink.feed import LINEAGE, Feed
from tests.waiting import until


def test_i16_a_claim_ends_the_session_before_and_its_next_write(database: str) -> None:
    feed, sink = Feed(), Postgres(database)
    old, new = sink.open("p", Limits()), sink.open("p", Limits())
    old.claim(LINEAGE)
    old.write(feed.insert(1))
    assert new.claim(LINEAGE) is not None
    with pytest.raises(Fenced):
        old.write(feed.insert(2))
    new.write(feed.insert(3))
    with psycopg.connect(database) as target:
        assert target.execute("SELECT id FROM orders ORDER BY id").fetchall() == [(1,), (3,)]
    old.close()
    new.close()


def test_i16_an_older_epoch_does_not_write_though_its_session_lives(database: str) -> None:
    feed, sink = Feed(), Postgres(database)
    old = sink.open("p", Limits())
    old.claim(LINEAGE)
    old.write(feed.insert(1))
    with psycopg.connect(database, autocommit=True) as target:
        target.execute("UPDATE tailrace.position SET epoch = epoch + 1")
        for rows in (1, 500):
            with pytest.raises(Fenced):
                old.write(feed.insert(*range(2, 2 + rows)))
        assert target.execute("SELECT id FROM orders").fetchall() == [(1,)]
    old.close()


_RUN = """
import sys
from pathlib import Path
from tailrace.pipeline import Pipeline
from tailrace.sink.postgres import Postgres as Sink
from tailrace.source import Postgres as Source
source, target, name = sys.argv[1:]
Pipeline(Source(url=source, tables=["public.*"]), Sink(target), name=name, state_dir=None).run(retry=False)
"""


def test_i16_a_process_that_was_stopped_wakes_up_and_writes_nothing(road: Road) -> None:
    road.source.execute("CREATE TABLE accounts (id int PRIMARY KEY, n int)")
    road.at_source("INSERT INTO accounts SELECT i, 0 FROM generate_series(1, 100) i")
    name = psycopg.conninfo.conninfo_to_dict(road.urls[0])["dbname"]
    command = [sys.executable, "-c", _RUN, *road.urls, str(name)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, cwd=Path(__file__).parents[4]) as zombie:
        try:
            until(lambda: _count(road) == [(100,)], "for the snapshot")
            until(lambda: _readers(road), "for the stream")
            os.kill(zombie.pid, signal.SIGSTOP)
            road.at_source("UPDATE accounts SET n = n + 1", "INSERT INTO accounts VALUES (500, 0)")
            for pid in _readers(road):
                road.source.execute("SELECT pg_terminate_backend(%s, 60000)", [pid])
            road.run()
            road.same("accounts")
            os.kill(zombie.pid, signal.SIGCONT)
            _, complaint = zombie.communicate(timeout=60)
        finally:
            zombie.kill()
    assert zombie.returncode != 0, complaint
    road.at_source("UPDATE accounts SET n = n + 1")
    road.run()
    road.same("accounts")


def _count(road: Road) -> list[tuple[int]]:
    made = road.rows("SELECT to_regclass('public.accounts')::text")
    return road.rows("SELECT count(*) FROM accounts") if made != [(None,)] else []


def _readers(road: Road) -> list[int]:
    """The walsenders that read the source's slots."""
    asked = "SELECT active_pid FROM pg_replication_slots WHERE database = current_database() AND active"
    return [pid for (pid,) in road.source.execute(asked).fetchall()]
