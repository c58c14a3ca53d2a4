"""`status` of pipelines that no process runs: what is saved and parked is read where it lies, and stays as it is."""

import json
import signal
from pathlib import Path

import psycopg
import pytest

from tests.cli.conftest import Cli
from tests.waiting import until


def seen(cli: Cli) -> dict[str, object]:
    [status] = json.loads(cli.run("status", "t.toml", "--json").out)
    assert isinstance(status, dict)
    return status


@pytest.mark.parametrize(
    "sink",
    [
        'sink = "file:out.jsonl"',
        'sink = "duckdb:out.duckdb"',
        'sink = "stdout:"',
        'sink = "stdout:"\ncheckpoint = {kind = "sqlite", path = "positions.db"}',
    ],
    ids=["file", "duckdb", "checkpoint", "sqlite"],
)
def test_the_position_of_a_pipeline_that_was_killed_is_shown_and_gone_after_a_reset(
    cli: Cli, config: Path, sink: str
) -> None:
    config.write_text(config.read_text().replace('sink = "file:out.jsonl"', sink))
    before = seen(cli)
    assert (before["state"], before["positions"], before["error"]) == ("stopped", {}, None)
    process = cli.start("run", "t.toml")
    until(lambda: seen(cli)["positions"])
    process.kill()
    process.communicate()
    left = seen(cli)
    assert (left["state"], left["error"]) == ("stopped", None)
    assert left["positions"]
    assert seen(cli)["positions"] == left["positions"]
    assert isinstance(left["retained_bytes"], int)
    assert cli.run("reset", "t.toml", "orders", "--yes").code == 0
    assert seen(cli)["positions"] == {}


def test_a_run_that_had_no_place_for_its_state_is_told_of(cli: Cli, config: Path) -> None:
    place = cli.folder / "place"
    config.write_text(f'state_dir = "place/state"\n{config.read_text()}')
    assert seen(cli)["reason"] == ""
    place.write_text("a file where a folder should be")
    ended = cli.run("run", "t.toml")
    assert ended.code == 1 and "cannot create the folder place/state: Not a directory" in ended.err
    told = f"a run cannot begin: {place}: it is not a folder"
    assert (seen(cli)["state"], seen(cli)["reason"]) == ("stopped", told)
    assert f"orders: {told}" in cli.run("status", "t.toml").out.splitlines()
    place.unlink()
    assert cli.run("run", "t.toml", "--until-current").code == 0
    assert told not in cli.run("status", "t.toml").out
    lock = place / "state" / "orders.lock"
    lock.unlink()
    lock.mkdir()
    assert cli.run("run", "t.toml").code == 1
    assert seen(cli)["reason"] == f"a run cannot begin: {Path('place/state/orders.lock')}: it is not a regular file"


def test_what_a_stopped_pipeline_did_a_second_is_nothing(cli: Cli, config: Path) -> None:
    assert cli.run("run", "t.toml", "--until-current").code == 0
    left = seen(cli)
    assert (left["state"], left["changes"], left["changes_per_s"], left["bytes_per_s"]) == ("stopped", 3, 0, 0)


def test_the_log_goes_on_while_a_pipeline_is_stopped(cli: Cli, config: Path, shop: str) -> None:
    assert seen(cli)["lag_bytes"] is None
    assert cli.run("run", "t.toml", "--until-current").code == 0
    before = seen(cli)
    with psycopg.connect(shop, autocommit=True) as connection:
        connection.execute("insert into orders select i, repeat('x', 1000) from generate_series(100, 1099) i")
    after = seen(cli)
    assert isinstance(before["lag_bytes"], int)
    assert isinstance(after["lag_bytes"], int)
    assert after["lag_bytes"] > before["lag_bytes"] + 1_000_000
    assert after["lag_s"] is None


def test_watch_looks_again_until_it_is_interrupted(cli: Cli, config: Path) -> None:
    watching = cli.start("status", "t.toml", "--watch", "--json")
    running = cli.start("run", "t.toml")
    try:
        assert watching.stdout is not None
        status = {"state": ""}
        while status["state"] != "streaming":
            [status] = json.loads(watching.stdout.readline())
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 143
        while status["state"] != "stopped":
            [status] = json.loads(watching.stdout.readline())
    finally:
        watching.send_signal(signal.SIGINT)
        running.kill()
    assert watching.wait(30) == 130
    assert watching.communicate()[1] == ""
