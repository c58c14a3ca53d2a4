"""`dead-letters`, with a picky sink that somebody else wrote and that its entry point makes known."""

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tailrace.dead_letters.journal import read_all
from tests.cli.conftest import TIMEOUT_S, Cli
from tests.waiting import until

PICKY = '''
import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from tailrace.error import Reject, Retryable

tailrace_contract = 1

@dataclass(frozen=True)
class Picky:
    """Appends ids to a file; refuses the word in `<path>.word` in a note; is down while `<path>.down` is there."""

    path: Path
    kind: ClassVar[str] = "picky"
    transactional: ClassVar[bool] = False
    table_like: ClassVar[bool] = False
    truncate: ClassVar[bool] = False

    def check(self):
        return []

    def open(self, name, limits):
        return self

    def write(self, batch):
        if len(batch) and self.path.with_suffix(".down").exists():
            raise Retryable("the target is down")
        word = self.path.with_suffix(".word")
        word = word.read_text() if word.exists() else None
        notes = [change.after["note"] or "" for change in batch]
        reasons = {index: "a word that is not wanted" for index, note in enumerate(notes) if word and word in note}
        if reasons:
            raise Reject(reasons)
        with self.path.open("a") as file:
            for change in batch:
                file.write(f"{change.op}{change.after['id']}\\n")

    def close(self):
        pass
'''


@pytest.fixture
def picky(cli: Cli, config: Path) -> Path:
    """The sink's file."""
    (cli.folder / "picky.py").write_text(PICKY)
    info = cli.folder / "picky-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: picky\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tailrace.sinks]\npicky = picky:Picky\n")
    config.write_text(
        config.read_text().replace('"file:out.jsonl"', '"picky:ids.txt"\ndead_letters = "file:dead.jsonl"')
    )
    (cli.folder / "ids.word").write_text("two")
    return cli.folder / "ids.txt"


def listed(cli: Cli) -> list[dict[str, object]]:
    ended = cli.run("dead-letters", "list", "t.toml", "orders", "--json")
    assert ended.code == 0, ended.err
    rows: list[dict[str, object]] = json.loads(ended.out)
    return rows


def test_parked_listed_shown_replayed_without_a_running_pipeline(cli: Cli, shop: str, picky: Path) -> None:
    ended = cli.run("run", "t.toml", "--until-current")
    assert ended.code == 0, ended.err
    assert "a word that is not wanted" in ended.err
    assert picky.read_text().split() == ["r1", "r3"]
    with psycopg.connect(shop, autocommit=True) as connection:
        connection.execute("update orders set note = 'fine' where id = 2")
        connection.execute("update orders set note = 'fine' where id = 1")
    assert cli.run("run", "t.toml", "--until-current").code == 0
    assert picky.read_text().split() == ["r1", "r3", "u1"], "the update of 2 is parked behind its row"
    first, second = listed(cli)
    assert (first["op"], first["reason"], first["attempts"]) == ("r", "a word that is not wanted", 1)
    assert "two" not in json.dumps([first, second]), "lists show no cells"
    assert "public.orders" in cli.run("dead-letters", "list", "t.toml", "orders").out
    shown = json.loads(cli.run("dead-letters", "show", "t.toml", "orders", str(first["id"])).out)
    assert shown["after"] == {"id": "2", "note": "two"}

    again = cli.run("dead-letters", "replay", "t.toml", "orders")
    assert again.code == 5
    assert "replayed 0, still parked 2" in again.out
    assert listed(cli)[0]["attempts"] == 2
    (cli.folder / "ids.word").unlink()
    later = cli.run("dead-letters", "replay", "t.toml", "orders", str(second["id"]))
    assert later.code == 5, "its row is still parked before it"
    final = cli.run("dead-letters", "replay", "t.toml", "orders")
    assert (final.code, final.out) == (0, "replayed 2, still parked 0\n")
    assert picky.read_text().split() == ["r1", "r3", "u1", "r2", "u2"]
    assert listed(cli) == []


def test_the_running_pipeline_replays_what_it_is_asked_to(cli: Cli, shop: str, picky: Path) -> None:
    process = cli.start("run", "t.toml")
    until(lambda: picky.exists() and picky.read_text().split() == ["r1", "r3"])
    [seen] = json.loads(cli.run("status", "t.toml", "--json").out)
    assert seen["dead_letters"] == 1
    (cli.folder / "ids.word").unlink()
    ended = cli.run("dead-letters", "replay", "t.toml", "orders")
    assert (ended.code, ended.out) == (0, "replayed 1, still parked 0\n"), ended.err
    assert picky.read_text().split() == ["r1", "r3", "r2"]
    process.terminate()
    process.communicate(timeout=120)
    assert process.returncode == 143


def test_dropped_after_a_question(cli: Cli, picky: Path) -> None:
    assert cli.run("run", "t.toml", "--until-current").code == 0
    refused = cli.run("dead-letters", "drop", "t.toml", "orders")
    assert refused.code == 2
    assert len(listed(cli)) == 1
    unknown = cli.run("dead-letters", "drop", "t.toml", "orders", "nosuch", "--yes")
    assert unknown.code == 2
    assert "there is no dead letter nosuch" in unknown.err
    assert cli.run("dead-letters", "drop", "t.toml", "orders", "--yes").code == 0
    assert listed(cli) == []
    assert "nothing to drop" in cli.run("dead-letters", "drop", "t.toml", "orders", "--yes").out


def test_without_dead_letters_a_refusal_is_5_and_nothing_is_lost(cli: Cli, config: Path, picky: Path) -> None:
    config.write_text(config.read_text().replace('dead_letters = "file:dead.jsonl"', ""))
    refused = cli.run("run", "t.toml", "--until-current")
    assert refused.code == 5
    assert "sink picky refused 1 change(s), the first of public.orders" in refused.err
    assert "two" not in refused.err
    (cli.folder / "ids.word").unlink()
    assert cli.run("run", "t.toml", "--until-current").code == 0
    assert picky.read_text().split() == ["r1", "r2", "r3"]


def test_a_plug_in_for_another_contract_is_refused(cli: Cli, picky: Path) -> None:
    source = cli.folder / "picky.py"
    source.write_text(source.read_text().replace("tailrace_contract = 1", "tailrace_contract = 99"))
    ended = cli.run("run", "t.toml", "--until-current")
    assert ended.code == 2
    assert "was written for contract 99, this is 1" in ended.err


def test_the_cause_of_a_replay_that_must_wait_is_told_at_once(cli: Cli, picky: Path) -> None:
    assert cli.run("run", "t.toml", "--until-current").code == 0
    (cli.folder / "ids.word").unlink()
    down = cli.folder / "ids.down"
    down.touch()
    process = cli.start("dead-letters", "replay", "t.toml", "orders")
    assert process.stderr is not None
    assert process.stderr.readline() == "tailrace: the target is down; trying again\n"
    down.unlink()
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (0, "replayed 1, still parked 0\n", "")


@pytest.mark.parametrize(("choice", "left"), [("keep", 2), ("drop", 0)])
def test_a_reset_says_what_becomes_of_the_dead_letters(cli: Cli, picky: Path, choice: str, left: int) -> None:
    assert cli.run("run", "t.toml", "--until-current").code == 0
    chosen = () if choice == "keep" else ("--dead-letters", choice)
    asked = cli.run("reset", "t.toml", "orders", *chosen)
    assert asked.code == 2
    assert ("1 dead letter(s) stay" if choice == "keep" else "1 dead letter(s) are thrown away") in asked.err
    assert len(listed(cli)) == 1
    done = cli.run("reset", "t.toml", "orders", "--yes", *chosen)
    assert done.code == 0, done.err
    assert ("1 dead letter(s) stay" if choice == "keep" else "threw away 1 dead letter(s)") in done.out
    (cli.folder / "ids.word").unlink()
    assert cli.run("run", "t.toml", "--until-current").code == 0
    assert len(listed(cli)) == left, "the row of the new snapshot is parked behind the letter that stayed"
    assert picky.read_text().split() == ["r1", "r3", "r1", *(["r2"] if choice == "drop" else []), "r3"]


@pytest.fixture
def second(cli: Cli, config: Path, picky: Path) -> None:
    """A second pipeline, `sales`, that was given the file of letters of the first."""
    text = config.read_text()
    slot = re.findall('slot = "(.*)"', text)[0]
    config.write_text(
        text
        + text.replace("pipeline.orders", "pipeline.sales").replace(slot, f"{slot}_2").replace("ids.txt", "sales.txt")
    )


@contextlib.contextmanager
def having_parked(cli: Cli, picky: Path, *, running: bool) -> Iterator[None]:
    """The first pipeline has parked one letter, and still runs or does not."""
    if not running:
        assert cli.run("run", "t.toml", "orders", "--until-current").code == 0
        yield
        return
    process = cli.start("run", "t.toml", "orders")
    try:
        until(lambda: picky.exists() and picky.read_text().split() == ["r1", "r3"])
        yield
    finally:
        process.terminate()
        process.communicate(timeout=TIMEOUT_S)


@pytest.mark.parametrize("owner", ["stopped", "running"])
@pytest.mark.parametrize(
    "command",
    [
        ("dead-letters", "list", "t.toml", "sales"),
        ("dead-letters", "replay", "t.toml", "sales"),
        ("dead-letters", "drop", "t.toml", "sales", "--yes"),
        ("reset", "t.toml", "sales", "--dead-letters", "drop", "--yes"),
    ],
    ids=lambda command: command[1] if command[0] == "dead-letters" else command[0],
)
@pytest.mark.usefixtures("second")
def test_commands_of_another_pipeline_are_refused_and_leave_no_request(
    cli: Cli, picky: Path, command: tuple[str, ...], owner: str
) -> None:
    """Its owner would carry out at its next turn what the other was told is refused."""
    with having_parked(cli, picky, running=owner == "running"):
        letters = listed(cli)
        assert len(letters) == 1
        refused = cli.run(*command)
        assert refused.code == 1, refused.out
        assert "dead.jsonl are of the pipeline 'orders', not of 'sales'" in refused.err
        assert refused.out == ""
        assert not list(cli.folder.glob("dead.jsonl.requests/*"))
    assert cli.run("run", "t.toml", "orders", "--until-current").code == 0
    assert listed(cli) == letters


APP = """
from pathlib import Path
import tailrace as tr

app = tr.App({url!r}, name="search", dead_letters=tr.DeadLetterFile(Path("search.dead.jsonl")))

@app.on("public.orders")
def index(change: tr.Change) -> None:
    if Path("refuse").exists() and change.after["id"] > 1:
        raise tr.Reject("not now")
    with open("seen.txt", "a") as file:
        print(change.after["id"], file=file)

app.run()
"""


def test_letters_of_an_app_are_listed_replayed_and_dropped_by_their_file(cli: Cli, shop: str) -> None:
    (cli.folder / "search.py").write_text(APP.format(url=shop))
    (cli.folder / "refuse").touch()
    seen, file = cli.folder / "seen.txt", "search.dead.jsonl"

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "search.py"], cwd=cli.folder, env=dict(cli.environ))

    def ids() -> list[str]:
        return [row["id"] for row in json.loads(cli.run("dead-letters", "list", file, "--json").out)]

    app = start()
    try:
        until(lambda: (cli.folder / file).exists() and len(read_all(cli.folder / file)) == 2)
        first, second = ids()
        assert json.loads(cli.run("dead-letters", "show", file, first).out)["after"] == {"id": "2", "note": "two"}
        assert cli.run("dead-letters", "replay", file, second).code == 5
        (cli.folder / "refuse").unlink()
        ended = cli.run("dead-letters", "replay", file, first)
        assert (ended.code, ended.out) == (0, "replayed 1, still parked 0\n"), ended.err
        assert seen.read_text().split() == ["1", "2"]
    finally:
        app.terminate()
        app.wait(120)

    waits = cli.run("dead-letters", "replay", file)
    assert waits.code == 75
    assert "carried out when the App runs again" in waits.err
    app = start()
    try:
        until(lambda: seen.read_text().split() == ["1", "2", "3"])
        until(lambda: not ids())
    finally:
        app.terminate()
        app.wait(120)


def test_letters_of_an_app_that_does_not_run_are_dropped(cli: Cli, picky: Path) -> None:
    assert cli.run("run", "t.toml", "--until-current").code == 0
    assert cli.run("dead-letters", "drop", "dead.jsonl").code == 2
    dropped = cli.run("dead-letters", "drop", "dead.jsonl", "--yes")
    assert (dropped.code, dropped.out) == (0, "dropped 1\n"), dropped.err
    assert listed(cli) == []
    assert cli.run("dead-letters", "list", "dead.jsonl").code == 0, "an empty file of letters is one, too"
    nobody = cli.run("dead-letters", "list", "t.toml")
    assert nobody.code == 2
    assert "name a pipeline of the TOML file" in nobody.err


def test_a_file_of_letters_that_is_not_there_is_named(cli: Cli) -> None:
    ended = cli.run("dead-letters", "list", "search.dead.jsonl")
    assert (ended.code, ended.err.splitlines()[0]) == (2, "tailrace: there is no file search.dead.jsonl")
