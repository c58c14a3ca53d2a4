"""Settings of a role or a database that would end our sessions, or print what they read otherwise, do neither."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tailrace.error import Fatal
from tailrace.source.postgres import snapshot
from tests.server.postgres import imposed
from tests.server.postgres.imposed import onlooking
from tests.server.postgres.reading import Make
from tests.waiting import until

WIDE = "INSERT INTO wide SELECT i, repeat(md5(i::text), 32) FROM generate_series(1, 20000) AS i"
"""20 MB: no buffer between server and reader holds them, so that the COPY goes on while nothing is read."""


@pytest.mark.parametrize("place", imposed.PLACES)
@pytest.mark.parametrize("setting", imposed.FORMATS)
def test_a_format_that_is_imposed_prints_no_row_otherwise(
    any_database: str, reading: Make, setting: str, place: str
) -> None:
    with onlooking(any_database) as onlooker:
        onlooker.execute(imposed.TABLE, imposed.INSERT.format(1))
        onlooker.impose(place, setting, imposed.FORMATS[setting])
        it = reading(any_database).open().count(1)
        onlooker.execute(imposed.INSERT.format(2))
        it.count(2)
    assert it.ops() == ["r", "c"]
    row = {
        "b": "\\x00ff5c27",
        "f": "0.30000000000000004",
        "g": "0.36666667",
        "i": "-10 mons -3 days +04:05:06.789",
        "d": "2026-02-01",
        "at": "2026-02-01 12:00:00.5+00",
        "l": "2026-02-01 12:00:00.5",
        "r": "public.t",
        "note": "\\ü'€\\n",
    }
    assert [change.after for change in it.seen] == [{"id": "1", **row}, {"id": "2", **row}]


@pytest.mark.parametrize("place", imposed.PLACES)
def test_sessions_that_may_only_read_need_no_more_than_a_publication(
    any_database: str, reading: Make, place: str
) -> None:
    with onlooking(any_database) as onlooker:
        onlooker.execute("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
        onlooker.impose(place, "default_transaction_read_only", "on")
        with pytest.raises(Fatal, match=r"cannot create publication .* in a read-only transaction") as caught:
            reading(any_database).open()
        assert caught.value.hint is not None and "default_transaction_read_only%3Doff into the url" in caught.value.hint
        free = f"{any_database}?options=-c%20default_transaction_read_only%3Doff"
        reading(
            free, "free", tables=["public.t"], slot=f"{conninfo_to_dict(any_database)['dbname']}_free"
        ).open().count(1)
        onlooker.execute("CREATE PUBLICATION made FOR TABLE t")
        it = (
            reading(any_database, publication="made", slot=f"{conninfo_to_dict(any_database)['dbname']}_made")
            .open()
            .count(1)
        )
        onlooker.execute("INSERT INTO t VALUES (2)")
        assert it.count(2).ops() == ["r", "c"]


@pytest.mark.parametrize("place", imposed.PLACES)
@pytest.mark.parametrize("setting", imposed.TIMEOUTS)
def test_a_time_limit_that_is_imposed_ends_neither_a_long_snapshot_nor_a_quiet_stream(
    any_database: str, reading: Make, setting: str, place: str
) -> None:
    outlasts(any_database, reading, setting, place)


@pytest.mark.parametrize("place", imposed.PLACES)
def test_a_limit_of_transactions_that_is_imposed_ends_neither(database: str, reading: Make, place: str) -> None:
    outlasts(database, reading, "transaction_timeout", place)  # new in 17


def outlasts(url: str, reading: Make, setting: str, place: str) -> None:
    with onlooking(url) as onlooker:
        onlooker.execute("CREATE TABLE wide (id int PRIMARY KEY, note text)", WIDE)
        onlooker.execute("CREATE TABLE narrow (id int PRIMARY KEY)", "INSERT INTO narrow VALUES (1)")
        onlooker.impose(place, setting, imposed.SHORT_MS)
        it = reading(url, snapshot_readers=2).open()
        it.read()
        assert len(onlooker.rested()) > 2 and not it.ended
        it.count(20001)
        onlooker.execute("INSERT INTO narrow VALUES (2)")
        it.count(20002)
        streaming = onlooker.rested()
        onlooker.execute("INSERT INTO narrow VALUES (3)")
        it.count(20003)
        assert onlooker.rested() == streaming
    assert [op for op in it.ops() if op != "r"] == ["c", "c"] and it.ops().count("r") == 20001


@pytest.mark.parametrize("place", imposed.PLACES)
def test_a_limit_of_waits_for_locks_that_is_imposed_does_not_end_a_snapshots(
    any_database: str, reading: Make, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    it, begin, locked = reading(any_database), snapshot.begin, threading.Event()
    with onlooking(any_database) as onlooker, psycopg.connect(any_database) as holder, ThreadPoolExecutor(1) as pool:
        onlooker.execute(imposed.TABLE, imposed.INSERT.format(1))
        onlooker.impose(place, "lock_timeout", imposed.SHORT_MS)

        def begin_locked(*args: Any, **options: Any) -> snapshot.Snapshot:
            holder.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
            locked.set()
            return begin(*args, **options)

        monkeypatch.setattr(snapshot, "begin", begin_locked)
        opened = pool.submit(it.open)
        try:
            until(locked.is_set, "for the snapshot to begin")
            until(onlooker.blocked, "for the snapshot to wait for the lock")
        finally:
            holder.rollback()
        opened.result()
    assert it.count(1).ops() == ["r"]
