"""`status` of pipelines that no process runs: what is saved and parked is read where it lies, and stays as it is."""

import itertools
import json
import re
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

import tailrace.cli.status as status_command
from tailrace.pipeline import Pipeline
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
        assert running.wait(120) == 143
        while status["state"] != "stopped":
            [status] = json.loads(watching.stdout.readline())
    finally:
        watching.send_signal(signal.SIGINT)
        running.kill()
    assert watching.wait(120) == 130
    assert watching.communicate()[1] == ""


def cells(table: str) -> dict[str, dict[str, str]]:
    """The cells of each pipeline's row, by the column that they stand under."""
    head, *rows = (re.split(r" {2,}", line) for line in table.splitlines() if "  " in line)
    return {row[0]: dict(zip(head, row, strict=True)) for row in rows}


def wanted(seen: dict[str, Any]) -> dict[str, str]:
    """What the cells of a pipeline have to say, by what its JSON says; but for the time in its state."""
    return {
        "PIPELINE": seen["name"],
        "STATE": seen["state"],
        "CHANGES": str(seen["changes"]),
        "ROWS/S": f"{seen['changes_per_s']:.0f}",
        "KB/S": f"{seen['bytes_per_s'] / 1000:.0f}",
        "LAG S": "-" if seen["lag_s"] is None else f"{seen['lag_s']:.1f}",
        "LAG B": "-" if seen["lag_bytes"] is None else str(seen["lag_bytes"]),
        "RETAINED B": "-" if seen["retained_bytes"] is None else str(seen["retained_bytes"]),
        "DEAD": str(seen["dead_letters"]),
        "RESTARTS": str(seen["restarts"]),
        "POSITION": ", ".join(seen["positions"].values()) or "-",
    }


def test_each_cell_of_the_table_says_what_the_json_of_the_same_moment_says(
    cli: Cli, shop: str, target_database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = shop.rsplit("/", 1)[1]
    sinks = {"busy": target_database, "failing": "postgresql://127.0.0.1:1/nobody", "idle": "file:idle.jsonl"}
    (cli.folder / "t.toml").write_text("".join(
        f'[pipeline.{which}]\nsink = "{sink}"\ndead_letters = "file:{which}.dead"\n[pipeline.{which}.source]\n'
        f'kind = "postgres"\nurl = "{shop}"\ntables = ["public.orders"]\nslot = "{which}_{name}"\n'
        f'publication = "{which}_{name}"\n[pipeline.{which}.limits]\nshelf_bytes_max = 1\n'
        for which, sink in sinks.items()
    ))  # fmt: skip
    monkeypatch.chdir(cli.folder)
    assert cli.run("run", "t.toml", "busy", "idle", "--until-current").code == 0
    moment: dict[str, Any] = {}
    look = partial(telling, moment, monkeypatch, capsys)
    firsts = itertools.count(1000, 30_000)
    with psycopg.connect(shop, autocommit=True) as source, psycopg.connect(target_database, autocommit=True) as target:
        target.execute("alter table orders add check (note <> 'bad')")
        source.execute("insert into orders values (4, 'bad')")
        process = cli.start("run", "t.toml", "busy", "failing")
        try:
            told = "for a moment that tells every cell from others"
            until(lambda: caught(source, target, next(firsts), moment=moment, look=look), told, timeout_s=180)
        finally:
            process.kill()
            process.communicate()
    stood, units = re.compile(r"(\d+) (s|min)"), {"s": 1, "min": 60}
    for seen in moment["json"]:
        row = cells(moment["table"])[seen["name"]]
        match = stood.fullmatch(row.pop("FOR"))
        assert match is not None
        unit_s = units[match[2]]
        youngest, oldest = (moment[end] - seen["since"] for end in ("from", "to"))
        assert youngest - unit_s < int(match[1]) * unit_s < oldest + unit_s
        assert row == wanted(seen)
        lines = [line.removeprefix(f"{seen['name']}: ") for line in moment["table"].splitlines()]
        assert not seen["reason"] or seen["reason"] in lines
        assert seen["error"] is None or any(line.endswith(seen["error"]) for line in lines)
    states = {seen["name"]: seen["state"] for seen in moment["json"]}
    assert states == {"busy": "streaming", "failing": "retrying", "idle": "stopped"}


def caught(
    source: psycopg.Connection[Any], target: psycopg.Connection[Any], first: int, *,
    moment: dict[str, Any], look: Callable[[], bool],
) -> bool:  # fmt: skip
    """Apply rows from `first` on, stop the target before the rest, and look. Whether that caught a moment that tells:
    the rates are those of ten seconds, and when they are 0 it is over."""
    fill = "insert into orders select i, repeat('x', 1000) from generate_series(%s::int, %s::int) i"
    source.execute(fill, [first, first + 499])
    applied = "select 1 from orders where id = %s"
    until(lambda: target.execute(applied, [first + 499]).fetchone(), "for what is applied", timeout_s=180)
    with target.transaction():
        target.execute("lock table orders in exclusive mode")
        for number in range(first + 1000, first + 21_000, 1000):  # the shelf takes a little, the rest is not read
            source.execute(fill, [number, number + 999])
        while not (tells := look()) and moment["json"][0]["changes_per_s"] > 0:
            continue
    return tells


def telling(moment: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> bool:
    """Look once, print that as JSON and as the table; whether no two cells of a row could change places unseen."""
    looked: dict[str, Any] = {}
    look = status_command._look

    def once(pipeline: Pipeline) -> Any:
        if pipeline.name not in looked:
            looked[pipeline.name] = look(pipeline)
        return looked[pipeline.name]

    with monkeypatch.context() as patch:
        patch.setattr(status_command, "_look", once)
        moment["from"] = time.time()
        for form in (True, False):
            assert status_command.status(Path("t.toml"), (), as_json=form, watch=False) == 0
            moment["json" if form else "table"] = capsys.readouterr().out
        moment["to"] = time.time()
    moment["json"] = json.loads(moment["json"])
    busy, failing, idle = (wanted(seen) for seen in moment["json"])
    numbers = ("CHANGES", "ROWS/S", "KB/S", "LAG S", "LAG B", "RETAINED B", "DEAD")
    return (
        len({busy[column] for column in numbers}) == len(numbers)
        and "-" not in busy.values()
        and all(float(busy[column]) > 0 for column in numbers)
        and (busy["STATE"], failing["STATE"]) == ("streaming", "retrying")
        and int(failing["RESTARTS"]) > 0
        and idle["LAG B"] not in ("-", "0", idle["RETAINED B"])
    )
