"""`tail`: formats, counts, a reader that leaves, and nothing left behind on the server."""

import json
import signal
import subprocess
import sys

import psycopg
import pytest

from tests.cli.conftest import Cli, await_full_pipe
from tests.waiting import until


def left_behind(url: str) -> tuple[int, int]:
    with psycopg.connect(url) as connection:
        slots = connection.execute(
            "select count(*) from pg_replication_slots where database = current_database()"
        ).fetchone()
        publications = connection.execute("select count(*) from pg_publication").fetchone()
    assert slots is not None
    assert publications is not None
    return slots[0], publications[0]


def check_what_is_left(url: str, *, publications: int = 0) -> None:
    """A publication is dropped before the end; a temporary slot when the server has heard of the end of its session."""
    assert left_behind(url)[1] == publications
    until(lambda: left_behind(url)[0] == 0, "for the slot to go")


@pytest.mark.parametrize("form", ["pretty", "json", "debezium"])
def test_a_snapshot_is_printed_in_each_format(cli: Cli, shop: str, form: str) -> None:
    ended = cli.run("tail", shop, "--snapshot", "--until-current", "--format", form, "--table", "public.orders")
    assert ended.code == 0, ended.err
    found = ended.out.splitlines()
    assert len(found) == 3
    if form == "pretty":
        assert "= public.orders id=1 note='one'" in found[0]
    elif form == "json":
        assert json.loads(found[0])["after"] == {"id": 1, "note": "one"}
    else:
        assert json.loads(found[0])["value"]["after"] == {"id": 1, "note": "one"}
    check_what_is_left(shop)


def test_a_table_that_is_not_there_is_2_and_leaves_nothing_behind(cli: Cli, shop: str) -> None:
    for missing, said in (("public.ordres", "did you mean 'public.orders'?"), ("public.nothing_*", "no table matches")):
        ended = cli.run("tail", shop, "--until-current", "--table", missing)
        assert (ended.code, ended.out) == (2, ""), ended.err
        assert missing in ended.err and said in ended.err
        assert "Traceback" not in ended.err
    assert left_behind(shop) == (0, 0)


def test_a_role_that_owns_no_table_is_told_what_serves_every_tail(cli: Cli, shop: str) -> None:
    """The name in the statement was that of this one tail: the next had another."""
    role = f"reader_{shop.rpartition('/')[2].partition('?')[0]}"
    with psycopg.connect(shop, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN REPLICATION")
        try:
            admin.execute(f"GRANT SELECT ON orders TO {role}")
            weak = shop.replace("postgres@", f"{role}@")
            ended = cli.run("tail", weak, "--snapshot", "--until-current")
            assert ended.code == 3, ended.err
            way, _, statement = ended.err.splitlines()[-1].partition(": CREATE")
            assert way.endswith("a superuser, run, and name it to each tail (--publication tailrace_tail)")
            admin.execute(f"CREATE{statement}".encode())
            asked = ("tail", weak, "--snapshot", "--until-current", "--publication")
            ended = cli.run(*asked, "tailrace_tail")
            assert (ended.code, len(ended.out.splitlines())) == (0, 3), ended.err
            ended = cli.run(*asked, "tailrace_tial")
            assert ended.code == 3 and "publication 'tailrace_tial' does not exist\n  hint: CREATE PUB" in ended.err
        finally:
            admin.execute(f"DROP OWNED BY {role}")
            admin.execute(f"DROP ROLE {role}")


def test_json_holds_every_number_as_the_server_has_it(cli: Cli, shop: str) -> None:
    given = '{"big": 12345678901234567890.123456789, "twice": 1,\n "twice": 2}'
    with psycopg.connect(shop, autocommit=True) as connection:
        connection.execute("create table numbers (id int primary key, f float8, r real[], j json, b jsonb, n numeric)")
        connection.execute("insert into numbers values (1, 'NaN', '{NaN,1.5}', %s, '0.10', 'NaN')", [given])
        connection.execute("insert into numbers values (2, '-Infinity', '{Infinity}', '[]', 'null', 'Infinity')")
        connection.execute("insert into numbers values (3, null, null, null, null, null)")
    asked = ("tail", shop, "--table", "public.numbers", "--snapshot", "--until-current", "--format", "json")
    ended = cli.run(*asked)
    assert ended.code == 0, ended.err
    first, second, third = ended.out.splitlines()
    numbers = given.replace("\n", " ")
    assert f'"f":"NaN","r":["NaN",1.5],"j":{numbers},"b":0.10,"n":"NaN"' in first
    assert '"f":"-Infinity","r":["Infinity"],"j":[],"b":null,"n":"Infinity"' in second
    assert '"f":null,"r":null,"j":null,"b":null,"n":null' in third


def test_json_that_nests_deep_is_printed(cli: Cli, shop: str) -> None:
    """It ended with RecursionError, at depths that PostgreSQL takes without a word."""
    deep = [depth * "[" + depth * "]" for depth in (100, 900, 3000)]
    with psycopg.connect(shop, autocommit=True) as connection:
        connection.execute("create table nests (id int primary key, j json, b jsonb, a json[])")
        for number, text in enumerate(deep):
            connection.execute("insert into nests values (%s, %s, %s, array[%s::json])", [number, text, text, text])
    ended = cli.run("tail", shop, "--table", "public.nests", "--snapshot", "--until-current", "--format", "json")
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert [line.count(text) for line, text in zip(lines, deep, strict=True)] == [3, 3, 3]


def test_elements_of_json_arrays_stand_as_a_json_column_does(cli: Cli, shop: str) -> None:
    big = '{"big": 12345678901234567890.123456789, "twice": 1,\n "twice": 2}'
    with psycopg.connect(shop, autocommit=True) as connection:
        connection.execute("create domain documents as json[]")
        connection.execute("create table docs (id int primary key, j json[], b jsonb[], m json[], d documents)")
        given = [[big, r'"a\\\"b"', "null", None, "0.10", '"NULL"', "{}"], ["0.10", None, '[1, {"x": 1.0}]']]
        connection.execute("insert into docs values (1, %s::json[], %s::jsonb[], '{{1.0,2},{3,4}}', '{1.0}')", given)
        connection.execute("insert into docs values (2, '{}', null, '[0:1]={1.0,2.0}', null)")
    asked = ("tail", shop, "--table", "public.docs", "--snapshot", "--until-current", "--format", "json")
    ended = cli.run(*asked)
    assert ended.code == 0, ended.err
    first, second = ended.out.splitlines()
    one = big.replace("\n", " ")
    assert f'"j":[{one},"a\\\\\\"b",null,null,0.10,"NULL",{{}}],"b":[0.10,null,[1, {{"x": 1.0}}]]' in first
    assert '"m":[[1.0,2],[3,4]],"d":[1.0]' in first
    assert '"j":[],"b":null,"m":[1.0,2.0],"d":null' in second


def test_what_a_terminal_would_obey_is_escaped_in_names_too(cli: Cli, shop: str) -> None:
    with psycopg.connect(shop, autocommit=True) as connection:
        connection.execute('create table "t\x1b[2J" ("i\td" int primary key, "c\x1b[31mX\ny" text, "é" int)')
        connection.execute("insert into \"t\x1b[2J\" values (1, '\x1b[31m', 2)")
    ended = cli.run("tail", shop, "--snapshot", "--until-current", "--table", "public.t*")
    assert ended.code == 0, ended.err
    [line] = ended.out.splitlines()
    assert line.endswith(r"= public.t\x1b[2J i\td=1 c\x1b[31mX\ny='\x1b[31m' é=2"), line


def test_tables_are_named_by_several_patterns(cli: Cli, shop: str) -> None:
    with psycopg.connect(shop, autocommit=True) as connection:
        for table in ("items_1", "items_2", "notes"):
            connection.execute(f"create table {table} (id int primary key)".encode())
            connection.execute(f"insert into {table} values (1)".encode())
    named = ("--table", "public.items_*", "--table", "*.orders")
    ended = cli.run("tail", shop, "--snapshot", "--until-current", "--format", "json", *named)
    assert ended.code == 0, ended.err
    seen = {json.loads(line)["table"] for line in ended.out.splitlines()}
    assert seen == {"public.items_1", "public.items_2", "public.orders"}


def test_a_publication_decides_what_comes_and_stays(cli: Cli, shop: str) -> None:
    with psycopg.connect(shop, autocommit=True) as connection:
        connection.execute("create table notes (id int primary key)")
        connection.execute("insert into notes values (7)")
        connection.execute("create publication theirs for table notes")
    ended = cli.run("tail", shop, "--snapshot", "--until-current", "--format", "json", "--publication", "theirs")
    assert ended.code == 0, ended.err
    assert [json.loads(line)["table"] for line in ended.out.splitlines()] == ["public.notes"]
    check_what_is_left(shop, publications=1)


def test_count_ends_it(cli: Cli, shop: str) -> None:
    ended = cli.run("tail", shop, "--snapshot", "-n", "2", "--format", "json")
    assert ended.code == 0, ended.err
    assert len(ended.out.splitlines()) == 2


def test_changes_are_printed_as_they_come(cli: Cli, shop: str) -> None:
    process = cli.start("tail", shop, "-n", "3", "--format", "json")
    until(lambda: left_behind(shop)[0] == 1, "for the slot")
    until(lambda: _active(shop), "for the stream")
    with psycopg.connect(shop, autocommit=True) as connection:
        connection.execute("update orders set note = 'uno' where id = 1")
        connection.execute("delete from orders where id = 2")
        connection.execute("insert into orders values (9, null)")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert [(line["op"], line["key"]["id"]) for line in map(json.loads, out.splitlines())] == [
        ("u", 1), ("d", 2), ("c", 9),
    ]  # fmt: skip
    until(lambda: left_behind(shop) == (0, 0), "for the slot to go")


def _active(url: str) -> bool:
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "select 1 from pg_stat_replication join pg_replication_slots on active_pid = pid"
            " where database = current_database() and state = 'streaming'"
        ).fetchone()
    return found is not None


def test_a_reader_that_leaves_is_a_clean_end(cli: Cli, shop: str) -> None:
    with psycopg.connect(shop, autocommit=True) as connection:
        connection.execute("insert into orders select i, repeat('x', 1000) from generate_series(10, 2000) i")
    command = f"{sys.executable} -m tailrace tail '{shop}' --snapshot --format json | head -n 1"
    ended = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        env=dict(cli.environ), capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert len(ended.stdout.splitlines()) == 1
    assert ended.stderr == ""


@pytest.mark.parametrize("form", ["pretty", "json", "debezium"])
def test_an_interrupt_ends_the_printing_at_once_between_two_lines(cli: Cli, shop: str, form: str) -> None:
    with psycopg.connect(shop, autocommit=True) as connection:
        connection.execute("insert into orders select i, repeat('x', 100) from generate_series(10, 50000) i")
    process = cli.start("tail", shop, "--snapshot", "--format", form)
    assert process.stdout is not None and process.stderr is not None
    first = process.stdout.readline()  # and then nothing: a pager that waits for a key
    await_full_pipe(process)
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 130
    out, err = process.stdout.read(), process.stderr.read()
    lines = (first + out).splitlines(keepends=True)
    assert 1 < len(lines) < 2000, "what the pipe holds"
    assert lines[-1].endswith("\n")
    assert err == ""
    until(lambda: left_behind(shop) == (0, 0), "for the slot to go")
