"""How the target's tables are made, how they follow their source, and what is refused before a row is touched."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tailrace.error import Fatal
from tailrace.pipeline import Pipeline, forget, remove
from tailrace.sink.postgres import Postgres as Sink
from tailrace.source import Postgres as Source
from tests.server.sink.postgres.conftest import MakeRoad
from tests.server.sink.postgres.road import Road
from tests.waiting import until

COLUMNS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull
FROM pg_attribute AS a WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""


def _columns(road: Road, table: str) -> dict[str, tuple[str, bool]]:
    rows = road.target.execute(COLUMNS.encode(), [table]).fetchall()
    return {name: (type, not_null) for name, type, not_null in rows}


def test_a_table_is_made_with_types_key_nulls_identity_and_comments(road: Road) -> None:
    road.at_source(
        """CREATE TABLE t (b int NOT NULL, a text NOT NULL, id bigint GENERATED ALWAYS AS IDENTITY, n serial,
           v varchar(7), g int GENERATED ALWAYS AS (1) STORED, PRIMARY KEY (a, b))""",
        "COMMENT ON TABLE t IS 'it''s {} %s'",
        "COMMENT ON COLUMN t.v IS 'a \"value\"'",
        "INSERT INTO t (b, a) VALUES (1, 'x')",
    )
    road.run()
    assert _columns(road, "t") == {
        "b": ("integer", True),
        "a": ("text", True),
        "id": ("bigint", True),
        "n": ("integer", True),
        "v": ("character varying(7)", False),
        "g": ("integer", False),  # sent by the server, so it is a column like others
    }
    shown = road.rows(
        "SELECT obj_description('t'::regclass), col_description('t'::regclass, 5), pg_get_serial_sequence('t', 'id'),"
        " pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 't'::regclass AND contype = 'p'"
    )
    assert shown == [("it's {} %s", 'a "value"', "public.t_id_seq", "PRIMARY KEY (a, b)")]


def test_added_and_widened_columns_are_followed_and_dropped_ones_stay(road: Road) -> None:
    road.at_source(
        "CREATE TYPE mood AS ENUM ('low', 'high')",
        "CREATE TYPE pair AS (x int)",
        """CREATE TABLE t (id int PRIMARY KEY, i2 int2, v varchar(3), n numeric(4,1), f float4, ts timestamp(0), m mood,
           p pair, old text NOT NULL)""",
        "INSERT INTO t VALUES (1, 1, 'abc', 1.5, 1.5, '2024-01-01', 'low', '(1)', 'kept')",
    )
    road.run()
    road.at_source(
        "INSERT INTO t VALUES (2, 2, 'def', 2.5, 2.5, '2024-01-02', 'low', '(2)', 'x')",
        "ALTER TABLE t ALTER i2 TYPE int8, ALTER v TYPE text, ALTER n TYPE numeric(12,4), ALTER f TYPE float8,"
        " ALTER ts TYPE timestamp",
        "ALTER TABLE t DROP COLUMN old",
        "ALTER TABLE t ADD since date NOT NULL DEFAULT '2020-02-02', ADD tags text[] DEFAULT '{a,\"b,c\"}',"
        " ADD note text",
        "INSERT INTO t (id, i2, v, n) VALUES (3, 5000000000, repeat('x', 99), 12345678.1234)",
        "UPDATE t SET f = 0.1 WHERE id = 2",
    )
    road.run()
    assert _columns(road, "t") == {
        "id": ("integer", True),
        "i2": ("bigint", False),
        "v": ("text", False),
        "n": ("numeric(12,4)", False),
        "f": ("double precision", False),
        "ts": ("timestamp without time zone", False),
        "m": ("mood", False),
        "p": ("pair", False),
        "old": ("text", False),
        "since": ("date", True),
        "tags": ("text[]", False),
        "note": ("text", False),
    }
    shown = "SELECT id, i2, v, n, f, ts, m, p::text, since, tags, note FROM t ORDER BY id"
    assert road.rows(shown) == road.source.execute(shown.encode()).fetchall()
    assert road.rows("SELECT old FROM t ORDER BY id") == [("kept",), ("x",), (None,)]


def test_labels_and_attributes_that_types_get_are_followed(road: Road) -> None:
    road.at_source(
        "CREATE TYPE mood AS ENUM ('low', 'high')",
        "CREATE TYPE pair AS (x int)",
        "CREATE TABLE t (id int PRIMARY KEY, m mood, p pair)",
        "INSERT INTO t VALUES (1, 'low', '(1)')",
    )
    road.run()
    road.at_source("ALTER TYPE mood ADD VALUE 'middle' BEFORE 'high'", "ALTER TYPE pair ADD ATTRIBUTE y text")
    road.at_source("INSERT INTO t VALUES (3, 'middle', '(3,c)')")
    road.run()
    road.same("t")
    assert road.rows("SELECT enum_range(NULL::mood)::text") == [("{low,middle,high}",)]


@pytest.mark.parametrize("rows", [1, 500], ids=["statements", "sets"])
def test_attributes_are_added_before_the_first_value_that_has_them(road: Road, rows: int) -> None:
    road.at_source(
        "CREATE TYPE pair AS (x int)",
        "CREATE TYPE other AS (a int)",
        "CREATE TABLE t (id int PRIMARY KEY, p pair, many pair[])",
        "CREATE TABLE u (id int PRIMARY KEY, o other, p pair)",
        "INSERT INTO t VALUES (0, '(0)', NULL)",
        "INSERT INTO u VALUES (0, '(0)', '(0)')",
    )
    road.run()
    some = f"FROM generate_series(1, {rows}) AS i"
    slow = psycopg.connect(road.urls[0])
    slow.execute("INSERT INTO t VALUES (1, '(2)')")
    road.at_source(f"INSERT INTO t SELECT 1000 + i, ROW(i)::pair, ARRAY[ROW(i)::pair] {some}")
    road.at_source(
        "ALTER TYPE pair ADD ATTRIBUTE y text", f"INSERT INTO t SELECT 2000 + i, ROW(i, 'y')::pair, NULL {some}"
    )
    road.at_source("INSERT INTO u VALUES (1, '(1)', '(1,y)')")
    slow.commit()
    slow.close()
    road.at_source("ALTER TYPE other ADD ATTRIBUTE b int", "ALTER TYPE other ADD ATTRIBUTE c int")
    road.at_source("ALTER TYPE pair ADD ATTRIBUTE z int")
    road.at_source("INSERT INTO u VALUES (2, '(1,2,3)', '(1,y,4)')")
    road.at_source(f"INSERT INTO t SELECT 3000 + i, ROW(i, 'y', 7)::pair, ARRAY[ROW(i, NULL, 8)::pair] {some}")
    road.run()
    road.same("t", "u")


def test_a_value_of_a_transaction_that_was_streamed_before_its_type_grew_is_refused_with_what_to_do(
    road: Road, caplog: pytest.LogCaptureFixture
) -> None:
    road.at_source("CREATE TYPE pair AS (x int)", "CREATE TABLE t (id int PRIMARY KEY, p pair, pad text)")
    road.at_source(f"ALTER DATABASE {road.source.info.dbname} SET logical_decoding_work_mem = '64kB'")
    pipeline = road.make()
    thread = threading.Thread(target=pipeline.run)
    thread.start()
    try:
        road.source.execute(b"INSERT INTO t VALUES (1, '(1)')")
        until(lambda: road.rows("SELECT to_regclass('t') IS NOT NULL") == [(True,)], "for the table")
        with psycopg.connect(road.urls[0]) as slow:
            slow.execute("INSERT INTO t SELECT i, ROW(i)::pair, repeat('p', 99) FROM generate_series(11, 2010) AS i")
            streamed = (
                f"SELECT stream_txns > 0 FROM pg_stat_replication_slots WHERE slot_name = 'tailrace_{pipeline.name}'"
            )
            until(lambda: road.source.execute(streamed.encode()).fetchone() == (True,), "for a streamed block")
            road.at_source("ALTER TYPE pair ADD ATTRIBUTE y text", "INSERT INTO t VALUES (2, '(2,y)')")
            until(lambda: (2,) in road.rows("SELECT id FROM t"), "for the value with the new attribute")
        until(lambda: "has one too few: `tailrace verify --repair` brings" in caplog.text, "for the refusal")
    finally:
        pipeline.stop()
        thread.join()
    assert road.rows("SELECT id FROM t ORDER BY id") == [(1,), (2,)]


def test_a_label_that_an_enum_gets_while_the_stream_is_open_is_followed(road: Road) -> None:
    road.at_source("CREATE TYPE mood AS ENUM ('low')", "CREATE TABLE t (id int PRIMARY KEY, m mood)")
    pipeline = road.make()
    thread = threading.Thread(target=pipeline.run)
    thread.start()
    try:
        until(lambda: road.rows("SELECT to_regclass('t') IS NOT NULL") == [(True,)], "for the table")
        road.at_source("INSERT INTO t VALUES (1, 'low')")
        until(lambda: road.rows("SELECT id FROM t") == [(1,)], "for the first row")
        road.at_source("ALTER TYPE mood ADD VALUE 'new'")
        road.at_source("INSERT INTO t VALUES (2, 'new')")
        until(lambda: len(road.rows("SELECT id FROM t")) == 2, "for the row with the new label")
    finally:
        pipeline.stop()
        thread.join()
    road.same("t")


def test_nulls_are_allowed_when_the_source_allows_them(road: Road) -> None:
    road.at_source("CREATE TABLE t (id int PRIMARY KEY, v text NOT NULL)", "INSERT INTO t VALUES (1, 'a')")
    road.run()
    road.at_source("ALTER TABLE t ALTER v DROP NOT NULL", "INSERT INTO t VALUES (2, NULL)")
    road.run()
    road.same("t")


def test_values_that_a_rewrite_of_the_source_made_are_missed_aloud(
    road: Road, caplog: pytest.LogCaptureFixture
) -> None:
    road.at_source("CREATE TABLE t (id int PRIMARY KEY, v int)", "INSERT INTO t VALUES (1, 1)")
    road.run()
    road.at_source("ALTER TABLE t ADD told int NOT NULL DEFAULT 7", "INSERT INTO t VALUES (2, 2, 2)")
    road.run()
    assert not [record for record in caplog.records if "rows from before" in record.getMessage()]
    road.at_source(
        "ALTER TABLE t ADD n int NOT NULL DEFAULT 7, ALTER v TYPE bigint", "INSERT INTO t VALUES (3, 3, 3, 3)"
    )
    road.run()
    [warning] = [record.getMessage() for record in caplog.records if "rows from before" in record.getMessage()]
    assert "column n was added to public.t" in warning and "verify --repair" in warning
    assert road.rows("SELECT * FROM t ORDER BY id") == [(1, 1, 7, None), (2, 2, 2, None), (3, 3, 3, 3)]


def test_values_that_a_volatile_default_made_are_missed_aloud(road: Road, caplog: pytest.LogCaptureFixture) -> None:
    road.at_source("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    road.run()
    road.at_source("ALTER TABLE t ADD plain int", "INSERT INTO t VALUES (2, 2)")
    road.run()
    assert "rows from before" not in caplog.text
    road.at_source("ALTER TABLE t ADD n int DEFAULT 1 + random() * 0", "INSERT INTO t VALUES (3, 3)")
    road.run()
    assert "column n was added to public.t: rows from before have null in it" in caplog.text
    assert road.rows("SELECT * FROM t ORDER BY id") == [(1, None, None), (2, 2, None), (3, 3, 1)]


def test_a_type_that_cannot_be_followed_stops_before_its_rows(road: Road) -> None:
    road.at_source("CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t VALUES (1, '2024-01-01')")
    road.run()
    road.at_source("ALTER TABLE t ALTER v TYPE date USING v::date", "INSERT INTO t VALUES (2, '2024-01-02')")
    with pytest.raises(Fatal, match=r"column v of public\.t is date now, but text in public\.t") as stopped:
        road.run()
    assert road.rows("SELECT * FROM t") == [(1, "2024-01-01")]
    assert stopped.value.hint is not None
    road.target.execute(stopped.value.hint.partition(";")[0].encode())
    road.run()
    assert road.rows("SELECT id, v::text, v_before FROM t ORDER BY 1") == [
        (1, None, "2024-01-01"),
        (2, "2024-01-02", None),
    ]


def test_rows_from_before_such_a_change_leave_only_a_new_snapshot(road: Road) -> None:
    road.at_source("CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t VALUES (1, '2024-01-01')")
    road.run()
    road.at_source(  # at once: of two transactions the first may be applied before the other is read
        "INSERT INTO t VALUES (2, '2024-01-02')",
        "ALTER TABLE t ALTER v TYPE date USING v::date",
        "INSERT INTO t VALUES (3, '2024-01-03')",
    )
    told = "the column v of public.t is date now, but text in public.t, which cannot hold its values"
    for attempt in ("as it stands", "set aside"):
        with pytest.raises(Fatal, match=re.escape(told)) as stopped:
            road.run()
        assert road.rows("SELECT * FROM t") == [(1, "2024-01-01")], attempt
        assert stopped.value.hint is not None
        assert stopped.value.hint.endswith("only a new snapshot is left: tailrace reset")
        if attempt == "as it stands":
            road.target.execute(stopped.value.hint.partition(";")[0].encode())
    remove(road.make())
    road.run()
    assert road.rows("SELECT id, v::text FROM t ORDER BY 1") == [(n, f"2024-01-0{n}") for n in (1, 2, 3)]


@pytest.mark.parametrize("older", [True, False])
def test_a_key_that_cannot_be_followed_leaves_only_a_new_snapshot(road: Road, older: bool) -> None:
    road.at_source("CREATE TABLE t (id text PRIMARY KEY, n int)", "INSERT INTO t VALUES ('2024-01-01', 1)")
    road.run()
    road.at_source(
        *(["UPDATE t SET n = 2"] if older else []),
        "ALTER TABLE t ALTER id TYPE date USING id::date",
        "INSERT INTO t VALUES ('2024-01-03', 3)",
    )
    with pytest.raises(Fatal, match=r"column id of public\.t is date now, but text in public\.t") as stopped:
        road.run()
    assert road.rows("SELECT * FROM t") == [("2024-01-01", 1)]
    statement, then = (stopped.value.hint or "").split("; ")
    assert then == "then, as the column is of the key, start with a new snapshot: tailrace reset"
    road.target.execute(statement.encode())
    remove(road.make())
    road.run()
    road.at_source("UPDATE t SET n = 4 WHERE n = 3")
    road.run()
    road.same("t")
    assert road.rows("SELECT * FROM t_before") == [("2024-01-01", 1)]


def test_a_key_that_the_source_gave_up_stops_until_the_target_gives_it_up_too(road: Road) -> None:
    road.at_source("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    road.run()
    road.at_source("ALTER TABLE t DROP CONSTRAINT t_pkey", "INSERT INTO t VALUES (1)")
    with pytest.raises(Fatal, match=r"the key of public\.t is gone, but \(id\) at the target") as stopped:
        road.run()
    assert stopped.value.hint is not None
    road.target.execute(stopped.value.hint.encode())
    road.run()
    assert road.rows("SELECT * FROM t") == [(1,), (1,)]


def test_a_table_without_a_column_is_named(road: Road) -> None:
    road.at_source("CREATE TABLE t ()", "INSERT INTO t DEFAULT VALUES")
    with pytest.raises(Fatal, match=r"public\.t has no column that could be written"):
        road.run()


def test_a_missing_extension_is_named_with_the_statement_that_makes_it(road: Road) -> None:
    road.at_source("CREATE EXTENSION hstore", "CREATE TABLE t (id int PRIMARY KEY, h hstore)")
    with pytest.raises(Fatal, match="type hstore of the extension hstore") as stopped:
        road.run()
    assert stopped.value.hint == 'CREATE EXTENSION "hstore"'
    road.target.execute("CREATE SCHEMA elsewhere")
    road.target.execute(f"{stopped.value.hint} SCHEMA elsewhere".encode())
    road.at_source("INSERT INTO t VALUES (1, 'a=>1')")
    road.run()
    assert road.rows("SELECT id, h::text FROM t") == [(1, '"a"=>"1"')]


def test_a_table_of_other_order_and_wider_types_is_filled_as_it_is(road: Road) -> None:
    road.at_source(
        "CREATE TABLE t (id int PRIMARY KEY, m jsonb, n numeric(5,2))", "INSERT INTO t VALUES (1, '{}', 1.5)"
    )
    road.target.execute(
        "CREATE TABLE t (extra text DEFAULT 'e', n numeric, m text, id int8 PRIMARY KEY, twice numeric"
        " GENERATED ALWAYS AS (n * 2) STORED)"
    )
    road.run()
    road.at_source("INSERT INTO t VALUES (2, '{\"a\": 1}', 2.5)", "UPDATE t SET n = 9 WHERE id = 1")
    road.run()
    assert road.rows("SELECT id, m, n, twice, extra FROM t ORDER BY id") == [
        (1, "{}", 9, 18, "e"),
        (2, '{"a": 1}', 2.5, 5, "e"),
    ]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("id int PRIMARY KEY, v int2", "column v of public.t is integer now, but smallint in public.t"),
        ("id int PRIMARY KEY, v int NOT NULL", "column v of public.t may be null, but not in public.t"),
        ("id int PRIMARY KEY, v int, w int NOT NULL", "public.t wants a value for the column w"),
    ],
)
def test_a_table_that_cannot_hold_the_rows_is_refused_until_the_hint_is_run(
    road: Road, target: str, message: str
) -> None:
    road.at_source("CREATE TABLE t (id int PRIMARY KEY, v int)", "INSERT INTO t VALUES (1, NULL), (2, 70000)")
    road.target.execute(f"CREATE TABLE t ({target})".encode())
    with pytest.raises(Fatal) as stopped:
        road.run()
    assert message in str(stopped.value)
    assert road.rows("SELECT * FROM t") == []
    assert stopped.value.hint is not None
    road.target.execute(stopped.value.hint.encode())
    road.run()
    assert road.rows("SELECT id, v FROM t ORDER BY 1") == [(1, None), (2, 70000)]


def test_rows_of_others_are_refused_kept_or_removed_as_told(make_road: MakeRoad) -> None:
    refusing = make_road()
    refusing.at_source("CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t VALUES (1, 'ours'), (2, 'ours')")
    refusing.at_source("CREATE TABLE log (line text)", "INSERT INTO log VALUES ('ours')")
    refusing.target.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    refusing.target.execute("CREATE TABLE log (line text)")
    refusing.target.execute("INSERT INTO t VALUES (1, 'theirs'), (9, 'theirs')")
    refusing.target.execute("INSERT INTO log VALUES ('theirs')")
    with pytest.raises(Fatal, match="holds rows that this pipeline did not write"):
        refusing.run()
    appending = make_road(existing="append")
    appending.run()
    assert appending.rows("SELECT * FROM t ORDER BY 1") == [(1, "ours"), (2, "ours"), (9, "theirs")]
    assert appending.rows("SELECT * FROM log ORDER BY 1") == [("ours",), ("theirs",)]
    appending.at_source("UPDATE t SET v = 'later'", "INSERT INTO t VALUES (3, 'ours')")
    appending.run()
    assert appending.rows("SELECT * FROM t ORDER BY 1") == [(1, "later"), (2, "later"), (3, "ours"), (9, "theirs")]
    assert appending.rows("SELECT relname FROM pg_class WHERE relname LIKE 'snapshot%'") == []


def test_existing_rows_are_removed_when_told(make_road: MakeRoad) -> None:
    road = make_road(existing="replace")
    road.at_source("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    road.target.execute("CREATE TABLE t (id int PRIMARY KEY)")
    road.target.execute("INSERT INTO t VALUES (1), (9)")
    road.target.execute("CREATE TABLE child (id int REFERENCES t)")
    road.run()
    assert road.rows("SELECT * FROM t") == [(1,)]


def test_schemas_are_mapped_and_two_tables_in_one_are_refused(make_road: MakeRoad) -> None:
    road = make_road(schema={"public": "crm"})
    road.at_source("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    road.run()
    assert road.rows("SELECT * FROM crm.t") == [(1,)]


def test_tenants_share_a_table_and_clear_only_their_own_rows(make_road: MakeRoad) -> None:
    acme = make_road(constants={"tenant": "acme"})
    acme.at_source("CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    acme.target.execute("CREATE TABLE t (v text, id int, tenant text, PRIMARY KEY (tenant, id))")
    acme.target.execute("INSERT INTO t VALUES ('theirs', 1, 'other')")
    acme.run()
    acme.at_source("UPDATE t SET v = 'c' WHERE id = 1", "DELETE FROM t WHERE id = 2", "INSERT INTO t VALUES (3, 'd')")
    acme.run()
    mine = [("c", 1, "acme"), ("d", 3, "acme"), ("theirs", 1, "other")]
    assert acme.rows("SELECT * FROM t ORDER BY tenant, id") == mine
    acme.at_source("TRUNCATE t", "INSERT INTO t VALUES (4, 'e')")
    acme.run()
    assert acme.rows("SELECT * FROM t ORDER BY tenant, id") == [("e", 4, "acme"), ("theirs", 1, "other")]
    again = acme.make()
    again.source.drop(again.name)
    forget(again)
    acme.at_source("DELETE FROM t", "INSERT INTO t VALUES (5, 'f')")
    acme.run()
    assert acme.rows("SELECT * FROM t ORDER BY tenant, id") == [("f", 5, "acme"), ("theirs", 1, "other")]


def test_i15_an_attempt_that_was_cut_leaves_no_ghosts_not_even_of_a_table_that_left(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    road.at_source("CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)")
    road.at_source("CREATE TABLE c (id int PRIMARY KEY)", "INSERT INTO c SELECT generate_series(1, 3000)")
    road.at_source("INSERT INTO a SELECT generate_series(1, 3000)", "INSERT INTO b SELECT generate_series(1, 3000)")
    road.target.execute("CREATE TABLE c (id int2 PRIMARY KEY)")  # stops the snapshot at its last table
    with pytest.raises(Fatal):
        road.run()
    assert road.rows("SELECT count(*) FROM a") == road.rows("SELECT count(*) FROM b") == [(3000,)]
    road.at_source("DROP TABLE b", "DELETE FROM a WHERE id > 10")
    road.target.execute("ALTER TABLE c ALTER id TYPE int")
    reader = psycopg.connect(road.urls[1])
    reader.execute("SELECT * FROM a LIMIT 1")  # holds a lock, so that the table must be cleared row by row
    road.run()
    reader.close()
    road.same("a", "c")
    assert road.rows("SELECT count(*) FROM b") == [(0,)]
    road.at_source("CREATE TABLE b (id int PRIMARY KEY)")
    road.run()
    road.at_source("INSERT INTO b VALUES (1)")  # of another table, but none of the first one's rows are left
    road.run()
    road.same("b")


def test_pipelines_that_start_at_once_make_what_they_share_in_turn(make_road: MakeRoad) -> None:
    first = make_road(schema={"public": "crm"})
    first.at_source("CREATE TYPE mood AS ENUM ('low')", "CREATE TABLE t (id int PRIMARY KEY, m mood)")
    first.at_source("INSERT INTO t VALUES (1, 'low')")
    tenants = [f"tenant {number}" for number in range(4)]
    pipelines = [
        Pipeline(
            Source(first.urls[0], tables=["public.t"]),
            Sink(first.urls[1], schema={"public": "crm"}, constants={"tenant": tenant}),
            name=f"{psycopg.conninfo.conninfo_to_dict(first.urls[0])['dbname']}_{number}",
            state_dir=None,
        )
        for number, tenant in enumerate(tenants)
    ]
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(pipeline.run, until_current=True) for pipeline in pipelines]:
            done.result()
    assert first.rows("SELECT tenant, id FROM crm.t ORDER BY tenant") == [(tenant, 1) for tenant in tenants]


@pytest.mark.usefixtures("path")
def test_a_schema_that_pg_dump_brought_is_filled(road: Road) -> None:
    road.both(
        "CREATE TABLE parent (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE)",
        "CREATE TABLE child (id serial PRIMARY KEY, parent bigint NOT NULL REFERENCES parent, n int CHECK (n > 0),"
        " twice int GENERATED ALWAYS AS (n * 2) STORED)",
        "CREATE INDEX ON child (n)",
    )
    road.at_source("INSERT INTO parent (name) SELECT 'p' || i FROM generate_series(1, 20) i")
    road.at_source("INSERT INTO child (parent, n) SELECT i, i FROM generate_series(1, 20) i")
    road.run()
    road.at_source(
        "UPDATE parent SET name = name || '!' WHERE id % 2 = 0",
        "INSERT INTO parent (name) VALUES ('last')",
        "UPDATE child SET n = n + 1",
        "DELETE FROM child WHERE id > 15",
        "DELETE FROM parent WHERE id BETWEEN 16 AND 20",
    )
    road.run()
    road.same("parent", "child")
