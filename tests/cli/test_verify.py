"""`tailrace verify` as its users run it: beside a running pipeline, and with none, in text and in JSON."""

from __future__ import annotations

import json
import re
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from servers.postgres import Server
from tests import waiting
from tests.cli.conftest import Cli, Ended


@pytest.fixture
def replica(cli: Cli, config: Path) -> Path:
    """The pipeline `orders`, into a DuckDB file that holds the three orders."""
    config.write_text(config.read_text().replace('"file:out.jsonl"', '"duckdb:shop.duckdb"'))
    assert cli.run("run", config.name, "--until-current").code == 0
    return config


def plant(cli: Cli, *statements: str) -> None:
    """Change the target while nobody has it open."""
    with duckdb.connect(str(cli.folder / "shop.duckdb")) as session:
        for statement in statements:
            session.execute(statement)


def table(ended: Ended) -> dict[str, Any]:
    """The one table of a JSON report."""
    [found] = json.loads(ended.out)["tables"]
    assert isinstance(found, dict)
    return found


def test_a_pipeline_that_nobody_runs_is_run_while_it_is_verified(cli: Cli, replica: Path, shop: str) -> None:
    with psycopg.connect(shop, autocommit=True) as source:
        source.execute("insert into orders values (4, 'four')")  # not yet in the target, and no difference
    ended = cli.run("verify", replica.name, "orders")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[1].split()[:3] == ["public.orders", "4", "4"]
    plant(cli, "update public.orders set note = 'x' where id = 1", "delete from public.orders where id = 2")
    ended = cli.run("verify", replica.name, "orders", "--json")
    assert ended.code == 3
    assert table(ended)["keys"] == {"different": [["1"]], "missing": [["2"]]}
    ended = cli.run("verify", replica.name, "orders", "--repair", "--rate", "1000")
    assert ended.code == 0, ended
    assert "public.orders: different: id=1" in ended.out
    assert cli.run("verify", replica.name, "orders").code == 0


def test_the_first_ten_keys_of_a_kind_are_shown_and_the_others_counted(cli: Cli, replica: Path) -> None:
    plant(cli, "delete from public.orders", "insert into public.orders select i, 'x' from range(100, 112) t(i)")
    first = range(100, 110)
    [_, _, *notes] = cli.run("verify", replica.name, "orders").out.splitlines()
    extra = "; ".join(f"id={number}" for number in first)
    assert set(notes) == {
        "public.orders: missing: id=1; id=2; id=3",
        f"public.orders: extra: {extra}; and 2 more",
    }
    found = table(cli.run("verify", replica.name, "orders", "--json"))
    assert (found["extra"], found["missing"]) == (12, 3)
    assert found["keys"] == {"missing": [["1"], ["2"], ["3"]], "extra": [[str(number)] for number in first]}


def test_how_far_it_is_is_shown_on_a_terminal_and_nowhere_else(cli: Cli, replica: Path) -> None:
    slowly = ("verify", replica.name, "orders", "--rate", "1")  # a row a second, so that there is something to show
    with cli.terminal(*slowly) as shown:
        assert shown.end(180) == 0, shown.shown
        assert re.search(r"public\.orders: [123] rows, \d+ a second, 0 differ", shown.shown), shown.shown
    for options in ((), ("--json",)):
        ended = cli.run(*slowly, *options)
        assert (ended.code, ended.err) == (0, "")
        assert "a second" not in ended.out and "\x1b" not in ended.out


def test_a_target_that_a_running_pipeline_has_for_itself_is_read_through_it(cli: Cli, replica: Path) -> None:
    plant(cli, "insert into public.orders values (9, 'nobody''s')")
    running = cli.start("run", replica.name)
    try:
        waiting.until(lambda: (cli.folder / ".tailrace" / "orders.desk").exists(), "for the pipeline")
        desk = cli.folder / ".tailrace" / "orders.desk"
        assert desk.stat().st_mode & 0o777 == 0o600
        ended = cli.run("verify", replica.name, "orders", "--json")
        assert (ended.code, table(ended)["keys"]) == (3, {"extra": [["9"]]})
        assert cli.run("verify", replica.name, "orders", "--repair").code == 0
        assert cli.run("verify", replica.name, "orders", "--table", "public.o*").code == 0
    finally:
        running.send_signal(signal.SIGTERM)
        assert running.wait(120) == 143
    assert not desk.exists()


def test_what_cannot_be_compared_is_said(cli: Cli, config: Path, replica: Path) -> None:
    ended = cli.run("verify", replica.name, "orders", "--table", "public.customers")
    assert ended.code == 2
    assert "captured are public.orders" in ended.err
    assert cli.run("verify", replica.name, "orders", "--rate", "0").code == 2
    config.write_text(config.read_text().replace('"duckdb:shop.duckdb"', '"file:out.jsonl"'))
    ended = cli.run("verify", replica.name, "orders")
    assert ended.code == 2
    assert "cannot be compared" in ended.err


def test_a_pipeline_that_never_ran_is_not_begun(cli: Cli, config: Path) -> None:
    config.write_text(config.read_text().replace('"file:out.jsonl"', '"duckdb:shop.duckdb"'))
    ended = cli.run("verify", config.name, "orders")
    assert ended.code == 2
    assert "has not run yet" in ended.err
    assert not (cli.folder / "shop.duckdb").exists()


@pytest.mark.parametrize("target", ["duckdb", "postgres"])
def test_a_pipeline_that_was_killed_before_is_run_while_it_is_verified(
    cli: Cli, config: Path, shop: str, other: str, target: str
) -> None:
    sink = "duckdb:shop.duckdb" if target == "duckdb" else other
    config.write_text(config.read_text().replace('"file:out.jsonl"', f'"{sink}"'))
    assert cli.run("run", config.name, "--until-current").code == 0
    running = cli.start("run", config.name)
    waiting.until(lambda: (cli.folder / ".tailrace" / "orders.desk").exists(), "for the pipeline")
    running.kill()
    running.wait(120)
    assert (cli.folder / ".tailrace" / "orders.desk").exists(), "a kill leaves its socket"
    with psycopg.connect(shop, autocommit=True) as source:
        source.execute("insert into orders values (4, 'four')")
    ended = cli.run("verify", config.name, "orders")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[1].split()[:3] == ["public.orders", "4", "4"]


@pytest.fixture
def other(postgres18: Server) -> Iterator[str]:
    """An empty database, to be a target."""
    name = f"target_{uuid.uuid4().hex[:12]}"
    yield postgres18.create_database(name)
    postgres18.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def killed_while_verified(cli: Cli, config: Path, shop: str, *options: str) -> Ended:
    """Verify; when that reads the first rows of the source, kill the pipeline that runs beside it."""
    running = cli.start("run", config.name)
    waiting.until(lambda: (cli.folder / ".tailrace" / "orders.desk").exists(), "for the pipeline")
    waiting.until(lambda: cli.run("status", config.name, "--json").out.find('"streaming"') > 0, "for the stream")
    with psycopg.connect(shop) as holder, psycopg.connect(shop, autocommit=True) as watcher:
        holder.execute("lock table orders in access exclusive mode")
        # The pipeline asks for the table's row filter now and then, and waits for the lock too.
        verifying = cli.start("verify", config.name, "orders", *options, PGAPPNAME="verifying")
        waits = (
            "select count(*) > 0 from pg_locks join pg_stat_activity using (pid)"
            " where relation = 'orders'::regclass and not granted and application_name = 'verifying'"
        )
        waiting.until(lambda: watcher.execute(waits).fetchone() == (True,), "for verify to read")
        running.kill()
        running.wait(120)
        holder.rollback()
        out, err = verifying.communicate(timeout=180)
    return Ended(verifying.returncode, out, err)


@pytest.mark.parametrize("options", [(), ("--repair",)], ids=["compare", "repair"])
def test_a_target_whose_process_is_killed_meanwhile_ends_the_comparison(
    cli: Cli, replica: Path, shop: str, options: tuple[str, ...]
) -> None:
    plant(cli, "update public.orders set note = 'x' where id = 1")
    ended = killed_while_verified(cli, replica, shop, *options)
    assert (ended.code, ended.out) == (75, "")
    assert "the pipeline ended while it was verified" in ended.err and "run it, and verify again" in ended.err
    assert "Traceback" not in ended.err
    again = cli.run("verify", replica.name, "orders", *options)
    assert again.code == (0 if options else 3)
