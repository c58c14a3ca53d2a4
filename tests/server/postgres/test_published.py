"""What of a table is captured: the snapshot shows the same columns and rows as the stream."""

from __future__ import annotations

import logging
from contextlib import closing

import pytest

from tailrace.dialect.postgres.session import connect, fetch
from tailrace.source.postgres import query
from tests.server.postgres.reading import Make, Reading, Sql


def both(url: str, sql: Sql, reading: Make, change: str, **options: object) -> Reading:
    """A snapshot, then `change`, which makes one more change of the same table."""
    it = reading(url, **options).open()
    sql(url, change)
    rows = it.until(lambda: bool(it.batches) and it.batches[-1].snapshot is None)
    return rows.until(lambda: it.ops()[-1:] not in ([], ["r"]))


def test_a_row_filter_holds_for_both(any_database: str, sql: Sql, reading: Make) -> None:
    sql(
        any_database,
        "CREATE TABLE t (id int PRIMARY KEY, n int)",
        "INSERT INTO t SELECT i, i FROM generate_series(1, 10) AS i",
        "CREATE PUBLICATION p FOR TABLE t WHERE (id > 8)",
    )
    it = both(any_database, sql, reading, "INSERT INTO t VALUES (3000, 1), (0, 1)", publication="p")
    assert [change.key for change in it.seen] == [{"id": "9"}, {"id": "10"}, {"id": "3000"}]


def test_a_column_list_holds_for_both(any_database: str, sql: Sql, reading: Make) -> None:
    sql(
        any_database,
        "CREATE TABLE t (id int PRIMARY KEY, secret text, open text)",
        "INSERT INTO t VALUES (1, 's', 'o')",
        "CREATE PUBLICATION p FOR TABLE t (id, open)",
    )
    it = both(any_database, sql, reading, "INSERT INTO t VALUES (2, 's', 'o')", publication="p")
    assert [change.after for change in it.seen] == [{"id": "1", "open": "o"}, {"id": "2", "open": "o"}]
    tables = {table for batch in it.batches for table in batch.tables}
    assert len(tables) == 1


@pytest.mark.parametrize(("via_root", "names"), [(True, ["m", "m", "m"]), (False, ["m_1", "m_2", "m_1"])])
def test_partitions_come_in_the_name_that_the_publication_says(
    any_database: str, sql: Sql, reading: Make, via_root: bool, names: list[str]
) -> None:
    sql(
        any_database,
        "CREATE TABLE m (id int PRIMARY KEY, n int) PARTITION BY RANGE (id)",
        "CREATE TABLE m_1 PARTITION OF m FOR VALUES FROM (0) TO (10)",
        "CREATE TABLE m_2 PARTITION OF m FOR VALUES FROM (10) TO (20)",
        "INSERT INTO m VALUES (1, 1), (11, 1)",
    )
    change = "INSERT INTO m VALUES (2, 2)"
    it = both(any_database, sql, reading, change, publish_via_partition_root=via_root)
    assert [change.table for change in it.seen] == [f"public.{name}" for name in names]
    it.restart()  # the root is in, though its own name is not sent


def test_a_partition_may_be_captured_alone(any_database: str, sql: Sql, reading: Make) -> None:
    sql(
        any_database,
        "CREATE TABLE m (id int PRIMARY KEY, n int) PARTITION BY RANGE (id)",
        "CREATE TABLE m_1 PARTITION OF m FOR VALUES FROM (0) TO (10)",
        "CREATE TABLE m_2 PARTITION OF m FOR VALUES FROM (10) TO (20)",
        "INSERT INTO m VALUES (1, 1), (11, 1)",
    )
    it = both(any_database, sql, reading, "INSERT INTO m VALUES (12, 2), (2, 2)", tables=["public.m_1"])
    assert [(change.table, change.key) for change in it.seen] == [
        ("public.m_1", {"id": "1"}),
        ("public.m_1", {"id": "2"}),
    ]


def test_of_a_publication_for_all_tables_what_matches_is_captured(
    any_database: str, sql: Sql, reading: Make, caplog: pytest.LogCaptureFixture
) -> None:
    sql(
        any_database,
        "CREATE TABLE t (id int PRIMARY KEY)",
        "CREATE TABLE m (id int PRIMARY KEY) PARTITION BY RANGE (id)",
        "CREATE TABLE part PARTITION OF m FOR VALUES FROM (0) TO (10)",
        "CREATE TABLE other (id int PRIMARY KEY)",
        *(f"INSERT INTO {table} VALUES (1)" for table in ("t", "m", "other")),
        "CREATE PUBLICATION p FOR ALL TABLES",
    )
    it = reading(any_database, publication="p", tables=["public.t", "public.m", "public.t_*"]).open().count(2)
    with caplog.at_level(logging.WARNING):
        sql(any_database, "INSERT INTO other VALUES (2)", "INSERT INTO m VALUES (2)", "CREATE TABLE t_late (id int)")
        sql(any_database, "INSERT INTO t_late VALUES (3)")
        it.count(4)
    assert [change.table for change in it.seen] == ["public.part", "public.t", "public.part", "public.t_late"]
    assert "public.t_late came into publication" in caplog.text and "public.other" not in caplog.text


def test_a_table_that_the_patterns_mean_no_more_is_left_out_and_told_of(
    any_database: str, sql: Sql, reading: Make, caplog: pytest.LogCaptureFixture
) -> None:
    sql(
        any_database,
        *(f"CREATE TABLE {table} (id int PRIMARY KEY)" for table in ("t", "secret")),
        "CREATE TABLE m (id int PRIMARY KEY) PARTITION BY RANGE (id)",
        "CREATE TABLE part PARTITION OF m FOR VALUES FROM (0) TO (10)",
        *(f"INSERT INTO {table} VALUES (1)" for table in ("t", "secret", "m")),
    )
    it = reading(any_database).open()
    it.until(lambda: bool(it.batches) and it.batches[-1].snapshot is None).close()
    insert = [f"INSERT INTO {table} VALUES (2)" for table in ("secret", "m", "t")]
    sql(any_database, *insert)  # it is in the log already, and was to be sent then
    with caplog.at_level(logging.WARNING):
        it.open(tables=["public.t", "public.m"])
        sql(any_database, *(statement.replace("2", "3") for statement in insert))
        it.count(7)
        sql(any_database, "ALTER TABLE t RENAME TO t2", "INSERT INTO t2 VALUES (4)")  # it goes on until the next start
        it.count(8)
    assert [change.table for change in it.seen][3:] == ["public.m", "public.t"] * 2 + ["public.t2"]
    assert "public.secret is in publication" in caplog.text and 'DROP TABLE "public"."secret"' in caplog.text
    it.close()
    sql(any_database, "INSERT INTO t2 VALUES (5)", "INSERT INTO m VALUES (5)")
    it.open(tables=["public.m"]).count(9)
    assert it.seen[-1].table == "public.m" and "public.secret, public.t2 are in publication" in caplog.text


def test_an_inheritance_child_is_a_table_of_its_own(any_database: str, sql: Sql, reading: Make) -> None:
    sql(
        any_database,
        "CREATE TABLE parent (id int PRIMARY KEY)",
        "CREATE TABLE child (PRIMARY KEY (id)) INHERITS (parent)",
        "INSERT INTO parent VALUES (1)",
        "INSERT INTO child VALUES (2)",
    )
    it = both(any_database, sql, reading, "INSERT INTO child VALUES (3)")
    found = sorted((change.table, change.op, (change.key or {})["id"]) for change in it.seen)
    assert found == [("public.child", "c", "3"), ("public.child", "r", "2"), ("public.parent", "r", "1")]


@pytest.mark.parametrize("wanted", [True, False])
def test_stored_generated_columns_are_captured_from_18_on(database: str, sql: Sql, reading: Make, wanted: bool) -> None:
    sql(
        database,
        "CREATE TABLE t (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED,"
        " thrice int GENERATED ALWAYS AS (id * 3) VIRTUAL)",
        "INSERT INTO t VALUES (1)",
    )
    it = both(database, sql, reading, "INSERT INTO t VALUES (2)", publish_generated_columns=wanted)
    expected = [{"id": "1", "twice": "2"}, {"id": "2", "twice": "4"}] if wanted else [{"id": "1"}, {"id": "2"}]
    assert [change.after for change in it.seen] == expected


def test_generated_columns_are_in_neither_before_18(database15: str, sql: Sql, reading: Make) -> None:
    sql(
        database15,
        "CREATE TABLE t (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED)",
        "INSERT INTO t VALUES (1)",
    )
    it = both(database15, sql, reading, "INSERT INTO t VALUES (2)")
    assert [change.after for change in it.seen] == [{"id": "1"}, {"id": "2"}]


def test_names_of_every_kind_are_quoted(any_database: str, sql: Sql, reading: Make) -> None:
    sql(
        any_database,
        'CREATE SCHEMA "A.b"',
        'CREATE TABLE "A.b"."x ""y"" %s {}; --" ("Id ""1""" int PRIMARY KEY, "%(n)s" text)',
        'INSERT INTO "A.b"."x ""y"" %s {}; --" VALUES (1, \'a\')',
    )
    change = 'INSERT INTO "A.b"."x ""y"" %s {}; --" VALUES (2, \'b\')'
    it = both(any_database, sql, reading, change, publication='p "q" ; %s')
    assert [change.after for change in it.seen] == [{'Id "1"': "1", "%(n)s": "a"}, {'Id "1"': "2", "%(n)s": "b"}]
    assert {change.table for change in it.seen} == {'A.b.x "y" %s {}; --'}


def test_every_type_reads_the_same_in_snapshot_and_stream(any_database: str, sql: Sql, reading: Make) -> None:
    sql(
        any_database,
        "CREATE TYPE mood AS ENUM ('sad', 'ok')",
        "CREATE DOMAIN price AS numeric(8,3)",
        "CREATE DOMAIN prices AS price[]",
        "CREATE TYPE pair AS (a int, b text)",
        "CREATE EXTENSION hstore",
        "CREATE EXTENSION citext",
        "CREATE EXTENSION ltree",
        """CREATE TABLE t (id int8 PRIMARY KEY, b bool, i2 int2, o oid, f4 float4, f8 float8, n numeric,
           nn numeric(12,2), m money, tx text, vc varchar(30), v varchar, ch char(3), nm name, ci citext, by bytea,
           d date, t time,
           t3 time(3), tz timetz, ts timestamp, ts0 timestamp(0), tstz timestamptz, iv interval, u uuid,
           j json, jb jsonb, ip inet,
           ci4 cidr, mac macaddr, mac8 macaddr8, bt bit(5), vb varbit, e mood, ea mood[], r int4range, tr tstzrange,
           mr int4multirange, h hstore, l ltree, tsv tsvector, p point, ia int[], ta text[], va varchar(5)[],
           pr price, pa prices, c pair, x xid)""",
        """INSERT INTO t VALUES (1, true, -2, 42, 1.5, 0.1, 'NaN', 12.5, 3.5,
           E'a\\tb\\\\n\\nü', 'x', 'y', 'z', 'nm', 'Ci',
           '\\x00ff', '2024-02-29', '12:34:56.789', '12:34:56.789', '12:34:56+02', '2024-01-01 00:00:00.000001',
           '2024-01-01', '2024-01-01 00:00:00+02', '1 year 2 mons 3 days 04:05:06', gen_random_uuid(), '{"a": 1}',
           '{"a": 1e400}', '10.0.0.1', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', B'10101', B'1',
           'ok', '{sad,NULL}', '[1,5)', '[2024-01-01,)', '{[1,2),[5,6)}', 'a=>1', 'a.b', 'a fat cat', '(1,2)',
           '{1,NULL,3}', '{"a,b",NULL,"q\\"r"}', '{x}', 1.5, '{1.5,2}', '(1,x)', '7')""",
    )
    change = "UPDATE t SET id = 2"
    it = both(any_database, sql, reading, change)
    first, second = it.seen
    assert first.after is not None and second.after is not None
    assert {**first.after, "id": "2"} == second.after
    assert it.batches[0].tables == it.batches[-1].tables
    types = {column.name: column.type for column in it.batches[0].tables[0].columns}
    assert types == {
        "id": "int8", "b": "bool", "i2": "int2", "o": "oid", "f4": "float4", "f8": "float8", "n": "numeric",
        "nn": "numeric(12,2)", "m": "money", "tx": "text", "vc": "varchar(30)", "v": "varchar", "ch": "bpchar(3)",
        "nm": "name", "ci": "citext", "by": "bytea", "d": "date", "t": "time", "t3": "time(3)", "tz": "timetz",
        "ts": "timestamp", "ts0": "timestamp(0)", "tstz": "timestamptz", "iv": "interval", "u": "uuid", "j": "json",
        "jb": "jsonb", "ip": "inet", "ci4": "cidr", "mac": "macaddr", "mac8": "macaddr8", "bt": "bit(5)",
        "vb": "varbit", "e": "enum", "ea": "enum[]", "r": "int4range", "tr": "tstzrange", "mr": "multirange",
        "h": "hstore",
        "l": "ltree", "tsv": "tsvector", "p": "point", "ia": "int4[]", "ta": "text[]", "va": "varchar(5)[]",
        "pr": "numeric(8,3)", "pa": "numeric(8,3)[]", "c": "other", "x": "other",
    }  # fmt: skip
    columns = {column.name: column for column in it.batches[0].tables[0].columns}
    assert columns["e"].labels == columns["ea"].labels == ("sad", "ok")
    assert columns["nn"].native == "numeric(12,2)" and columns["pa"].native == "public.prices"
    assert [column.name for column in columns.values() if not column.nullable] == ["id"]


def test_changes_of_another_origin_are_left_out_when_asked(database: str, sql: Sql, reading: Make) -> None:
    sql(database, "CREATE TABLE t (id int PRIMARY KEY)")
    all_of_it = reading(database, snapshot="never").open().first()
    local = reading(database, all_of_it.name + "_local", snapshot="never", origin="none").open().first()
    sql(database, f"SELECT pg_replication_origin_create('{all_of_it.name}')")
    sql(database, f"SELECT pg_replication_origin_session_setup('{all_of_it.name}')")
    sql(database, "INSERT INTO t VALUES (1)")
    sql(database, "SELECT pg_replication_origin_session_reset()")
    sql(database, "INSERT INTO t VALUES (2)")
    all_of_it.count(2)
    local.count(1)
    assert [change.key for change in all_of_it.seen] == [{"id": "1"}, {"id": "2"}]
    assert [change.origin for batch in all_of_it.batches for change in batch] == [all_of_it.name, None]
    assert [change.key for change in local.seen] == [{"id": "2"}]
    sql(database, f"SELECT pg_replication_origin_drop('{all_of_it.name}')")


def test_what_says_what_of_a_table_is_published_is_looked_up_by_index(any_database: str) -> None:
    """It is asked for each table behind each connection, and there may be thousands."""
    with closing(connect(any_database)) as connection:
        fetch(connection, "SELECT set_config('enable_seqscan', 'off', false)")  # which is cheaper for a few tables
        plan = fetch(connection, f"EXPLAIN {query.load('listed')}", {"oid": 1, "publication": "p"})
    assert "pg_class_oid_index" in str(plan) and "Seq Scan" not in str(plan)
