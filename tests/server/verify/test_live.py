"""While both ends live: repairs beside the stream, other releases, roles that may only read, open writers."""

from __future__ import annotations

import random
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from servers import postgres
from tailrace.sink.postgres import Postgres as PostgresSink
from tailrace.source import Postgres as Source
from tailrace.verify import Clock, Options, Pipes, session, verify
from tests import waiting
from tests.server.verify.conftest import Target
from tests.server.verify.stand import NAME, Stand, found, keys, load, only

ACCOUNTS = 100
BANK = "CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL, note text)"


def transfer(connection: psycopg.Connection[Any], chance: random.Random) -> None:
    """Move money from one account to another: the sum stays."""
    one, other = sorted(chance.sample(range(1, ACCOUNTS + 1), 2))
    move = "UPDATE accounts SET balance = balance + %s WHERE id = %s"
    with connection.transaction():
        connection.execute(move, [-1, one])
        connection.execute(move, [1, other])


def test_a_repair_beside_the_stream_never_breaks_what_holds_between_rows(
    database: str, target_database: str, tmp_path: Path, seed: int
) -> None:
    stand = Stand(database, PostgresSink(target_database), tmp_path)
    stand.source.execute(BANK)
    fill = "INSERT INTO accounts SELECT i, 100, repeat('n', 9) FROM generate_series(1, %s) AS i"
    stand.source.execute(fill, [ACCOUNTS])
    stand.start()
    over, sums = threading.Event(), set[int]()

    def watch() -> None:
        with psycopg.connect(target_database, autocommit=True) as reader:
            while not over.is_set():
                row = reader.execute("SELECT sum(balance) FROM accounts").fetchone()
                assert row is not None
                sums.add(int(row[0]))

    watcher = threading.Thread(target=watch)
    watcher.start()
    with psycopg.connect(target_database, autocommit=True) as there, load(stand.url, transfer, seed=seed, sessions=3):
        for _ in range(5):
            # Notes are never changed by the load: nothing but a repair mends them. The lock keeps this statement and
            # the transactions being applied from waiting for rows of each other.
            with there.transaction():
                there.execute("LOCK TABLE accounts IN EXCLUSIVE MODE")
                there.execute("UPDATE accounts SET note = 'wrong' WHERE id % 2 = 0")
            report = only(stand.verify(repair=True))
            assert (report.differences, report.unsettled) == (0, 0)
            assert there.execute("SELECT count(*) FROM accounts WHERE note = 'wrong'").fetchone() == (0,)
    over.set()
    watcher.join()
    last = only(stand.verify())
    stand.close()
    assert sums == {100 * ACCOUNTS}
    assert last.equal == ACCOUNTS


def test_equal_values_that_are_spelled_otherwise_differ_between_servers(
    database: str, target_database: str, tmp_path: Path
) -> None:
    stand = Stand(database, PostgresSink(target_database), tmp_path)
    stand.source.execute(
        "CREATE TABLE words (id int PRIMARY KEY, n numeric, f float8, i interval, j json, t text, b jsonb, r float4)"
    )
    stand.source.execute(
        """INSERT INTO words SELECT i, 1.0, 0, '1 mon', '{"a": 1}', NULL, '1', 'NaN' FROM generate_series(1, 20) i"""
    )
    stand.start()
    assert only(stand.verify()).equal == 20
    planted = ["n = 1.00", "f = '-0'", "i = '30 days'", """j = '{"a":1}'""", "t = ''", "b = '1.0'", "r = '-0'"]
    with psycopg.connect(target_database, autocommit=True) as there:
        for number, cell in enumerate(planted, 2):
            there.execute(f"UPDATE words SET {cell} WHERE id = {number}".encode())
    report = only(stand.verify(repair=True))
    stand.close()
    assert (found(report), report.differences) == ({"different": keys(*range(2, 9))}, 0)


def test_a_repair_of_a_key_that_the_target_spells_otherwise_never_removes_its_row(
    database: str, target_database: str, tmp_path: Path
) -> None:
    stand = Stand(database, PostgresSink(target_database), tmp_path)
    stand.source.execute("CREATE TABLE words (k numeric PRIMARY KEY, n int)")
    stand.source.execute("INSERT INTO words VALUES (1.0, 1), (2.0, 2)")
    stand.start()
    with psycopg.connect(target_database, autocommit=True) as there:
        there.execute("UPDATE words SET k = 1.00, n = 7 WHERE k = 1")
        stand.verify(repair=True)
        stand.close()
        assert there.execute("SELECT k::int, n FROM words ORDER BY k").fetchall() == [(1, 1), (2, 2)]


def test_what_the_target_keeps_in_other_types_is_compared_as_they_keep_it(
    database: str, target_database: str, tmp_path: Path
) -> None:
    with psycopg.connect(target_database, autocommit=True) as there:
        there.execute(
            "CREATE TABLE words (k text, id bigint, b text, v varchar(9), i text, d numeric(14,4), w numeric(12,2),"
            " a numeric(9,3)[], PRIMARY KEY (k, id))"
        )
        stand = Stand(database, PostgresSink(target_database), tmp_path)
        stand.source.execute(
            "CREATE TABLE words (k char(5), id int, b bool, v char(4), i inet, d numeric(10,2), w int,"
            " a numeric(5,1)[], PRIMARY KEY (k, id))"
        )
        stand.source.execute(
            "INSERT INTO words SELECT 'k' || i, i, i % 2 = 0, 'v', '10.0.0.1', 1.5, 7, '{1.5,NULL}'"
            " FROM generate_series(1, 20) AS i"
        )
        stand.source.execute("INSERT INTO words VALUES ('none', 99)")
        stand.start()
        report = only(stand.verify())
        assert (report.equal, found(report)) == (21, {})
        planted = [
            "b = 'true'",
            "v = 'v'",
            "i = '10.0.0.1/32'",
            "d = 1.5001",
            "w = 7.01",
            "a = '{1.501,NULL}'",
            "b = ''",
        ]
        for number, cell in enumerate(planted, 2):
            there.execute(f"UPDATE words SET {cell} WHERE id = {number}".encode())
        report = only(stand.verify(repair=True))
        stand.close()
    wrong = {(f"k{number}".ljust(5), str(number)) for number in range(2, 9)}
    assert (found(report), report.repaired, report.differences) == ({"different": wrong}, 7, 0)


def test_a_row_that_each_end_has_in_another_range_is_counted_once(
    database: str, target_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_CHUNK_ROWS", 10)
    with psycopg.connect(target_database, autocommit=True) as there:
        there.execute("CREATE TABLE items (id text PRIMARY KEY, n int)")
        stand = Stand(database, PostgresSink(target_database), tmp_path)
        stand.source.execute("CREATE TABLE items (id int PRIMARY KEY, n int)")
        stand.source.execute("INSERT INTO items SELECT i, i FROM generate_series(1, 35) AS i")
        stand.start()
        there.execute("UPDATE items SET n = -1 WHERE id IN ('5', '15', '30')")
        report = only(stand.verify(repair=True))
        stand.close()
    assert (report.different, report.repaired, report.equal) == (3, 3, 32)


@pytest.mark.parametrize("target", ["duckdb"], indirect=True)
def test_a_zero_with_a_sign_differs_in_duckdb_too(target: Target) -> None:
    target.prepare("CREATE TABLE words (id int PRIMARY KEY, f float8, n numeric)")
    stand = target.make()
    stand.source.execute("INSERT INTO words SELECT i, 0, 1.0 FROM generate_series(1, 20) AS i")
    stand.start()
    # DuckDB passes over an update that leaves an equal value.
    for f in ("-1", "-0"):
        target.plant(f"UPDATE public.words SET f = '{f}'::DOUBLE WHERE id = 3")
    target.plant("UPDATE public.words SET n = '1.00' WHERE id = 4")
    assert found(only(stand.verify())) == {"different": keys(3, 4)}


def test_a_source_of_another_release_is_compared(database15: str, target_database: str, tmp_path: Path) -> None:
    stand = Stand(database15, PostgresSink(target_database), tmp_path)
    stand.source.execute("CREATE TABLE items (id int PRIMARY KEY, n numeric, t text, at timestamptz DEFAULT now())")
    stand.source.execute("INSERT INTO items SELECT i, i / 7.0, 'é' || i FROM generate_series(1, 5000) AS i")
    stand.start()
    with psycopg.connect(target_database, autocommit=True) as there:
        there.execute("DELETE FROM items WHERE id = 4000")
    report = only(stand.verify(repair=True))
    stand.close()
    assert (report.rows, found(report), report.differences) == (5000, {"missing": keys(4000)}, 0)


def test_rights_to_read_are_enough_at_both_ends(
    database: str, target_database: str, tmp_path: Path, postgres18: postgres.Server
) -> None:
    stand = Stand(database, PostgresSink(target_database), tmp_path)
    stand.source.execute("CREATE TABLE items (id int PRIMARY KEY, n int)")
    stand.source.execute("INSERT INTO items SELECT i, i FROM generate_series(1, 100) AS i")
    stand.start()
    role = f"reader_{target_database.rsplit('_', 1)[-1].split('?')[0]}"
    for url in (database, target_database):
        with psycopg.connect(url, autocommit=True) as admin:
            if url == database:
                admin.execute(f"CREATE ROLE {role} LOGIN".encode())
            else:
                admin.execute(f"GRANT USAGE ON SCHEMA tailrace TO {role}".encode())
                admin.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA tailrace TO {role}".encode())
                admin.execute("DELETE FROM items WHERE id = 7")
            admin.execute(f"GRANT SELECT ON items TO {role}".encode())
    try:
        read = _as(role, stand)
        assert found(only(read.verify())) == {"missing": keys(7)}
    finally:
        stand.close()
        for url in (target_database, database):
            with psycopg.connect(url, autocommit=True) as admin:
                admin.execute(f"DROP OWNED BY {role}".encode())
        with psycopg.connect(database, autocommit=True) as admin:
            admin.execute(f"DROP ROLE {role}".encode())


def _as(role: str, stand: Stand) -> Stand:
    """The same pipeline's ends, seen by another role."""
    options = {"user": role}
    other = Stand.__new__(Stand)
    other.folder, other.url = stand.folder, stand.url
    other.pipeline = stand.pipeline.__class__(
        replace(stand.pipeline.source, url=psycopg.conninfo.make_conninfo(stand.url, **options)),  # type: ignore[type-var]
        replace(stand.pipeline.sink, url=psycopg.conninfo.make_conninfo(stand.pipeline.sink.url, **options)),  # type: ignore[type-var, attr-defined]
        name=stand.pipeline.name,
        state_dir=stand.folder,
    )
    return other


def test_an_open_writer_hides_a_difference_only_of_its_own_rows(target: Target) -> None:
    target.prepare("CREATE TABLE items (id int PRIMARY KEY, n int)")
    stand = target.make()
    stand.source.execute("INSERT INTO items SELECT i, i FROM generate_series(1, 100) AS i")
    stand.start()
    target.plant("UPDATE public.items SET n = -1 WHERE id IN (5, 6)", "DELETE FROM public.items WHERE id = 8")
    with psycopg.connect(stand.url) as writer:
        writer.execute("UPDATE items SET n = 50 WHERE id = 5")
        report = only(stand.verify(settle_s=5.0))  # for the row that is not committed; a look at the others is enough
        assert (found(report)["different"], found(report)["missing"]) == (keys(6), keys(8))
        assert report.unsettled == 1
        writer.rollback()
    assert found(only(stand.verify()))["different"] == keys(5, 6)


def test_i7_repaired_changes_have_positions_of_their_own_even_at_one_place_in_the_log(target: Target) -> None:
    target.prepare("CREATE TABLE items (id int PRIMARY KEY, n int)")
    stand = target.make()
    stand.source.execute("INSERT INTO items SELECT i, i FROM generate_series(1, 50) AS i")
    stand.start()
    assert isinstance(stand.pipeline.source, Source)
    with closing(stand.pipeline.source.view(NAME)) as view:
        [table] = view.tables()
        look = view.look(table, [(str(number),) for number in range(1, 61)])
        made = [view.changes(table, look, which=range(60), lineage="postgres/1/shop/slot") for _ in range(3)]
    positions = [change.position for changes in made for change in changes]
    assert len(set(positions)) == 180
    assert [[change.op for change in changes] for changes in made] == [["u"] * 50 + ["d"] * 10] * 3
    assert positions == sorted(positions)


def test_a_table_that_cannot_be_read_leaves_the_others_to_be_compared(
    database: str, target_database: str, tmp_path: Path
) -> None:
    stand = Stand(database, PostgresSink(target_database), tmp_path)
    stand.source.execute("CREATE TABLE items (id text PRIMARY KEY, n int)")
    stand.source.execute("CREATE TABLE words (id int PRIMARY KEY, n int)")
    stand.source.execute("INSERT INTO items VALUES ('secret', 1)")
    stand.start()
    with psycopg.connect(target_database, autocommit=True) as there:
        there.execute("TRUNCATE items")
        there.execute("ALTER TABLE items ALTER COLUMN id TYPE int USING 1")
    report = stand.verify()
    stand.close()
    items, words = report.tables
    assert (words.obstacle, items.obstacle is None, report.exit_code) == (None, False, 3)


def test_rows_whose_type_got_an_attribute_are_brought_by_a_repair(
    database: str, target_database: str, tmp_path: Path
) -> None:
    stand = Stand(database, PostgresSink(target_database), tmp_path)
    stand.source.execute("CREATE TYPE pair AS (x int)")
    stand.source.execute("CREATE TABLE items (id int PRIMARY KEY, p pair)")
    stand.source.execute("INSERT INTO items SELECT i, ROW(i)::pair FROM generate_series(1, 150) AS i")
    stand.start()
    stand.source.execute("ALTER TYPE pair ADD ATTRIBUTE y text")
    assert only(stand.verify()).different == 150
    report = only(stand.verify(repair=True))
    stand.close()
    assert (report.repaired, report.differences) == (150, 0)
    with psycopg.connect(target_database) as there:
        assert there.execute("SELECT p::text FROM items WHERE id = 7").fetchone() == ("(7,)",)


class Waits(threading.Event):
    """What ends a comparison, and the seconds that this was asked to wait for that."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_s = 0.0

    def wait(self, timeout: float | None = None) -> bool:
        """See `Event.wait`."""
        assert timeout is not None
        self.asked_s += timeout
        return super().wait(timeout)


def test_a_target_that_stands_still_is_waited_for_once(database: str, target_database: str, tmp_path: Path) -> None:
    stand = Stand(database, PostgresSink(target_database), tmp_path)
    stand.source.execute("CREATE TABLE items (id int PRIMARY KEY, n int)")
    stand.source.execute("INSERT INTO items SELECT i, i FROM generate_series(1, 5000) AS i")
    stand.start()
    stand.pipeline.stop()
    waiting.until(lambda: stand.pipeline.status().state == "stopped", "for the pipeline to stop")
    stand.source.execute("UPDATE items SET n = 0")
    waits = Waits()
    options = Options(stall_s=6.0, clock=Clock(waits))
    try:
        source, sink = stand.pipeline.source, PostgresSink(target_database)
        assert isinstance(source, Source)
        with closing(source.view(NAME)) as view, closing(sink.view(NAME)) as target:
            report = only(verify(NAME, Pipes(view, target, None, ()), options, told=lambda report: None))
    finally:
        stand.close()
    assert (report.unsettled, len(report.keys["unsettled"]), report.more("unsettled")) == (5000, 10, 4990)
    # Of five looks, a thousand rows each, the first waits for the stall, the others for half a second.
    assert waits.asked_s < 2 * 6.0
