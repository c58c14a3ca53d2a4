"""`check` of what a pipeline keeps on this machine: the state folder, checkpoints, dead letters, a DuckDB file."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from servers.postgres import Server
from tailrace.pipeline import ask, socket_path
from tests.cli.conftest import Cli, Ended
from tests.waiting import until
from tests.wanting import needs_root

HOLDER = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def errors(ended: Ended) -> list[str]:
    return [line.removeprefix("  ERROR    ") for line in ended.out.splitlines() if line.startswith("  ERROR")]


def keeping(kind: str, path: str) -> str:
    return f'{{1}}\n[pipeline.orders.{kind}]\nkind = "{path.partition(".")[2] or "file"}"\npath = "{{0}}/{path}"\n'


@pytest.mark.parametrize(
    "keeper",
    [
        pytest.param('state_dir = "{0}"\n{1}', id="the state folder"),
        pytest.param(keeping("checkpoint", "orders"), id="the file of a checkpoint"),
        pytest.param(keeping("checkpoint", "orders.sqlite"), id="the database of a checkpoint"),
        pytest.param(keeping("dead_letters", "orders"), id="the file of dead letters"),
    ],
)
def test_what_keeps_the_state_from_being_written_is_found(cli: Cli, config: Path, keeper: str) -> None:
    needs_root()
    sink = "stdout:" if "checkpoint" in keeper else "file:out.jsonl"
    text = config.read_text().replace("file:out.jsonl", sink)
    place = cli.folder / "place"
    config.write_text(keeper.format(place, text))
    place.write_text("a file where a folder should be")
    assert f"{place}: it is not a folder" in errors(cli.run("check", "t.toml", "orders"))
    place.unlink()
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", place], check=True)
    try:
        ended = cli.run("check", "t.toml", "orders")
    finally:
        subprocess.run(["umount", place], check=True)
    assert ended.code == 3 and errors(ended).count(f"{place}: its file system is mounted read-only") == 1, ended.out
    before = files(cli.folder)
    assert not [line for line in errors(cli.run("check", "t.toml", "orders")) if str(place) in line]
    assert files(cli.folder) == before, "nothing is made"


def test_a_duckdb_file_that_another_process_has_open_is_told_and_waited_for_in_one_line(
    cli: Cli, config: Path, shop: str
) -> None:
    config.write_text(
        config.read_text().replace("file:out.jsonl", "duckdb:out.duckdb")
        + "\n[pipeline.orders.limits]\nbackoff_s_max = 1\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(cli.folder / "out.duckdb")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    told = f"out.duckdb is in use by process {holder.pid}: DuckDB lets one process at a time write"
    before = files(cli.folder)
    ended = cli.run("check", "t.toml", "orders")
    assert (ended.code, len(errors(ended))) == (75, 1) and told in errors(ended)[0], ended.out
    assert files(cli.folder) == before, "nothing is made"
    process = cli.start("run", "t.toml")

    def tries() -> int:
        status = ask(socket_path(cli.folder / ".tailrace", "orders"))
        return status.restarts if status else 0

    until(lambda: tries() > 3, "for several tries")
    until(lambda: told in cli.run("check", "t.toml", "orders").out, "for the pause of one that waits for it")
    holder.communicate()
    until(lambda: json.loads(cli.run("status", "t.toml", "--json").out)[0]["state"] == "streaming")
    assert cli.run("check", "t.toml", "orders").code == 0, "it is in use by the pipeline itself"
    process.terminate()
    _, err = process.communicate(timeout=120)
    lines = [json.loads(line)["event"] for line in err.splitlines()]
    assert len([line for line in lines if told in line and "trying again" in line]) == 1, err


def test_a_table_that_no_column_could_be_written_of_is_an_error_for_a_postgresql_target(
    cli: Cli, config: Path, shop: str, start_postgres: Callable[..., Server]
) -> None:
    target = start_postgres(18).url
    with psycopg.connect(shop, autocommit=True) as connection:
        connection.execute("create table bare ()")
        connection.execute("create table sums (a int)")
    with psycopg.connect(target, autocommit=True) as connection:
        connection.execute("create table sums (b int, a int generated always as (b + 1) stored)")
    config.write_text(config.read_text().replace("file:out.jsonl", target).replace("public.orders", "*.*"))
    ended = cli.run("check", "t.toml", "orders")
    assert ended.code == 3, ended.out
    lacking = [line for line in errors(ended) if "it has no column that could be written" in line]
    assert [line.partition(":")[0] for line in lacking] == ["table public.bare", "table public.sums"], ended.out
