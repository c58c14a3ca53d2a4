"""Every checkpoint of ours, against the suite that we ship."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from tailrace.checkpoint import File, Memory, SQLite
from tailrace.contract import Checkpoint, Positions
from tailrace.testing.checkpoint import check_checkpoint


class PerPipeline:
    """A `File` for each pipeline: one file holds one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, name: str) -> Positions:
        return File(self._folder / name).open(name)


@pytest.mark.parametrize("kind", ["file", "sqlite", "memory"])
def test_i16_a_checkpoint_keeps_its_promises(tmp_path: Path, kind: str) -> None:
    memory = Memory()
    make: dict[str, Callable[[], Checkpoint]] = {
        "file": lambda: PerPipeline(tmp_path),
        "sqlite": lambda: SQLite(tmp_path / "positions.db"),
        "memory": lambda: memory,
    }
    check_checkpoint(make[kind])


def test_the_suite_names_a_broken_promise(tmp_path: Path) -> None:
    places = itertools.count()
    with pytest.raises(AssertionError, match="remembers a claim without a position over a restart"):
        check_checkpoint(lambda: SQLite(tmp_path / f"{next(places)}.db"))
