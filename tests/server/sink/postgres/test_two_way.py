"""Two pipelines between two databases, each the other's target: nothing goes back, whatever the roles may do."""

from __future__ import annotations

import threading

import pytest

from tailrace.error import CheckFailed
from tailrace.model import Finding, Severity
from tests.server.sink.postgres.two_way import Pair
from tests.waiting import until

WRITTEN = "SELECT n_tup_ins + n_tup_upd FROM pg_stat_user_tables WHERE relname = 'notes'"


def origin(findings: list[Finding]) -> Finding:
    [found] = [finding for finding in findings if finding.subject in {"origin", "replication origin"}]
    return found


def test_a_pipeline_is_not_started_while_one_the_other_way_writes_without_an_origin(pair: Pair) -> None:
    pair.right.execute("INSERT INTO notes VALUES (1, 0)")
    back = pair.back(user=pair.role)
    assert origin(back.sink.check()).severity is Severity.WARNING
    back.run(until_current=True)
    with pytest.raises(CheckFailed, match="'back' writes into this database without a replication origin") as refused:
        pair.there().run(until_current=True)
    finding = origin(pair.there().source.check())
    assert (finding.severity, finding.fix) == (Severity.ERROR, refused.value.hint)
    assert (
        pair.left.execute("SELECT slot_name FROM pg_replication_slots WHERE slot_name LIKE 'there%'").fetchall() == []
    )
    pair.grant(finding)
    back.run(until_current=True)
    assert origin(back.sink.check()).severity is origin(pair.there().source.check()).severity is Severity.OK
    there = pair.there()
    there.run(until_current=True)
    pair.right.execute("INSERT INTO notes VALUES (2, 0)")
    pair.left.execute("INSERT INTO notes VALUES (3, 0)")
    back.run(until_current=True)
    there.run(until_current=True)
    for side in (pair.left, pair.right):
        assert side.execute("SELECT id FROM notes WHERE id > 1 ORDER BY 1").fetchall() == [(2,), (3,)]
    assert pair.right.execute("SELECT count(*) FROM notes WHERE n <> 0").fetchone() == (0,)


def test_what_comes_without_an_origin_under_an_open_stream_is_not_sent_back(pair: Pair) -> None:
    there, failed = pair.there(), list[BaseException]()

    def run() -> None:
        try:
            there.run()
        except CheckFailed as error:
            failed.append(error)

    there.run(until_current=True)
    thread = threading.Thread(target=run)
    thread.start()
    try:
        pair.left.execute("INSERT INTO notes VALUES (1, 0)")
        until(lambda: pair.right.execute("SELECT id FROM notes").fetchall() == [(1,)] or not thread.is_alive(), "a row")
        back = pair.back(user=pair.role)
        back.run(until_current=True)
        pair.right.execute("UPDATE notes SET n = 1")
        back.run(until_current=True)
        until(lambda: not thread.is_alive(), "for the refusal")
    finally:
        there.stop()
        thread.join()
    assert len(failed) == 1
    assert pair.right.execute("SELECT n FROM notes").fetchone() == (1,)
    until(lambda: pair.right.execute(WRITTEN).fetchone() == (2,), "what was written, each row once")


def test_a_writer_that_lost_the_right_to_its_origin_does_not_go_on_without(pair: Pair) -> None:
    back = pair.back(user=pair.role)
    pair.grant(origin(back.sink.check()))
    back.run(until_current=True)
    pair.left.execute(f"REVOKE EXECUTE ON FUNCTION pg_replication_origin_session_setup FROM {pair.role}".encode())
    pair.right.execute("INSERT INTO notes VALUES (1, 0)")
    with pytest.raises(CheckFailed, match="may not use it any more") as refused:
        back.run(until_current=True)
    assert pair.left.execute("SELECT count(*) FROM notes").fetchone() == (0,)
    assert refused.value.hint is not None
    pair.left.execute(refused.value.hint.encode())
    back.run(until_current=True)
    assert pair.left.execute("SELECT count(*) FROM notes").fetchone() == (1,)


def test_a_reader_that_may_not_see_the_pipelines_is_told_the_grant(pair: Pair) -> None:
    pair.back().run(until_current=True)
    there = pair.there(user=pair.role)
    pair.left.execute(f"REVOKE ALL ON SCHEMA tailrace FROM {pair.role}".encode())
    with pytest.raises(CheckFailed, match="may not see whether they mark"):
        there.run(until_current=True)
    pair.grant(origin(there.source.check()))
    there.run(until_current=True)
