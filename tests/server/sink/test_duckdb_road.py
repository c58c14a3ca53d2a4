"""PostgreSQL to DuckDB on real servers: snapshot, stream, DDL, types and keys, compared as the server has them."""

import re
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from tailrace.error import Fatal
from tailrace.pipeline import Pipeline, remove
from tailrace.sink import DuckDB
from tailrace.source import Postgres
from tailrace.transform import Select
from tests.server.sink.added import pass_by

TYPES = """
CREATE TYPE mood AS ENUM ('low', 'high');
CREATE TABLE kinds (
    id bigint PRIMARY KEY, b bool, i2 int2, i4 int4, o oid, f4 float4, f8 float8, n numeric(12,2), nn numeric, t text,
    c char(5), v varchar(9), raw bytea, d date, ti time, tz timetz, ts timestamp, tt timestamptz, iv interval, u uuid,
    j json, jb jsonb, ip inet, m mood, r int4range, a int4[], ta text[], na numeric(9,1)[], bi bit(3)
);
"""
VALUES = """
INSERT INTO kinds VALUES (%s, true, -5, 70000, 7, 1.5, 'Infinity', -12345.67, 123456789012345678901234567890.5,
    E'tab\\t\\\\n', 'ab', 'ü', '\\x00ff', '2024-02-29', '23:59:59.999999', '01:02:03+05:30', '1999-12-31 23:59:59.5',
    '2024-06-01 12:00:00+02', '1 year 2 days 03:04:05.6', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"a": [1, null]}',
    '{"b": 1.50}', '10.0.0.1/8', 'high', '[1,5)', '{1,NULL,3}', ARRAY['a,b', NULL, '"'], '{1.5,2.5}', '101')
"""
SHOWN = """
SELECT id, b, i2, i4, o::bigint, f4, f8, n, nn::text, t, c, v, raw, d, ti, tz::text, ts, tt::text, u::text, j::text,
    jb::text, ip::text, m::text, r::text, a, ta, na, bi::text, {interval} FROM {table} ORDER BY id
"""


class Road:
    """A source's database, and a pipeline from it into a DuckDB file."""

    def __init__(self, url: str, path: Path) -> None:
        self.path = path
        self.pipeline = Pipeline(Postgres(url, tables=["public.*"]), DuckDB(path), name="road", state_dir=None)
        self.source = psycopg.connect(url, autocommit=True)
        self.source.execute("SET TIME ZONE 'UTC'")

    def run(self) -> None:
        """Until the sink has all that is committed now."""
        self.pipeline.run(until_current=True)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What DuckDB answers."""
        with duckdb.connect(str(self.path)) as target:
            target.execute("SET TimeZone = 'UTC'")
            return target.execute(query).fetchall()

    def same(self, table: str) -> list[tuple[Any, ...]]:
        """The rows, which must be those of the source."""
        rows = self.rows(f"FROM public.{table} ORDER BY 1")
        assert rows == self.source.execute(f"SELECT * FROM {table} ORDER BY 1".encode()).fetchall()
        return rows


@pytest.fixture
def road(any_database: str, tmp_path: Path) -> Road:
    return Road(any_database, tmp_path / "shop.duckdb")


def test_values_of_all_types_arrive_by_snapshot_and_by_stream(road: Road) -> None:
    road.source.execute(TYPES.encode())
    road.source.execute(VALUES.encode(), [1])
    road.source.execute("INSERT INTO kinds (id) VALUES (2)")
    road.run()
    road.source.execute(VALUES.encode(), [3])
    road.source.execute("INSERT INTO kinds (id) VALUES (4)")
    road.run()
    theirs = road.source.execute(
        SHOWN.format(table="kinds", interval="extract(epoch FROM iv)::float8").encode()
    ).fetchall()
    ours = road.rows(SHOWN.format(table="public.kinds", interval="epoch(iv)"))
    assert [row[:-1] for row in ours] == [row[:-1] for row in theirs]
    assert [row[-1] is None for row in ours] == [False, True, False, True]
    assert ours[0][1:] == ours[2][1:]


def test_toasted_cells_that_an_update_leaves_alone_stay(road: Road) -> None:
    road.source.execute("CREATE TABLE docs (id int PRIMARY KEY, n int, body text)")
    road.source.execute("ALTER TABLE docs ALTER body SET STORAGE EXTERNAL")
    road.source.execute("INSERT INTO docs SELECT i, 0, repeat(md5(i::text), 200) FROM generate_series(1, 20) i")
    road.run()
    road.source.execute("UPDATE docs SET n = n + 1 WHERE id % 2 = 0")
    road.source.execute("UPDATE docs SET id = id + 100 WHERE id < 5")
    road.run()
    assert len(road.same("docs")) == 20


def test_deletes_truncates_and_swapped_keys_follow_the_source(road: Road) -> None:
    road.source.execute("CREATE TABLE a (id int PRIMARY KEY DEFERRABLE, note text, of int NOT NULL UNIQUE)")
    road.source.execute("CREATE TABLE b (id int PRIMARY KEY)")
    road.source.execute("ALTER TABLE a REPLICA IDENTITY FULL")
    road.source.execute("INSERT INTO a SELECT i, 'n' || i, i FROM generate_series(1, 9) i")
    road.source.execute("INSERT INTO b SELECT generate_series(1, 9)")
    road.run()
    road.source.execute("UPDATE a SET id = 3 - id WHERE id < 3")
    road.source.execute("DELETE FROM a WHERE id > 7")
    with road.source.transaction():
        road.source.execute("TRUNCATE b")
        road.source.execute("INSERT INTO b VALUES (42)")
    road.run()
    assert len(road.same("a")) == 7
    assert road.same("b") == [(42,)]


def test_columns_that_come_go_and_grow_are_followed_between_and_within_transactions(road: Road) -> None:
    road.source.execute("CREATE TABLE t (id int PRIMARY KEY, size int, old text)")
    road.source.execute("INSERT INTO t VALUES (1, 1, 'kept')")
    road.run()
    with road.source.transaction():
        road.source.execute("INSERT INTO t VALUES (2, 2, 'x')")
        road.source.execute("ALTER TABLE t ALTER size TYPE bigint, ADD COLUMN extra date")
        road.source.execute("INSERT INTO t VALUES (3, 5000000000, 'y', '2024-01-01')")
        road.source.execute("ALTER TABLE t DROP COLUMN old")
        road.source.execute("UPDATE t SET size = 7 WHERE id = 2")
    road.run()
    assert road.rows("SELECT id, size, old, extra::text FROM public.t ORDER BY id") == [
        (1, 1, "kept", None),
        (2, 7, "x", None),
        (3, 5_000_000_000, "y", "2024-01-01"),
    ]


def test_older_rows_have_the_default_of_a_column_that_was_added(road: Road) -> None:
    road.source.execute("CREATE TABLE t (id int PRIMARY KEY, note text)")
    road.source.execute("INSERT INTO t SELECT i, 'n' || i FROM generate_series(1, 3) AS i")
    road.run()
    with road.source.transaction():
        road.source.execute("INSERT INTO t VALUES (4, 'before'); DELETE FROM t WHERE id = 1")
        road.source.execute(
            "ALTER TABLE t ADD status text NOT NULL DEFAULT 'it''s new', ADD price numeric(10,2) DEFAULT 1.5,"
            " ADD due date DEFAULT current_date, ADD tags text[] DEFAULT '{a,\"b c\"}', ADD raw bytea DEFAULT '\\x00ff'"
        )
        road.source.execute("INSERT INTO t (id, price) VALUES (5, NULL); UPDATE t SET status = 'old' WHERE id = 2")
    road.source.execute("ALTER TABLE t ALTER status SET DEFAULT 'another'")
    road.run()
    assert [row[2] for row in road.same("t")] == ["old", "it's new", "it's new", "it's new"]


def test_older_rows_do_not_get_the_default_of_a_column_that_was_renamed(
    road: Road, caplog: pytest.LogCaptureFixture
) -> None:
    road.source.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)")
    road.source.execute("ALTER TABLE t ADD status text DEFAULT 'new'; UPDATE t SET status = 'paid' WHERE id = 1")
    road.run()
    road.source.execute("ALTER TABLE t RENAME status TO state; INSERT INTO t VALUES (3, 'open')")
    road.run()
    assert road.rows("SELECT id, state FROM public.t ORDER BY id") == [(1, None), (2, None), (3, "open")]
    assert "the column state is added to" in caplog.text and "renamed, or left out); `tailrace verify" in caplog.text
    caplog.clear()
    road.source.execute("ALTER TABLE t RENAME state TO was; ALTER TABLE t ADD state2 text DEFAULT 'new'")
    road.source.execute("ALTER TABLE t ADD n int DEFAULT 7; INSERT INTO t VALUES (4)")
    road.run()
    assert road.rows("SELECT n, was, state2 FROM public.t WHERE id = 1") == [(7, None, None)]
    road.source.execute("ALTER TABLE t ADD kind text DEFAULT 'plain'; INSERT INTO t VALUES (5)")
    road.run()
    assert road.rows("SELECT DISTINCT kind FROM public.t") == [("plain",)]
    assert "column n " not in caplog.text and "column kind " not in caplog.text


def test_older_rows_do_not_get_the_default_of_a_column_that_is_let_in(
    any_database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    road = Road(any_database, tmp_path / "shop.duckdb")
    road.source.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)")
    road.source.execute("ALTER TABLE t ADD status text DEFAULT 'new'; UPDATE t SET status = 'paid' WHERE id = 1")
    without = Pipeline(
        Postgres(any_database, tables=["public.*"]), DuckDB(road.path), name="road", state_dir=None,
        transforms=[Select(exclude_columns=["public.t.status"])],
    )  # fmt: skip
    pass_by(road.source, lambda: without.run(until_current=True))
    road.source.execute("INSERT INTO t VALUES (3, 'open')")
    road.run()
    assert road.rows("SELECT id, status FROM public.t ORDER BY id") == [(1, None), (2, None), (3, "open")]
    assert "the column status is added to" in caplog.text


def test_a_type_that_cannot_be_followed_stops_before_its_rows(road: Road) -> None:
    road.source.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    road.source.execute("INSERT INTO t VALUES (1, '2024-01-01')")
    road.run()
    road.source.execute("ALTER TABLE t ALTER v TYPE date USING v::date")
    road.source.execute("INSERT INTO t VALUES (3, '2024-01-03')")
    with pytest.raises(Fatal, match=r"the column v of public\.t is DATE now, but VARCHAR"):
        road.run()
    assert road.rows("FROM public.t") == [(1, "2024-01-01")]


@pytest.mark.parametrize("older", [True, False])
def test_a_column_that_cannot_be_followed_is_set_aside_or_copied_anew(road: Road, older: bool) -> None:
    road.source.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    road.source.execute("INSERT INTO t VALUES (1, '2024-01-01')")
    road.run()
    with road.source.transaction():  # or what is older may be written, and its position saved, before the rest has come
        if older:
            road.source.execute("INSERT INTO t VALUES (2, '2024-01-02')")
        road.source.execute("ALTER TABLE t ALTER v TYPE date USING v::date")
        road.source.execute("INSERT INTO t VALUES (3, '2024-01-03')")
    told = 'the column v of public.t is DATE now, but VARCHAR in "shop"."public"."t", which cannot hold its values'
    with pytest.raises(Fatal, match=re.escape(told)) as stopped:
        road.run()
    assert stopped.value.hint is not None
    assert stopped.value.hint.endswith("only a new snapshot is left: tailrace reset")
    road.rows(stopped.value.hint.partition(";")[0])
    if older:
        with pytest.raises(Fatal, match=re.escape(told)):
            road.run()
        assert road.rows("FROM public.t") == [(1, "2024-01-01")]
        remove(road.pipeline)
    road.run()
    rows = [(1, None, "2024-01-01"), (3, "2024-01-03", None)]
    copied = [(n, f"2024-01-0{n}", None) for n in (1, 2, 3)]
    assert road.rows("SELECT id, v::text, v_before FROM public.t ORDER BY id") == (copied if older else rows)


def test_a_key_that_cannot_be_followed_is_copied_anew(road: Road) -> None:
    road.source.execute('CREATE TABLE t ("Id" text PRIMARY KEY)')
    road.source.execute("INSERT INTO t VALUES ('2024-01-01')")
    road.run()
    road.source.execute('ALTER TABLE t ALTER "Id" TYPE date USING "Id"::date')
    road.source.execute("INSERT INTO t VALUES ('2024-01-03')")
    with pytest.raises(Fatal, match=r"the column Id of public\.t is DATE now, but VARCHAR in") as stopped:
        road.run()
    statement, then = (stopped.value.hint or "").split("; ")
    assert then == "then, as the column is of the key, start with a new snapshot: tailrace reset"
    road.rows(statement)
    remove(road.pipeline)
    road.run()
    assert len(road.same("t")) == 2
    assert road.rows("FROM public.t_before") == [("2024-01-01",)]


def test_a_table_without_a_key_is_a_log(road: Road) -> None:
    road.source.execute("CREATE TABLE log (line text)")
    road.source.execute("ALTER TABLE log REPLICA IDENTITY FULL")
    road.source.execute("INSERT INTO log VALUES ('a')")
    road.run()
    road.source.execute("INSERT INTO log VALUES ('b'), ('b')")
    road.source.execute("UPDATE log SET line = 'c' WHERE line = 'a'")
    road.source.execute("DELETE FROM log WHERE line = 'b'")
    road.run()
    log = road.rows("SELECT _op, line FROM public.log ORDER BY _position")
    assert log == [("r", "a"), ("c", "b"), ("c", "b"), ("u", "c"), ("d", "b"), ("d", "b")]
    seen = road.rows("SELECT count(DISTINCT _position), min(_committed_at) > '2020-01-01' FROM public.log")
    assert seen == [(6, True)]


def test_a_second_pipeline_into_the_same_file_keeps_a_position_of_its_own(road: Road, any_database: str) -> None:
    road.source.execute("CREATE TABLE a (id int PRIMARY KEY)")
    road.source.execute("CREATE SCHEMA two")
    road.source.execute("CREATE TABLE two.b (id int PRIMARY KEY)")
    road.run()
    sink = DuckDB(road.path, schema={"two": "main"})
    second = Pipeline(Postgres(any_database, tables=["two.*"]), sink, name="two", state_dir=None)
    road.source.execute("INSERT INTO a VALUES (1)")
    road.source.execute("INSERT INTO two.b VALUES (2)")
    second.run(until_current=True)
    road.run()
    assert (road.rows("FROM public.a"), road.rows("FROM main.b")) == ([(1,)], [(2,)])
    assert len(road.rows("SELECT DISTINCT pipeline FROM _tailrace.positions")) == 2
