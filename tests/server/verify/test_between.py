"""What lies between the ends counts: transforms, row filters, column lists, dead letters, the order of keys."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from servers import postgres
from tailrace import transform
from tailrace.sink.postgres import Postgres as PostgresSink
from tailrace.verify import session
from tests import waiting
from tests.server.verify.conftest import Target
from tests.server.verify.stand import NAME, Stand, found, keys, only

SHAPES = (
    transform.Mask(columns=("*.email",), method="hash", salt="pepper"),
    transform.Mask(columns=("*.note",), method="redact"),
    transform.Rename(names={"public.people": "public.person", "public.people.age": "years"}),
    transform.Select(exclude_tables=("public.secrets",), exclude_columns=("*.born",)),
)
PEOPLE = "CREATE TABLE people (id int PRIMARY KEY, age int, note text, born date, email text)"
PERSON = "CREATE TABLE person (id int PRIMARY KEY, years int, note text, email text)"


def test_rows_are_compared_as_the_transforms_leave_them(target: Target) -> None:
    target.prepare(PEOPLE, "CREATE TABLE secrets (id int PRIMARY KEY)")
    stand = target.make(*SHAPES)
    stand.source.execute(
        "INSERT INTO people SELECT i, i % 90, 'n', '2000-01-01', i || '@x' FROM generate_series(1,99) i"
    )
    stand.source.execute("INSERT INTO secrets VALUES (1)")
    stand.start()
    report = only(stand.verify())
    assert (report.rows, report.equal, report.obstacle) == (99, 99, None)
    # A server cannot be asked what a mask makes of a row; what is masked is left out there, and said.
    assert report.left_out == (("note", "email") if target.kind == "postgres" else ())
    target.plant("UPDATE public.person SET years = 1000 WHERE id = 7")
    target.plant("UPDATE public.person SET email = 'in clear' WHERE id = 8")
    report = only(stand.verify(repair=True))
    wrong = keys(7) if target.kind == "postgres" else keys(7, 8)
    assert (found(report), report.differences) == ({"different": wrong}, 0)
    assert only(stand.verify()).differences == 0


@pytest.mark.parametrize(
    ("type", "first", "wrong", "step"),
    [
        ("text", "'ä' || i", "ä50", "i % 2"),
        ("uuid", "md5(i::text)::uuid", "c81e728d-9d4c-2f63-6f06-7f89cc14862c", "i"),
        ("timestamptz", "timestamptz '2026-01-01' + i * interval '1 h'", "2026-01-01 05:00:00+00", "i"),
        ("numeric", "i / 4.0", "0.50000000000000000000", "i"),
        ("date", "date '2026-01-01' + i", "2026-02-01", "i"),
        ("float8", "i / 8.0", "0.5", "i"),
        ("bytea", "decode(to_hex(i + 4096), 'hex')", "\\x1005", "i"),
        ("date", "date '0002-12-01 BC' + i", "0001-01-20 (BC)", "i"),
        ("char(8)", "'k' || i", "k50     ", "i"),
        ("inet", "inet '10.0.0.0' + i", "10.0.0.50", "i"),
        ("citext", "chr(65 + 32 * (i % 2)) || i", "A50", "i"),
        ("ltree", "('top.n' || i)::ltree", "top.n50", "i"),
    ],
)
def test_keys_of_any_order_are_compared(
    target: Target, monkeypatch: pytest.MonkeyPatch, type: str, first: str, wrong: str, step: str
) -> None:
    monkeypatch.setattr(session, "_CHUNK_ROWS", 100)
    monkeypatch.setattr(session, "_CHUNK_ROWS_BINARY", 100)
    target.prepare(*([f"CREATE EXTENSION {type}"] if type in {"citext", "ltree"} else []))
    target.prepare(f"CREATE TABLE things (a {type}, b int, n int, PRIMARY KEY (a, b))")
    stand = target.make()
    stand.source.execute(f"INSERT INTO things SELECT {first}, {step}, i FROM generate_series(1, 300) AS i".encode())
    stand.start()
    assert only(stand.verify()).equal == 300
    same = f"a = from_hex('{wrong[2:]}')" if (type, target.kind) == ("bytea", "duckdb") else f"a = '{wrong}'"
    target.plant(f"UPDATE public.things SET n = -1 WHERE {same}")
    target.plant("DELETE FROM public.things WHERE n = 77")
    report = only(stand.verify(repair=True))
    assert (report.different, report.missing, report.extra) == (1, 1, 0)
    assert (report.differences, report.unsettled) == (0, 0)
    assert only(stand.verify()).equal == 300


def test_keys_that_never_end_are_told_apart(target: Target) -> None:
    target.prepare("CREATE TABLE prices (id int, until timestamptz, n int, PRIMARY KEY (id, until))")
    stand = target.make()
    untils = "CASE i % 3 WHEN 0 THEN 'infinity' WHEN 1 THEN '-infinity' ELSE '2026-01-01' END::timestamptz"
    stand.source.execute(f"INSERT INTO prices SELECT i, {untils}, i FROM generate_series(1, 30) AS i".encode())
    stand.start()
    target.plant("UPDATE public.prices SET n = -1 WHERE id IN (3, 4)", "DELETE FROM public.prices WHERE id IN (6, 7)")
    report = only(stand.verify(repair=True))
    wrong = {"different": {("3", "infinity"), ("4", "-infinity")}, "missing": {("6", "infinity"), ("7", "-infinity")}}
    assert (found(report), report.differences) == (wrong, 0)


def test_a_row_filter_and_a_column_list_bound_what_is_compared(target: Target) -> None:
    target.prepare("CREATE TABLE parts (id int PRIMARY KEY, place text, hidden int)")
    stand = target.make()
    stand.source.execute("INSERT INTO parts SELECT i, 'here', i FROM generate_series(1, 99) AS i")
    stand.source.execute(f"CREATE PUBLICATION tailrace_{NAME} FOR TABLE parts (id, place) WHERE (id % 2 = 0)".encode())
    stand.start()
    assert only(stand.verify()).equal == 49
    target.plant("UPDATE public.parts SET place = 'there' WHERE id = 4")
    target.plant("INSERT INTO public.parts (id, place) VALUES (5, 'here')")
    report = only(stand.verify(repair=True))
    assert (found(report), report.differences) == ({"different": keys(4), "extra": keys(5)}, 0)


@pytest.mark.parametrize("target", ["duckdb"], indirect=True)
def test_two_rows_of_one_key_are_a_difference_that_is_repaired(target: Target) -> None:
    target.prepare("CREATE TABLE items (id int PRIMARY KEY, n int)")
    stand = target.make()
    stand.source.execute("INSERT INTO items SELECT i, i FROM generate_series(1, 50) AS i")
    stand.start()
    target.plant("INSERT INTO public.items VALUES (7, 7)")
    report = only(stand.verify(repair=True))
    assert (found(report), report.differences) == ({"different": keys(7)}, 0)


@pytest.mark.parametrize("rows", [65536, 7])
def test_a_row_whose_key_is_null_is_one_that_is_too_many(
    target: Target, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_CHUNK_ROWS", rows)
    target.prepare("CREATE TABLE items (id int PRIMARY KEY, n int)")
    if target.kind == "postgres":
        target.plant(
            "ALTER TABLE items DROP CONSTRAINT items_pkey", "ALTER TABLE items ALTER id DROP NOT NULL",
            "CREATE UNIQUE INDEX ON items (id)",
        )  # fmt: skip
    stand = target.make()
    stand.source.execute("INSERT INTO items SELECT i, i FROM generate_series(1, 50) AS i")
    stand.start()
    target.plant("UPDATE public.items SET n = -1 WHERE id = 7", "INSERT INTO public.items VALUES (NULL, 1)")
    assert found(only(stand.verify(repair=True))) == {"different": keys(7), "extra": {(None,)}}
    assert found(only(stand.verify())) == {"extra": {(None,)}}


def test_rows_whose_key_is_null_in_part_are_found_in_whatever_range(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_CHUNK_ROWS", "_CHUNK_ROWS_BINARY"):
        monkeypatch.setattr(session, name, 7)
    target.prepare("CREATE TABLE pairs (a int, b text, n int, PRIMARY KEY (a, b))")
    if target.kind == "postgres":
        target.plant(
            "ALTER TABLE pairs DROP CONSTRAINT pairs_pkey", "CREATE UNIQUE INDEX ON pairs (a, b)",
            "ALTER TABLE pairs ALTER a DROP NOT NULL, ALTER b DROP NOT NULL",
        )  # fmt: skip
    stand = target.make()
    stand.source.execute("INSERT INTO pairs SELECT i / 5, 'b' || i % 5, i FROM generate_series(0, 99) AS i")
    stand.start()
    nobodys = {("0", None), ("3", None), ("19", None), ("99", None), (None, "b1"), (None, None)}
    texts = ((a or "NULL", f"'{b}'" if b else "NULL") for a, b in nobodys)
    target.plant("INSERT INTO public.pairs VALUES " + ", ".join(f"({a}, {b}, 1)" for a, b in texts))
    target.plant("UPDATE public.pairs SET n = -1 WHERE a = 7 AND b = 'b2'")
    report = only(stand.verify())
    assert found(report) == {"different": {("7", "b2")}, "extra": nobodys}
    assert (report.rows, report.different, report.extra) == (100, 1, len(nobodys))


def test_parked_rows_are_named_as_such(target: Target) -> None:
    check = "" if target.kind == "duckdb" else " CHECK (n <> 13)"
    number = "numeric(5,2)"
    target.prepare(f"CREATE TABLE items (id int PRIMARY KEY, n {number})")
    if check:
        target.plant(f"ALTER TABLE items ADD{check}")
    stand = target.make()
    stand.source.execute("INSERT INTO items SELECT i, 1 FROM generate_series(1, 50) AS i")
    stand.start()
    value = "'NaN'" if target.kind == "duckdb" else "13"
    stand.source.execute(f"UPDATE items SET n = {value} WHERE id = 3".encode())
    waiting.until(lambda: stand.pipeline.status().dead_letters, "for the letter")
    report = only(stand.verify(parked={"public.items": keys(3)}))
    assert (report.parked, found(report), report.equal) == (1, {}, 49)


def test_a_table_without_a_key_is_counted_where_rows_are_kept(target: Target) -> None:
    target.prepare("CREATE TABLE log (n int, word text)")
    stand = target.make()
    stand.source.execute("ALTER TABLE log REPLICA IDENTITY FULL")
    stand.source.execute("INSERT INTO log SELECT i % 5, 'w' FROM generate_series(1, 50) AS i")
    stand.start()
    report = only(stand.verify())
    if target.kind == "duckdb":
        assert "a log of its changes" in (report.obstacle or "")
        return
    assert (report.rows, report.equal) == (50, 50)
    target.plant("DELETE FROM log WHERE ctid = (SELECT max(ctid) FROM log)")
    report = only(stand.verify())
    assert (report.missing, report.differences) == (1, 1)


def test_only_this_pipelines_rows_of_a_shared_table_are_compared(
    database: str, target_database: str, tmp_path: Path
) -> None:
    with psycopg.connect(target_database, autocommit=True) as there:
        there.execute("CREATE TABLE items (tenant text, id int, n int, PRIMARY KEY (tenant, id))")
        there.execute("INSERT INTO items SELECT 'other', i, i FROM generate_series(1, 9) AS i")
        stand = Stand(database, PostgresSink(target_database, constants={"tenant": "ours"}), tmp_path)
        stand.source.execute("CREATE TABLE items (id int PRIMARY KEY, n int)")
        stand.source.execute("INSERT INTO items SELECT i, i FROM generate_series(1, 50) AS i")
        stand.start()
        there.execute("UPDATE items SET n = -1 WHERE id = 5")
        there.execute("INSERT INTO items VALUES ('ours', 77, 7)")
        report = only(stand.verify(repair=True))
        stand.close()
        assert (found(report), report.differences) == ({"different": keys(5), "extra": keys(77)}, 0)
        assert there.execute("SELECT tenant, n FROM items WHERE id = 5 ORDER BY 1").fetchall() == [
            ("other", -1),
            ("ours", 5),
        ]


def test_random_differences_are_found_whatever_the_seed(target: Target, seed: int) -> None:
    chance = random.Random(seed)
    target.prepare("CREATE TABLE items (a int, b text, n numeric(9,3), f float8, PRIMARY KEY (a, b))")
    stand = target.make()
    stand.source.execute("INSERT INTO items SELECT i % 70, 'k' || i, i / 9.0, i FROM generate_series(1, 5000) AS i")
    stand.start()
    chosen = chance.sample(range(1, 5001), 30)
    wrong, gone = chosen[:15], chosen[15:]
    target.plant(*(f"UPDATE public.items SET f = -0.5 WHERE b = 'k{number}'" for number in wrong))
    target.plant(*(f"DELETE FROM public.items WHERE b = 'k{number}'" for number in gone))
    report = only(stand.verify(repair=True))
    assert (report.different, report.missing, report.extra) == (15, 15, 0)
    assert found(report)["different"] <= {(str(n % 70), f"k{n}") for n in wrong}
    assert only(stand.verify()).equal == 5000


def test_servers_of_two_encodings_are_said_not_to_compare(
    database: str, start_postgres: Callable[..., postgres.Server], tmp_path: Path
) -> None:
    server = start_postgres(18)
    server.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (id int PRIMARY KEY)")
    stand = Stand(database, PostgresSink(server.dsn("latin")), tmp_path)
    try:
        stand.start()
        report = stand.verify()
        assert "one server_encoding" in (only(report).obstacle or "") and report.exit_code == 3
    finally:
        stand.close()
