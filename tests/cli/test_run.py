"""`run`, `status`, `check`, `reset`, `drop`: exit codes, signals, and what stands where."""

import json
import re
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import duckdb
import psycopg
import pytest

from servers.postgres import Server
from tailrace.pipeline import ask, socket_path
from tests.cli.conftest import Cli, await_full_pipe
from tests.slots import drop_slots
from tests.waiting import until

FAILURES = [
    pytest.param("file:broken.jsonl", "/nowhere_", 2, "does not exist", id="a database that is not there"),
    pytest.param("file:damaged.jsonl", "/test_", 1, "is damaged", id="a sidecar that cannot be read"),
]


def lines(folder: Path) -> list[dict[str, object]]:
    """Those that are whole: it may be written to."""
    path = folder / "out.jsonl"
    return [json.loads(line) for line in path.read_text().rpartition("\n")[0].splitlines()] if path.exists() else []


def execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def test_until_current_copies_and_a_second_run_goes_on(cli: Cli, config: Path, shop: str) -> None:
    first = cli.run("run", "t.toml", "--until-current")
    assert (first.code, first.out) == (0, ""), first.err
    assert len(lines(cli.folder)) == 3
    execute(shop, "insert into orders values (4, 'four')")
    second = cli.run("run", "t.toml", "orders", "--until-current")
    assert second.code == 0, second.err
    assert [line["value"]["after"]["id"] for line in lines(cli.folder)] == [1, 2, 3, 4]  # type: ignore[index]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_cleanly_and_status_sees_it_running(
    cli: Cli, config: Path, shop: str, number: signal.Signals, code: int
) -> None:
    process = cli.start("run", "t.toml")
    until(lambda: len(lines(cli.folder)) == 3)
    execute(shop, "insert into orders values (4, 'four')")
    until(lambda: len(lines(cli.folder)) == 4)
    until(lambda: (status := ask(socket_path(cli.folder / ".tailrace", "orders"))) and status.changes == 4)
    [seen] = json.loads(cli.run("status", "t.toml", "--json").out)
    assert seen["state"] == "streaming"
    assert seen["pid"] == process.pid
    assert seen["changes"] == 4
    assert seen["positions"]
    second = cli.run("run", "t.toml", "--until-current", TAILRACE_PIPELINE__ORDERS__LIMITS__BACKOFF_S_MAX="0.1")
    assert second.code == 75
    assert f"in use by process {process.pid}" in second.err
    process.send_signal(number)
    assert process.wait(120) == code
    _, err = process.communicate()
    assert "Traceback" not in err
    assert all(json.loads(line)["level"] != "error" for line in err.splitlines())
    [left] = json.loads(cli.run("status", "t.toml", "--json").out)
    assert (left["state"], left["changes"]) == ("stopped", 4)
    assert left["positions"].keys() == seen["positions"].keys()
    assert left["retained_bytes"] > 0
    assert "orders" in cli.run("status", "t.toml").out


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_aborts(cli: Cli, config: Path, shop: str, number: signal.Signals, code: int) -> None:
    config.write_text(config.read_text().replace('"file:out.jsonl"', '"stdout:"'))
    process = cli.start("run", "t.toml")  # nobody reads its stdout: the sink is stuck once the pipe is full
    execute(shop, "insert into orders select i, repeat('x', 1000) from generate_series(10, 5000) i")
    until(lambda: json.loads(cli.run("status", "t.toml", "--json").out)[0]["shelf_nbytes"] > 0)
    await_full_pipe(process)
    process.send_signal(number)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)

    def ended() -> bool:
        process.send_signal(number)  # again, where the first was not heard yet: two that wait together are one
        return process.poll() is not None

    until(ended, "for the process to abort")
    assert process.returncode == code
    process.communicate()


@pytest.mark.parametrize(("sink", "named", "code", "message"), FAILURES)
def test_one_pipelines_failure_leaves_the_other_running_and_gives_the_exit_code(
    cli: Cli, config: Path, shop: str, sink: str, named: str, code: int, message: str
) -> None:
    source = shop.replace("/test_", named)
    config.write_text(f'{config.read_text()}\n[pipeline.broken]\nsink = "{sink}"\nsource = "{source}"\n')
    (cli.folder / "damaged.jsonl.position").write_text("not JSON")
    process = cli.start("run", "t.toml")
    until(lambda: len(lines(cli.folder)) == 3)
    states = lambda: {each["name"]: each["state"] for each in json.loads(cli.run("status", "t.toml", "--json").out)}  # noqa: E731
    until(lambda: states() == {"orders": "streaming", "broken": "failed"})
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == code, err
    assert message in err
    assert "Traceback" not in err


def test_check_names_what_is_missing_and_changes_nothing(cli: Cli, config: Path, shop: str) -> None:
    good = cli.run("check", "t.toml")
    assert good.code == 0, good.out + good.err
    assert "orders source" in good.out
    config.write_text(config.read_text().replace('"public.orders"', '"public.missing"'))
    bad = cli.run("check", "t.toml", "--json")
    assert bad.code == 3, bad.out + bad.err
    found = [finding for part in json.loads(bad.out) for finding in part["findings"]]
    assert any(finding["severity"] == "error" for finding in found)
    with psycopg.connect(shop) as connection:
        assert connection.execute("select count(*) from pg_publication").fetchone() == (0,)
    of_url = cli.run("check", shop)
    assert (of_url.code, "table public.orders" in of_url.out) == (0, True), of_url.out + of_url.err
    assert not (cli.folder / ".tailrace").exists() and not (cli.folder / "out.jsonl").exists()


def test_run_over_a_table_that_is_not_there_is_2_names_the_nearest_and_makes_nothing(
    cli: Cli, config: Path, shop: str
) -> None:
    good = config.read_text()
    for missing, said in (("public.ordres", "did you mean 'public.orders'?"), ("public.nothing_*", "no table matches")):
        config.write_text(good.replace('"public.orders"', f'"{missing}"'))
        ended = cli.run("run", "t.toml", "--until-current")
        assert (ended.code, ended.out) == (2, ""), ended.err
        assert missing in ended.err and said in ended.err
        assert "Traceback" not in ended.err
    with psycopg.connect(shop) as connection:
        assert connection.execute("select count(*) from pg_publication").fetchone() == (0,)
        slots = "select count(*) from pg_replication_slots where database = current_database()"
        assert connection.execute(slots).fetchone() == (0,)
    config.write_text(good)
    assert cli.run("run", "t.toml", "--until-current").code == 0
    assert len(lines(cli.folder)) == 3


def test_check_names_a_file_of_another_pipeline_and_names_that_match_nothing(cli: Cli, config: Path) -> None:
    assert cli.run("run", "t.toml", "--until-current").code == 0
    text = config.read_text().replace("pipeline.orders", "pipeline.other")
    text += """
[[pipeline.other.transform]]
kind = "rename"
names = { "public.orders" = "public.sales", "public.ordres.note" = "remark", "public.orders.note" = "remark" }
[[pipeline.other.transform]]
kind = "mask"
columns = ["public.orders.note", "public.sales.rem*"]
[[pipeline.other.transform]]
kind = "select"
exclude_tables = ["*.orders"]
"""
    config.write_text(text)
    ended = cli.run("check", "t.toml", "other")
    assert ended.code == 3, ended.out
    assert "it belongs to the pipeline 'orders': give each pipeline a path of its own" in ended.out
    told = [line.strip() for line in ended.out.splitlines() if "matches nothing that comes to it" in line]
    assert told == [
        "warning  rename: public.ordres.note matches nothing that comes to it",
        "warning  mask: public.orders.note matches nothing that comes to it",
        "warning  select: *.orders matches nothing that comes to it",
    ]


def test_check_names_columns_that_duckdb_takes_for_others(cli: Cli, config: Path, shop: str) -> None:
    execute(shop, "ALTER TABLE orders ADD _op text", 'CREATE TABLE twice (id int PRIMARY KEY, a int, "A" int)')
    config.write_text(config.read_text().replace("file:out.jsonl", "duckdb:out.duckdb").replace("public.orders", "*.*"))
    ended = cli.run("check", "t.toml", "orders")
    assert ended.code == 3, ended.out
    assert "the column _op of public.orders has the name of Tailrace's own column _op in DuckDB" in ended.out
    assert "DuckDB takes the column A of public.twice for its column a: it ignores case" in ended.out


@pytest.mark.parametrize("keyed", [True, False])
def test_check_and_run_say_the_same_of_a_column_that_has_the_name_of_one_of_ours(
    cli: Cli, config: Path, shop: str, keyed: bool
) -> None:
    execute(shop, "ALTER TABLE orders ADD _op text DEFAULT 'theirs'")
    if not keyed:
        execute(shop, "ALTER TABLE orders DROP CONSTRAINT orders_pkey", "ALTER TABLE orders REPLICA IDENTITY FULL")
    config.write_text(config.read_text().replace("file:out.jsonl", "duckdb:out.duckdb"))
    told = "the column _op of public.orders has the name of Tailrace's own column _op in DuckDB"
    names = '{"public.orders._op" = "…"}'
    hint = (
        f'give it another name with a transform: kind = "rename", names = {names}; or leave it out: kind = "select",'
        ' exclude_columns = ["public.orders._op"]'
    )
    checked = cli.run("check", "t.toml", "orders", "--json")
    [finding] = [each for part in json.loads(checked.out) for each in part["findings"] if each["severity"] == "error"]
    assert (checked.code, finding["message"], finding["fix"]) == (3, told, hint)
    ended = cli.run("run", "t.toml", "--until-current")
    last = json.loads(ended.err.splitlines()[-1])
    assert (ended.code, last["error"], last["hint"]) == (3, told, hint), ended.err
    mended = f'\n[[pipeline.orders.transform]]\nkind = "rename"\nnames = {names.replace("…", "op")}\n'
    config.write_text(config.read_text() + mended)
    assert cli.run("check", "t.toml", "orders").code == 0
    assert cli.run("run", "t.toml", "--until-current").code == 0
    with duckdb.connect(str(cli.folder / "out.duckdb")) as target:
        assert target.execute("SELECT op, count(*) FROM public.orders GROUP BY op").fetchall() == [("theirs", 3)]


@pytest.fixture
def named(config: Path, shop: str) -> str:
    """The name of the pipeline of `config`, whose slot and publication have their names from it."""
    name = "named_" + shop.rpartition("/")[2]
    own = [line for line in config.read_text().splitlines() if not line.startswith(("slot", "publication"))]
    config.write_text("\n".join(own).replace("pipeline.orders", f"pipeline.{name}").replace("public.orders", "*.*"))
    return name


def test_check_looks_at_the_slot_and_the_publication_that_the_name_of_the_pipeline_gives(
    cli: Cli, named: str, shop: str
) -> None:
    slot = f"tailrace_{named}"
    execute(shop, f"select pg_create_logical_replication_slot('{slot}', 'pgoutput')")
    taken = cli.run("check", "t.toml", named)
    assert taken.code == 3 and f"replication slot '{slot}' exists, and no position of it is saved here" in taken.out
    execute(shop, f"select pg_drop_replication_slot('{slot}')")
    assert f"slot {slot}: a start makes it and begins with a snapshot" in cli.run("check", "t.toml", named).out
    assert cli.run("run", "t.toml", "--until-current").code == 0
    execute(shop, "create table later (id int primary key)")
    known = cli.run("check", "t.toml", named)
    assert known.code == 0 and f"slot {slot}: a start goes on after " in known.out, known.out + known.err
    assert f"publication {slot}: the start adds public.later" in known.out
    drop_slots(shop)
    gone = cli.run("check", "t.toml", named)
    assert gone.code == cli.run("run", "t.toml", "--until-current").code == 4, gone.out + gone.err
    assert f"ERROR    start: replication slot '{slot}' does not exist any more" in gone.out
    assert "`tailrace reset`" in gone.out
    assert cli.run("drop", "t.toml", named, "--yes").code == 0


def test_the_statement_of_check_makes_the_publication_that_the_pipeline_looks_for(
    cli: Cli, config: Path, named: str, shop: str
) -> None:
    role = f"reader_{named}"
    execute(shop, f"create role {role} login replication", f"grant select on orders to {role}")
    try:
        config.write_text(config.read_text().replace("postgres@", f"{role}@"))
        told = json.loads(cli.run("check", "t.toml", named, "--json").out)
        [lacking] = [each for part in told for each in part["findings"] if each["severity"] == "error"]
        assert lacking["subject"] == "publication" and f'"tailrace_{named}"' in lacking["fix"]
        execute(shop, lacking["fix"])
        assert cli.run("check", "t.toml", named).code == 0
        ran = cli.run("run", "t.toml", "--until-current")
        assert ran.code == 0, ran.err
        assert cli.run("drop", "t.toml", named, "--yes").code == 0
    finally:
        execute(shop, f"drop owned by {role}", f"drop role {role}")


def test_check_of_a_whole_configuration_names_what_no_pipeline_owns_and_offers_not_to_drop_it(
    cli: Cli, config: Path, shop: str
) -> None:
    left = f"tailrace_left_{shop.rpartition('/')[2]}"
    execute(shop, f"select pg_create_logical_replication_slot('{left}', 'pgoutput')")
    whole = cli.run("check", "t.toml")
    assert whole.code == 0, whole.out + whole.err
    assert "orders leftovers" in whole.out
    [told] = [line for line in whole.out.splitlines() if left in line]
    assert told.startswith("  warning  slots that nobody reads now: ") and "unused since 20" in told
    assert "pg_drop_replication_slot" not in whole.out
    assert left not in cli.run("check", "t.toml", "orders").out


def test_a_server_that_is_gone_is_told_in_and_one_clear_message(cli: Cli, config: Path) -> None:
    url = "postgresql://127.0.0.1:1/x"
    ended = cli.run("check", url)
    assert ended.code == 3, "a check that found an error"
    assert "127.0.0.1:1" in ended.out
    ended = cli.run("tail", url)
    assert ended.code == 75
    assert ended.err.startswith("tailrace: cannot connect to 127.0.0.1:1/x")


def test_a_setting_or_a_right_that_the_server_lacks_is_3_with_the_statement(
    cli: Cli, config: Path, shop: str, start_postgres: Callable[..., Server]
) -> None:
    server = start_postgres(18, settings={"wal_level": "replica"})
    execute(server.url, "create table orders (id int primary key)", "create role weak login")
    config.write_text(config.read_text().replace(shop, server.url))
    statement = "ALTER SYSTEM SET wal_level = 'logical'"
    for command in (["run", "t.toml", "--until-current"], ["tail", server.url, "--until-current"]):
        ended = cli.run(*command)
        assert (ended.code, statement in ended.err) == (3, True), ended.err
    execute(server.url, statement)
    server.stop()
    server.start()
    assert cli.run("run", "t.toml", "--until-current").code == 0
    config.write_text(config.read_text().replace("postgres@", "weak@"))
    ended = cli.run("run", "t.toml", "--until-current")
    assert (ended.code, "ALTER ROLE ... REPLICATION" in ended.err) == (3, True), ended.err


def test_a_lost_slot_is_4_and_reset_is_the_way_out(cli: Cli, config: Path, shop: str) -> None:
    assert cli.run("run", "t.toml", "--until-current").code == 0
    drop_slots(shop)
    lost = cli.run("run", "t.toml", "--until-current")
    assert lost.code == 4, lost.err
    assert "tailrace reset" in lost.err
    refused = cli.run("reset", "t.toml", "orders")
    assert refused.code == 2
    assert "--yes" in refused.err
    assert cli.run("reset", "t.toml", "orders", "--yes").code == 0
    again = cli.run("run", "t.toml", "--until-current")
    assert again.code == 0, again.err
    assert len(lines(cli.folder)) == 6


def test_drop_removes_slot_publication_and_position(cli: Cli, config: Path, shop: str) -> None:
    assert cli.run("run", "t.toml", "--until-current").code == 0
    ended = cli.run("drop", "t.toml", "orders", "--yes")
    assert ended.code == 0, ended.err
    assert "slot" in ended.out
    [left] = json.loads(cli.run("status", "t.toml", "--json").out)
    assert left["positions"] == {}
    with psycopg.connect(shop) as connection:
        assert connection.execute("select count(*) from pg_publication").fetchone() == (0,)
        slots = "select count(*) from pg_replication_slots where database = current_database()"
        assert connection.execute(slots).fetchone() == (0,)
    assert cli.run("drop", "t.toml", "orders", "--yes").code == 0, "dropping twice is harmless"
    again = cli.run("run", "t.toml", "--until-current")
    assert again.code == 0, again.err
    assert [line["value"]["op"] for line in lines(cli.folder)] == ["r"] * 6, "it begins with a snapshot"  # type: ignore[index]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "CONFIG"),
        (["frobnicate"], 'Unknown command "frobnicate"'),
        (["run", "nowhere.toml"], "there is no file nowhere.toml"),
        (["run", "t.toml", "nobody"], "there is no pipeline 'nobody'"),
        (["tail", "mysql://x/y"], "no source of kind 'mysql'"),
        (["tail", "kafka://x:9092/y"], "tailrace consume reads topics"),
        (["tail", "postgresql://x/y", "-n", "0"], "above 0"),
        (["tail", "postgresql://x/y", "--format", "xml"], "xml"),
        (["dead-letters", "list", "t.toml", "orders"], "has no dead letters"),
        (["run", "t.toml", "--log-level", "loud"], "loud"),
    ],
)
def test_bad_usage_is_2_and_one_clear_message(cli: Cli, arguments: list[str], message: str) -> None:
    (cli.folder / "t.toml").write_text('[pipeline.orders]\nsource = "postgresql://x/y"\nsink = "stdout:"\n')
    ended = cli.run(*arguments)
    assert ended.code == 2, ended.err
    assert message in ended.err
    assert "Traceback" not in ended.err
    assert len(ended.err.splitlines()) <= 2
    assert ended.out == ""


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("run",), "tailrace run --help"),
        (("dead-letters", "list"), "tailrace dead-letters list --help"),
        (("tail", "postgresql://localhost/shop", "--snapsot"), "tailrace tail --help"),
        (("rnu",), "tailrace --help"),
    ],
)
def test_a_wrong_command_line_is_led_to_the_help_of_its_verb(cli: Cli, arguments: tuple[str, ...], hint: str) -> None:
    ended = cli.run(*arguments)
    assert (ended.code, ended.err.splitlines()[-1]) == (2, f"  hint: {hint}"), ended.err


def test_a_stop_while_a_server_says_nothing_is_clean_with_duckdb_loaded(cli: Cli) -> None:
    """DuckDB printed a page about functions that leak, since the thread that connects was still there at the exit."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(120)
        url = f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/shop?sslmode=disable&gssencmode=disable"
        (cli.folder / "t.toml").write_text(f'[pipeline.hung]\nsource = "{url}"\nsink = "duckdb:shop.duckdb"\n')
        process = cli.start("run", "t.toml")
        connected, _ = silent.accept()
        with connected:
            assert connected.recv(1), "it has begun to log in, and waits"
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "source postgres does not come back; leaving it" in err
    assert "leaked" not in err


def test_help_and_version_are_quick_and_complete(cli: Cli) -> None:
    ended = cli.run("--help")
    assert ended.code == 0
    for verb in ("run", "tail", "check", "status", "dead-letters", "reset", "drop", "demo", "version"):
        assert verb in ended.out
    assert cli.run("version").out.startswith("tailrace ")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["run"], "CONFIG [NAME...]"),
        (["check"], "CONFIG|URL [NAME...]"),
        (["status"], "CONFIG [NAME...]"),
        (["dead-letters", "drop"], "CONFIG NAME [ID...] | FILE [ID...]"),
        (["drop"], "CONFIG  The TOML file."),
        (["adopt"], "Do not ask."),
    ],
)
def test_help_says_what_every_argument_is(cli: Cli, command: list[str], said: str) -> None:
    ended = cli.run(*command, "--help")
    assert (ended.code, said in ended.out) == (0, True), ended.out


def test_i9_debug_shows_the_traceback_and_nothing_else_does(cli: Cli) -> None:
    (cli.folder / "t.toml").write_text('[pipeline.orders]\nsource = "postgresql://x/y"\nsink = "nosuch:"\n')
    assert "Traceback" not in cli.run("run", "t.toml").err
    assert "Traceback" in cli.run("run", "t.toml", "--log-level", "debug").err


def test_i15_after_a_reset_a_table_like_sink_holds_what_the_source_holds(cli: Cli, config: Path, shop: str) -> None:
    import duckdb

    config.write_text(config.read_text().replace('"file:out.jsonl"', '"duckdb:out.duckdb"'))
    assert cli.run("run", "t.toml", "--until-current").code == 0
    drop_slots(shop)
    execute(shop, "delete from orders where id = 2")
    assert cli.run("run", "t.toml", "--until-current").code == 4
    assert cli.run("reset", "t.toml", "orders", "--yes").code == 0
    again = cli.run("run", "t.toml", "--until-current")
    assert again.code == 0, again.err
    with duckdb.connect(str(cli.folder / "out.duckdb"), read_only=True) as connection:
        assert connection.execute("select id from public.orders order by id").fetchall() == [(1,), (3,)]


def test_a_restart_of_the_server_is_waited_out(
    cli: Cli, config: Path, shop: str, start_postgres: Callable[..., Server]
) -> None:
    server = start_postgres(18)
    url = server.create_database("shop")
    execute(url, "create table orders (id int primary key, note text)", "insert into orders values (1, 'one')")
    config.write_text(config.read_text().replace(shop, url) + "\n[pipeline.orders.limits]\nbackoff_s_max = 1\n")
    process = cli.start("run", "t.toml")
    until(lambda: len(lines(cli.folder)) == 1)
    server.stop()

    def restarts() -> int:
        assert process.poll() is None, process.communicate()
        status = ask(socket_path(cli.folder / ".tailrace", "orders"))
        return status.restarts if status else 0

    until(lambda: restarts() > 0, "for a retry")
    server.start()
    execute(url, "insert into orders values (2, 'two')")
    until(lambda: len(lines(cli.folder)) == 2, "for the row that came after the restart")
    told = cli.run("status", "t.toml").out
    assert re.search(r"^orders: last fault, \d+ s ago: ", told, re.MULTILINE), told
    process.terminate()
    _, err = process.communicate(timeout=120)
    assert process.returncode == 143, err
    assert "trying again in" in err
    assert "Traceback" not in err
