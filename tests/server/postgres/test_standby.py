"""A standby as the source: snapshot, stream, what it cannot do, and what becomes of it when it is promoted."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from servers import postgres
from tailrace.error import CheckFailed, HistoryLost, Retryable
from tailrace.model import Finding, Severity
from tailrace.sink.postgres import Postgres as Sink
from tailrace.source import Postgres
from tailrace.source.postgres.place import Place
from tests.background import beside
from tests.server.postgres.reading import Make, Reading, Sql, eventually
from tests.server.verify.stand import Stand, found, keys, only
from tests.waiting import until

Start = Callable[..., postgres.Server]
FEEDBACK = {"hot_standby_feedback": "on", "wal_receiver_status_interval": "1s"}


def of(findings: list[Finding], subject: str, said: str) -> Finding:
    (found,) = [finding for finding in findings if finding.subject == subject and said in finding.message]
    return found


def caught_up(primary: postgres.Server, standby: postgres.Server, sql: Sql) -> None:
    ((end,),) = sql(primary.url, "SELECT pg_current_wal_flush_lsn()::text")
    until(lambda: sql(standby.url, f"SELECT pg_last_wal_replay_lsn() >= '{end}'") == [(True,)])


def shop(primary: postgres.Server, standby: postgres.Server, sql: Sql) -> None:
    sql(primary.url, "CREATE TABLE orders (id int PRIMARY KEY, note text)", "CREATE PUBLICATION p FOR TABLE orders")
    sql(primary.url, "INSERT INTO orders SELECT i, 'row ' || i FROM generate_series(1, 1000) AS i")
    caught_up(primary, standby, sql)


@contextmanager
def logging_snapshots(primary: postgres.Server) -> Iterator[None]:
    """Meanwhile the primary logs what the slot of a standby waits for."""
    done = threading.Event()

    def log() -> None:
        while not done.wait(0.2):
            primary.execute("SELECT pg_log_standby_snapshot()")

    with beside(log, done.set):
        yield


def opened(it: Reading, primary: postgres.Server, sql: Sql) -> Reading:
    """Open while the primary logs what the slot of a standby waits for."""
    with logging_snapshots(primary):
        return it.open()


@pytest.fixture
def replica(postgres18: postgres.Server) -> Iterator[str]:
    """A database to be a target."""
    name = f"target_{uuid.uuid4().hex[:12]}"
    yield postgres18.create_database(name)
    postgres18.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def ids(it: Reading) -> list[int]:
    return [int((change.key or {})["id"]) for change in it.seen]


@pytest.mark.parametrize("version", [16, 18])
def test_snapshot_stream_restart_and_promotion_of_a_standby_lose_and_double_nothing(
    start_postgres: Start, start_standby: Start, sql: Sql, reading: Make, version: int
) -> None:
    primary = start_postgres(version)
    standby = start_standby(primary, settings=FEEDBACK)
    shop(primary, standby, sql)
    it = opened(reading(standby.url, "shop", publication="p"), primary, sql)
    sql(primary.url, "INSERT INTO orders VALUES (1001)")
    it.count(1001)
    assert it.ops() == ["r"] * 1000 + ["c"]
    it.close()
    sql(primary.url, "INSERT INTO orders VALUES (1002)")
    caught_up(primary, standby, sql)
    it.open(until_current=True).to_end()
    assert len(it.seen) == 1002
    it.restart()
    standby.kill()
    with pytest.raises(Retryable):
        it.until(lambda: False)
    it.close()
    sql(primary.url, "INSERT INTO orders VALUES (1003)")
    standby.start()
    opened_again = False
    while not opened_again:  # it may have to catch up with what it had sent before
        try:
            it.open()
            opened_again = True
        except Retryable:
            it.close()
    it.count(1003)
    primary.stop()
    standby.promote()
    sql(standby.url, "INSERT INTO orders VALUES (1004)")
    with pytest.raises(Retryable, match="went over to timeline 2"):
        it.until(lambda: len(it.seen) > 1003)
    assert len(it.seen) == 1003
    it.restart().count(1004)
    assert ids(it) == list(range(1, 1005))
    assert it.saved is not None and Place.of(it.saved).timeline == 2
    positions = [change.position for change in it.seen]
    assert positions == sorted(set(positions))


def test_i6_a_slot_that_a_recovery_conflict_invalidates_is_history_lost(
    start_postgres: Start, start_standby: Start, sql: Sql, reading: Make
) -> None:
    primary = start_postgres(17)
    standby = start_standby(primary, settings={"hot_standby_feedback": "off"})
    shop(primary, standby, sql)
    it = opened(reading(standby.url, "shop", publication="p", snapshot="never"), primary, sql).first()

    def conflicts() -> bool:
        """Remove rows of the catalog; the server itself may be looking at them just then, and they stay."""
        sql(primary.url, "CREATE TABLE gone (id int)")
        sql(primary.url, "DROP TABLE gone")
        for catalog in ("pg_class", "pg_attribute", "pg_type"):
            primary.execute(f"VACUUM {catalog}")
        return sql(standby.url, "SELECT conflicting FROM pg_replication_slots") == [(True,)]

    eventually(conflicts)
    with pytest.raises((Retryable, HistoryLost)):
        it.until(lambda: False)
    it.close()
    with pytest.raises(HistoryLost, match=r"(?s)invalidated by the server: rows_removed.*hot_standby_feedback"):
        it.open()


def test_what_a_standby_cannot_make_is_a_statement_for_its_primary(
    start_postgres: Start, start_standby: Start, sql: Sql, reading: Make, caplog: pytest.LogCaptureFixture
) -> None:
    primary = start_postgres(17)
    standby = start_standby(primary, settings={"hot_standby_feedback": "off"})
    for statement in ("ALTER SYSTEM SET primary_slot_name = ''", "SELECT pg_reload_conf()"):
        standby.execute(statement)
    shop(primary, standby, sql)
    findings = Postgres(standby.url, publication="q", tables=["public.orders"]).check()
    finding = of(findings, "publication", "must be made on the primary")
    assert finding.severity is Severity.ERROR and finding.fix is not None
    with pytest.raises(CheckFailed, match=r"(?s)'q' does not exist, and this server is a standby.*CREATE PUBLICATION"):
        reading(standby.url, "shop", publication="q", tables=["public.orders"]).open()
    with pytest.raises(CheckFailed, match=r"make it on the primary"):
        reading(standby.url, "tail", temporary=True).open()
    sql(primary.url, finding.fix)
    caught_up(primary, standby, sql)
    for said in ("hot_standby_feedback is off", "primary_slot_name is empty"):
        found = of(findings, "standby", said)
        assert found.severity is Severity.WARNING and found.fix is not None
        for statement in found.fix.replace("'...'", "'standby'").split("; "):
            standby.execute(statement)
    it = opened(reading(standby.url, "shop", publication="q", tables=["public.orders"]), primary, sql).count(1000)
    it.close()
    findings = it.source.check()
    assert [f for f in findings if f.severity is Severity.ERROR] == []
    assert of(findings, "standby", "feedback is on").severity is Severity.OK
    tail = opened(reading(standby.url, "tail", temporary=True, publication="q", snapshot="never"), primary, sql).first()
    sql(primary.url, "INSERT INTO orders VALUES (1001)")
    tail.count(1)
    assert it.source.drop("shop") == ["replication slot tailrace_shop"]
    assert "publication q stays" in caplog.text


@pytest.mark.parametrize(
    ("levels", "where"),
    [(("replica", "logical"), "on the primary: "), (("logical", "replica"), "here, and on the primary too: ")],
)
def test_a_log_that_lacks_what_decoding_needs_is_mended_where_it_does(
    start_postgres: Start, start_standby: Start, sql: Sql, reading: Make, levels: tuple[str, str], where: str
) -> None:
    above, below = ({"wal_level": level} for level in levels)
    primary = start_postgres(17, settings=above)
    standby = start_standby(primary, settings=below)
    shop(primary, standby, sql)
    with pytest.raises(CheckFailed, match="wal_level") as lacking:
        reading(standby.url, "shop", publication="p").open()
    assert (lacking.value.hint or "").startswith(f"{where}ALTER SYSTEM SET wal_level = 'logical'")


def test_verify_reads_a_standby_as_the_source(
    start_postgres: Start, start_standby: Start, sql: Sql, replica: str, tmp_path: Path
) -> None:
    primary = start_postgres()
    standby = start_standby(primary, settings=FEEDBACK)
    shop(primary, standby, sql)
    sql(primary.url, "CREATE PUBLICATION tailrace_verified FOR TABLE orders")
    caught_up(primary, standby, sql)
    stand = Stand(standby.url, Sink(replica), tmp_path)
    with logging_snapshots(primary):
        stand.start()
        sql(primary.url, "INSERT INTO orders VALUES (1001, 'new')")
        caught_up(primary, standby, sql)
        assert only(stand.verify()).equal == 1001
        sql(replica, "UPDATE orders SET note = 'x' WHERE id = 7", "DELETE FROM orders WHERE id = 8")
        report = only(stand.verify(repair=True))
        stand.close()
    assert (found(report), report.differences) == ({"different": keys(7), "missing": keys(8)}, 0)
    assert sql(replica, "SELECT note FROM orders WHERE id IN (7, 8) ORDER BY id") == [("row 7",), ("row 8",)]
