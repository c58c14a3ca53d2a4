"""Tables change their shape, name or identity under a stream that reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import duckdb
import psycopg
import pytest

from tests.fault.conftest import MakePipe
from tests.fault.pipe import CANARY, Pipe
from tests.fault.row import End, fault, goes_on, stops, warns

Execute = Callable[..., list[tuple[Any, ...]]]
Old = tuple[str, list[tuple[Any, ...]]]
"""What is asked of a target about columns that the source has no more, and its answer."""
NO_OLD: Old = ("", [])
SHOP = f"""CREATE TABLE shop (id int PRIMARY KEY, a int, b text);
    INSERT INTO shop SELECT n, n, '{CANARY}' FROM generate_series(1, 100) n"""
LATER = "streamed from now on, its rows from before are not in"
LEFT = (
    "public.shop is not in publication … any more (taken out, or dropped): its changes do not come; to get them again:"
    ' ALTER PUBLICATION "…" ADD TABLE "public"."shop"'
)


def case(
    what: str, where: str, end: End, *statements: str, kinds: Sequence[str] = ("duckdb", "postgres"), old: Old = NO_OLD
) -> list[Any]:
    """Rows whose fault is these statements, each a transaction: one for each kind of target, with what stays in it."""
    return [
        pytest.param(
            kind, statements, old, marks=fault(what, f"{where} → {kind}", end), id=f"{what} {kind}".replace(" ", "-")
        )
        for kind in kinds
    ]


def into(what: str, where: str, end: End) -> pytest.MarkDecorator:
    """The same row for each kind of target."""
    return pytest.mark.parametrize(
        "kind", [pytest.param(kind, marks=fault(what, f"{where} → {kind}", end)) for kind in ("duckdb", "postgres")]
    )


def during(ddl: str, before: str, after: str) -> str:
    """One transaction with rows on both sides of the change."""
    return f"BEGIN; {before}; {ddl}; {after}; COMMIT"


def held(pipe: Pipe, query: str) -> list[tuple[Any, ...]]:
    """What a target of tables answers."""
    if pipe.replica:
        with psycopg.connect(pipe.replica) as target:
            return target.execute(query.encode()).fetchall()
    with duckdb.connect(str(pipe.target), read_only=True) as session:
        return session.execute(query).fetchall()


INSERT = "INSERT INTO shop (id, a, b) SELECT n, n, 'x' FROM generate_series({0}, {0} + 9) n"
TOUCH = "UPDATE shop SET a = a + 1"
GROW = during("ALTER TABLE shop ADD c int DEFAULT 7", INSERT.format(1001), "INSERT INTO shop VALUES (1020, 1, 'x', 2)")
DROP = during("ALTER TABLE shop DROP a", INSERT.format(1001), "INSERT INTO shop VALUES (1020, 'x')")
FEW = "SELECT {} FROM public.shop WHERE id IN (1, 2, 1001, 1020) ORDER BY id"
RENAME = during("ALTER TABLE shop RENAME a TO z", INSERT.format(1001), "UPDATE shop SET z = z + 1")
WIDEN = during("ALTER TABLE shop ALTER a TYPE bigint", INSERT.format(1001), "UPDATE shop SET a = 1 << 40")
DATE = during("ALTER TABLE shop ALTER a TYPE date USING now()", INSERT.format(1001), "UPDATE shop SET b = 'x'")
TEXT = during("ALTER TABLE shop ALTER a TYPE text", INSERT.format(1001), "UPDATE shop SET a = 'x'")


@pytest.mark.parametrize(("kind", "statements", "old"), [
    *case("a column is added", "mid-transaction", goes_on(), GROW),
    *case("a column is added", "mid-transaction", goes_on(), GROW, "UPDATE shop SET c = 3", kinds=["file"]),
    *case("a column is dropped", "mid-transaction", goes_on("the target keeps it and what it held, null in new rows"),
          DROP, "UPDATE shop SET b = 'y' WHERE id = 1",
          old=(FEW.format("id, a"), [(1, 1), (2, 2), (1001, 1001), (1020, None)])),
    *case("a column is renamed", "mid-transaction",
          goes_on("the target gets a new column, keeps the old and what it held"),
          RENAME, "INSERT INTO shop VALUES (1020, 7, 'x')",
          old=(FEW.format("id, a, z"), [(1, 1, 2), (2, 2, 3), (1001, 1001, 1002), (1020, None, 7)])),
    *case("a column's type is widened", "mid-transaction", goes_on(), WIDEN),
    *case("a column's type is changed", "int to text, mid-transaction", goes_on(), TEXT),
    *case("columns are changed back and forth", "between transactions, faster than they are read",
          goes_on("the target keeps dropped columns and what they held"),
          *(statement for n in range(10) for statement in (
              f"ALTER TABLE shop ADD x{n} int", f"UPDATE shop SET x{n} = {n}", INSERT.format(1001 + 10 * n),
              f"ALTER TABLE shop DROP x{n}")),
          old=(f"SELECT count(*)::int, {', '.join(f'count(x{n})::int' for n in range(10))} FROM public.shop",
               [(200, *(100 + 10 * n for n in range(10)))])),
    *case("the replica identity is changed", "full, nothing, an index, default: each between updates", goes_on(),
          TOUCH, "ALTER TABLE shop REPLICA IDENTITY FULL", TOUCH, "UPDATE shop SET id = id + 500 WHERE id < 10",
          "ALTER TABLE shop REPLICA IDENTITY NOTHING", INSERT.format(2001),
          "CREATE UNIQUE INDEX shop_id ON shop (id)", "ALTER TABLE shop REPLICA IDENTITY USING INDEX shop_id", TOUCH,
          "DELETE FROM shop WHERE id = 20", "ALTER TABLE shop REPLICA IDENTITY DEFAULT", TOUCH),
    *case("the replica identity is changed", "mid-transaction", goes_on(),
          during("ALTER TABLE shop REPLICA IDENTITY FULL", TOUCH, "DELETE FROM shop WHERE id = 3")),
    *case("a table is truncated and filled again", "mid-transaction", goes_on(),
          during("TRUNCATE shop", INSERT.format(1001), INSERT.format(1))),
    *case("a table is rewritten", "VACUUM FULL, CLUSTER between updates", goes_on(),
          TOUCH, "VACUUM FULL shop", TOUCH, "CLUSTER shop USING shop_pkey", TOUCH),
])  # fmt: skip
def test_a_table_that_changes(
    make_pipe: MakePipe, database: str, execute: Execute, kind: str, statements: Sequence[str], old: Old
) -> None:
    execute(database, SHOP)
    pipe = make_pipe(database, kind)
    pipe.start()
    pipe.catch_up()
    execute(database, *statements)
    pipe.goes_on()
    if old is not NO_OLD:
        query, rows = old
        assert held(pipe, query) == rows


@pytest.mark.parametrize("kind", [
    pytest.param("duckdb", marks=fault("a column's type is changed", "int to date, mid-transaction → duckdb", stops(
        1, "the column a of public.shop is DATE now, but INTEGER in …"))),
    pytest.param("postgres", marks=fault("a column's type is changed", "int to date, mid-transaction → postgres", stops(
        1, "the column a of public.shop is date now, but integer in …"))),
])  # fmt: skip
def test_a_type_that_the_target_cannot_follow(make_pipe: MakePipe, database: str, execute: Execute, kind: str) -> None:
    execute(database, SHOP)
    pipe = make_pipe(database, kind)
    pipe.start()
    pipe.catch_up()
    pipe.commits(DATE)
    pipe.stops()


@into("a table is dropped and created again", "between transactions", stops(
    1, "public.shop is another table at the source now (oid …) than the one whose rows are in public.shop at the target"
    " (oid …): it was dropped and created again, or took the place of that one",
    "at the next start, once the new one has joined the publication and changes; `tailrace reset` starts again",
))  # fmt: skip
def test_a_table_that_is_dropped_and_made_again(
    make_pipe: MakePipe, database: str, execute: Execute, kind: str
) -> None:
    execute(database, SHOP, "CREATE TABLE other (id int PRIMARY KEY)")
    pipe = make_pipe(database, kind)
    pipe.start()
    pipe.catch_up()
    pipe.commits(TOUCH, "DROP TABLE shop", "INSERT INTO other VALUES (1)")
    execute(database, "CREATE TABLE shop (id int PRIMARY KEY, a int, b text)")
    pipe.says("public.shop is not in publication")
    pipe.catch_up()
    pipe.stop()
    pipe.start()
    pipe.attached()
    execute(database, "INSERT INTO shop SELECT n, -n, 'new' FROM generate_series(1, 200) n")
    pipe.stops()
    assert held(pipe, "SELECT count(*), sum(a)::int FROM public.shop") == [(100, sum(range(2, 102)))]
    pipe.resets()


@into("a table is renamed", "within the pattern, between updates", warns(
    "public.shop2 came into publication … while it was read: " + LATER, "into a table of the new name"
))  # fmt: skip
def test_a_table_that_is_renamed(make_pipe: MakePipe, database: str, execute: Execute, kind: str) -> None:
    execute(database, SHOP)
    pipe = make_pipe(database, kind)
    pipe.start()
    pipe.catch_up()
    execute(database, TOUCH, "ALTER TABLE shop RENAME TO shop2", TOUCH.replace("shop", "shop2"))
    pipe.goes_on()


@into("a table is renamed into and out of the pattern", "between updates", goes_on(
    "one that leaves goes on under its new name until the next start, which leaves it out and says so; one that comes"
    " joins the publication then"
))  # fmt: skip
def test_a_table_that_leaves_the_pattern(make_pipe: MakePipe, database: str, execute: Execute, kind: str) -> None:
    execute(database, SHOP, "CREATE SCHEMA away", "CREATE TABLE away.other (id int PRIMARY KEY)")
    execute(database, "CREATE TABLE gone (id int PRIMARY KEY)")
    pipe = make_pipe(database, kind)
    pipe.start()
    pipe.catch_up()
    execute(database, TOUCH, "ALTER TABLE shop SET SCHEMA away", "UPDATE away.shop SET a = a + 1")
    execute(database, "ALTER TABLE gone SET SCHEMA away", "INSERT INTO away.gone VALUES (1)")
    pipe.catch_up()
    pipe.stop()
    # What happened to it elsewhere came too, under its name there, and that was said.
    assert held(pipe, "SELECT sum(a)::int FROM public.shop") == [(sum(range(1, 101)) + 100,)]
    assert held(pipe, "SELECT sum(a)::int FROM away.shop") == [(sum(range(1, 101)) + 200,)]
    assert f"away.shop came into publication {pipe.slot} while it was read: {LATER}" in pipe.said
    execute(database, "ALTER TABLE away.shop SET SCHEMA public", "ALTER TABLE away.other SET SCHEMA public", TOUCH)
    pipe.start()
    pipe.attached()
    execute(database, "INSERT INTO other VALUES (1)", "INSERT INTO away.gone VALUES (2)")
    pipe.catch_up()
    assert "away.gone is in publication" in pipe.said
    pipe.goes_on()
    assert held(pipe, "SELECT id FROM away.gone") == [(1,)]


@into("a table is taken out of the publication", "ALTER PUBLICATION … DROP TABLE between updates", warns(
    f"{LEFT}, then `tailrace verify --repair` for what was missed",
    "without that table until it is added, which the next start does and says",
))  # fmt: skip
def test_a_table_that_is_taken_out_of_the_publication(
    make_pipe: MakePipe, database: str, execute: Execute, kind: str
) -> None:
    execute(database, SHOP, "CREATE TABLE other (id int PRIMARY KEY)")
    pipe = make_pipe(database, kind, only=["other"])
    pipe.start()
    pipe.catch_up()
    execute(database, TOUCH, f"ALTER PUBLICATION {pipe.slot} DROP TABLE shop", TOUCH, "INSERT INTO other VALUES (1)")
    pipe.waits()
    pipe.catch_up()
    pipe.stop()
    execute(database, "INSERT INTO other VALUES (2)")
    pipe.start()
    pipe.attached()
    execute(database, TOUCH)
    pipe.only = None
    pipe.goes_on()
    assert f"added public.shop to publication {pipe.slot}: streamed from now on" in pipe.said


@fault("what a publication sends of a table is changed", "its row filter, the operations → duckdb", warns(
    "publication … sends no DELETE any more: what it does at the source is missed", "without what it does not send"
))  # fmt: skip
def test_a_publication_that_sends_less(make_pipe: MakePipe, database: str, execute: Execute) -> None:
    execute(database, SHOP, "CREATE PUBLICATION own FOR TABLE shop WHERE (id < 100)")
    pipe = make_pipe(database, "duckdb", source={"publication": "own"}, only=[])
    pipe.start()
    pipe.catch_up()
    execute(
        database,
        "ALTER PUBLICATION own SET TABLE shop WHERE (id < 50)",
        "ALTER PUBLICATION own SET (publish = 'insert, update, truncate')",
    )
    pipe.waits()
    pipe.goes_on()
    assert "the row filter of public.shop in publication own was changed" in pipe.said
