"""Two pipelines between two databases, each the other's target: nothing goes back, whatever the roles may do."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from servers import postgres
from tailrace.error import CheckFailed
from tailrace.model import Finding, Severity
from tailrace.pipeline import Pipeline
from tailrace.sink.postgres import Existing
from tailrace.sink.postgres import Postgres as Sink
from tailrace.source import Postgres as Source
from tests.origin import drop_origins
from tests.waiting import until

WRITTEN = "SELECT n_tup_ins + n_tup_upd FROM pg_stat_user_tables WHERE relname = 'notes'"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two databases with the same table, and a role of either side that is no superuser."""

    left: psycopg.Connection[Any]
    right: psycopg.Connection[Any]
    urls: tuple[str, str]
    role: str
    folder: Path

    def there(self, *, user: str | None = None) -> Pipeline:
        """From the left, read as `user`, to the right."""
        return self._make("there", self.urls, reader=user)

    def back(self, *, user: str | None = None) -> Pipeline:
        """From the right to the left, written as `user`."""
        return self._make("back", self.urls[::-1], writer=user)

    def _make(
        self, name: str, urls: tuple[str, ...], *, reader: str | None = None, writer: str | None = None
    ) -> Pipeline:
        here, target = (
            make_conninfo(url, **({"user": user} if user else {}))
            for url, user in zip(urls, (reader, writer), strict=True)
        )
        slot = f"{name}_{self.role}"
        source = Source(url=here, tables=["public.notes"], snapshot="never", origin="none", slot=slot, publication=slot)
        return Pipeline(source, Sink(target, existing=Existing.APPEND), name=name, state_dir=self.folder)

    def grant(self, finding: Finding) -> None:
        """Do at the left what a finding says."""
        assert finding.fix is not None
        self.left.execute(finding.fix.encode())


@pytest.fixture
def pair(database: str, target_database: str, postgres18: postgres.Server, tmp_path: Path) -> Iterator[Pair]:
    role = f"writer_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(database, autocommit=True) as left, psycopg.connect(target_database, autocommit=True) as right:
        left.execute(f"CREATE ROLE {role} LOGIN REPLICATION".encode())
        for side in (left, right):
            side.execute(b"CREATE TABLE notes (id int PRIMARY KEY, n int)")
            side.execute(f"CREATE SCHEMA tailrace AUTHORIZATION {role}".encode())
        left.execute(f"ALTER TABLE notes OWNER TO {role}".encode())
        left.execute(f"GRANT CREATE ON DATABASE {left.info.dbname} TO {role}".encode())
        yield Pair(left, right, (database, target_database), role, tmp_path)
        for side in (left, right):
            drop_origins(side, side.info.dbname)  # no session is left that could use a slot
            side.execute(
                b"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
                b" WHERE database = current_database()"
            )
            side.execute(f"REASSIGN OWNED BY {role} TO CURRENT_USER".encode())
            side.execute(f"DROP OWNED BY {role}".encode())
        left.execute(f"DROP ROLE {role}".encode())


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
