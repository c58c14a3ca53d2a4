"""What a table tells of itself beside its rows: comments, types of the users, what counts up, what old rows have."""

from __future__ import annotations

import psycopg

from tailrace.source import Postgres


def test_a_table_tells_its_types_behind_those_that_they_need(any_database: str) -> None:
    with psycopg.connect(any_database, autocommit=True) as session:
        session.execute("CREATE SCHEMA ext")
        session.execute("CREATE EXTENSION hstore SCHEMA ext")
        session.execute("CREATE TYPE mood AS ENUM ('low', 'high')")
        session.execute("CREATE DOMAIN price AS numeric(8,2)")
        session.execute("CREATE DOMAIN prices AS price[]")
        session.execute('CREATE TYPE "A.b" AS (p prices, m mood[])')
        session.execute("CREATE TYPE spans AS RANGE (subtype = float8, multirange_type_name = many)")
        session.execute('CREATE TABLE t (id int PRIMARY KEY, c "A.b"[], s many, h ext.hstore, n int)')
    [table] = Postgres(any_database, tables=["public.t"]).tables_now("p")
    told = {str(each): (each.kind, each.labels, each.parts) for each in table.types}
    assert told == {
        "ext.hstore": ("extension", (), (("extension", "hstore"),)),
        "public.mood": ("enum", ("low", "high"), ()),
        "public.price": ("domain", (), (("base", "numeric(8,2)"),)),
        "public.prices": ("domain", (), (("base", "public.price[]"),)),
        "public.A.b": ("composite", (), (("p", "public.prices"), ("m", "public.mood[]"))),
        "public.spans": ("range", (), (("subtype", "double precision"), ("multirange", "many"))),
    }
    order = list(told)
    assert order.index("public.price") < order.index("public.prices") < order.index("public.A.b")
    assert [column.native for column in table.columns][1:4] == ['public."A.b"[]', "public.many", "ext.hstore"]


def test_a_table_tells_its_comments_its_counters_and_what_older_rows_have(any_database: str) -> None:
    with psycopg.connect(any_database, autocommit=True) as session:
        session.execute("CREATE TABLE t (id int PRIMARY KEY, a int GENERATED ALWAYS AS IDENTITY, s serial, n int)")
        session.execute("INSERT INTO t (id) VALUES (1)")
        session.execute("ALTER TABLE t ADD since date DEFAULT '2020-02-02', ADD l text[] DEFAULT '{a,NULL,\"b,c\"}'")
        session.execute("ALTER TABLE t ALTER since SET DEFAULT '2030-01-01'")
        session.execute("COMMENT ON TABLE t IS 'the table'")
        session.execute("COMMENT ON COLUMN t.n IS 'the number'")
    [table] = Postgres(any_database, tables=["public.t"]).tables_now("p")
    assert table.comment == "the table"
    told = {column.name: (column.comment, column.identity, column.backfill) for column in table.columns}
    assert told == {
        "id": (None, False, None),
        "a": (None, True, None),
        "s": (None, True, None),
        "n": ("the number", False, None),
        "since": (None, False, "2020-02-02"),
        "l": (None, False, '{a,NULL,"b,c"}'),
    }
