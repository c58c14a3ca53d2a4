"""Sources, transforms and checkpoints that somebody else wrote, and that their entry points make known."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest

from tests.cli.conftest import Cli

MODULE = '''
import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tailrace.checkpoint.file import File
from tailrace.source.postgres import Postgres
from tailrace.transform import Select

tailrace_contract = 1


@dataclass(frozen=True)
class Well(Postgres):
    """The source of a shop that it finds by itself."""

    kind: ClassVar[str] = "well"


@dataclass(frozen=True)
class Sieve:
    """Leaves out all but one operation."""

    op: str
    kind: ClassVar[str] = "sieve"

    def __call__(self, batch):
        return Select(ops=self.op)(batch)


@dataclass(frozen=True)
class Notes:
    """Positions in a file beside which it notes each opening."""

    path: Path
    kind: ClassVar[str] = "notes"

    def open(self, name):
        with self.path.open("a") as notes:
            notes.write(name + "\\n")
        return File(self.path.with_suffix(".positions")).open(name)
'''
ENTRY_POINTS = {
    "tailrace.sources": "well = plugs:Well",
    "tailrace.transforms": "sieve = plugs:Sieve",
    "tailrace.checkpoints": "notes = plugs:Notes",
}


@pytest.fixture
def plugged(cli: Cli, shop: str) -> Path:
    """A pipeline of plug-ins into stdout."""
    (cli.folder / "plugs.py").write_text(MODULE)
    info = cli.folder / "plugs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("".join(f"[{group}]\n{of}\n" for group, of in ENTRY_POINTS.items()))
    slot = "plugs_" + shop.rsplit("/", 1)[1]
    path = cli.folder / "t.toml"
    path.write_text(
        f"""
[pipeline.orders]
sink = {{ kind = "stdout" }}
source = {{ kind = "well", url = "{shop}", tables = ["public.orders"], slot = "{slot}", publication = "{slot}" }}
checkpoint = {{ kind = "notes", path = "notes.txt" }}
transform = [{{ kind = "sieve", op = "cr" }}]
"""
    )
    return path


def ops(cli: Cli) -> list[tuple[str, int]]:
    """What a run writes: operation and id of each event."""
    ended = cli.run("run", "t.toml", "--until-current")
    assert ended.code == 0, ended.err
    values = [json.loads(line)["value"] for line in ended.out.splitlines()]
    return [(value["op"], (value["after"] or value["before"])["id"]) for value in values if value]


def test_a_source_a_transform_and_a_checkpoint_of_somebody_else_make_a_pipeline(
    cli: Cli, shop: str, plugged: Path
) -> None:
    assert ops(cli) == [("r", 1), ("r", 2), ("r", 3)]
    with psycopg.connect(shop, autocommit=True) as connection:
        connection.execute("update orders set note = 'new' where id = 1")
        connection.execute("delete from orders where id = 2")
        connection.execute("insert into orders values (4)")
    assert ops(cli) == [("c", 4)], "the checkpoint has the position, the transform leaves the others out"
    assert (cli.folder / "notes.txt").read_text().split() == ["orders", "orders"]


@pytest.mark.parametrize("group", ENTRY_POINTS)
def test_one_that_was_written_for_another_contract_is_refused_by_its_name(cli: Cli, plugged: Path, group: str) -> None:
    (cli.folder / "old.py").write_text(MODULE.replace("tailrace_contract = 1", "tailrace_contract = 0"))
    points = cli.folder / "plugs-1.0.dist-info" / "entry_points.txt"
    entry = ENTRY_POINTS[group]
    points.write_text(points.read_text().replace(entry, entry.replace("plugs:", "old:")))
    ended = cli.run("run", "t.toml", "--until-current")
    kind, _, target = entry.partition(" = ")
    word = group.removeprefix("tailrace.").removesuffix("s")
    assert ended.code == 2
    assert f"{word} '{kind}' ({target.replace('plugs:', 'old:')}) was written for contract 0, this is 1" in ended.err
    assert "Traceback" not in ended.err
