"""What must be on the disk before what: a kill keeps what the kernel holds, so only the order of calls shows this."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from tailrace import durable
from tailrace.checkpoint import File as Checkpoint
from tailrace.checkpoint import SQLite
from tailrace.dead_letters import File as DeadLetters
from tailrace.dead_letters import request
from tailrace.dead_letters.journal import read_all, scan
from tailrace.error import ConfigError, Fatal
from tailrace.model import Limits, Position
from tailrace.sink import DuckDB, File
from tests.unit.sink.feed import LINEAGE, Feed

Step = tuple[str, str]
"""A call to the kernel, and the name of the file that it is about."""


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Step]]:
    """The calls that matter, as they are made."""
    made: list[Step] = []

    def by_descriptor(name: str, real: Callable[..., Any], descriptor: int, *rest: Any) -> Any:
        made.append((name, Path(f"/proc/self/fd/{descriptor}").readlink().name))
        return real(descriptor, *rest)

    def by_path(name: str, real: Callable[..., Any], old: Any, new: Any, **options: Any) -> Any:
        made.append((name, Path(new).name))
        return real(old, new, **options)

    for call, name in {"write": "write", "pwrite": "write", "fsync": "sync", "fdatasync": "sync"}.items():
        monkeypatch.setattr(os, call, partial(by_descriptor, name, getattr(os, call)))
    for call in ("replace", "rename"):
        monkeypatch.setattr(os, call, partial(by_path, "name", getattr(os, call)))
    yield made


def of(steps: list[Step], *files: str) -> list[Step]:
    """The steps that are about these files, runs of the same one once."""
    about = [step for step in steps if step[1] in files]
    return [step for index, step in enumerate(about) if index == 0 or about[index - 1] != step]


def replaced(name: str, folder: Path) -> list[Step]:
    """How a file is replaced: its content, then its name, then the folder's entry."""
    return [("write", f"{name}.new"), ("sync", f"{name}.new"), ("name", name), ("sync", folder.name)]


def test_a_file_is_replaced_when_its_content_is_on_the_disk(tmp_path: Path, steps: list[Step]) -> None:
    durable.replace(tmp_path / "x", b"content")
    assert steps == replaced("x", tmp_path)


def test_a_checkpoint_is_on_the_disk_when_it_says_so(tmp_path: Path, steps: list[Step]) -> None:
    positions = Checkpoint(tmp_path / "p").open("p")
    positions.claim("l")
    steps.clear()
    positions.save([Position("l", "1")])
    assert of(steps, "p", "p.new", tmp_path.name) == replaced("p", tmp_path)
    positions.close()


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_i1_the_sidecar_follows_when_the_data_is_on_the_disk(
    tmp_path: Path, steps: list[Step], compression: str
) -> None:
    feed = Feed()
    writer = File(tmp_path / "orders.jsonl", compression=compression).open("shop", Limits())
    writer.claim(LINEAGE)
    steps.clear()
    writer.write(feed.insert(1))
    data, *_ = {name for call, name in steps if call == "write" and "position" not in name}
    sidecar = "orders.jsonl.position"
    written = [("write", data), ("sync", data)]
    assert of(steps, data, sidecar, f"{sidecar}.new", tmp_path.name) == written + replaced(sidecar, tmp_path)
    writer.close()


def test_what_a_snapshot_has_rotated_has_its_last_name_on_the_disk_when_it_is_complete(
    tmp_path: Path, steps: list[Step]
) -> None:
    feed = Feed()
    writer = File(tmp_path / "orders.jsonl", rotate_bytes=1).open("shop", Limits())
    writer.claim(LINEAGE)
    writer.write(feed.snapshot("a", 1, begin=True))
    writer.write(feed.snapshot("a", 2, end=True))
    steps.clear()
    writer.write(feed.progress())
    rotated = sorted((path.name for path in tmp_path.glob("orders.2*.jsonl")), key=lambda name: name.split(".")[2])
    assert len(rotated) == 2
    assert steps[-3:] == [*(("name", name) for name in rotated), ("sync", tmp_path.name)]
    writer.close()


def test_a_folder_is_on_the_disk_with_its_parents(tmp_path: Path, steps: list[Step]) -> None:
    durable.make_folder(tmp_path / "state" / "orders")
    assert sorted(steps) == sorted([("sync", tmp_path.name), ("sync", "state")])
    steps.clear()
    durable.make_folder(tmp_path / "state" / "orders")
    assert not steps


def test_what_was_done_with_dead_letters_is_not_asked_again(tmp_path: Path, steps: list[Step]) -> None:
    asked = request.submit(tmp_path / "dead.jsonl", request.Action.DROP, None)
    steps.clear()
    asked.done()
    assert steps == [("sync", "dead.jsonl.requests")]


def test_i14_a_dead_letter_is_on_the_disk_when_it_is_parked(tmp_path: Path, steps: list[Step]) -> None:
    letters = DeadLetters(tmp_path / "dead.jsonl").open("p", Limits())
    assert ("sync", tmp_path.name) in steps, "the file itself is there after a crash"
    steps.clear()
    letters.park(Feed().insert(1), {0: "refused"})
    assert steps == [("write", "dead.jsonl"), ("sync", "dead.jsonl")]
    letters.close()


def _become_nobody() -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)


def test_a_folder_that_this_user_may_not_enter_is_named(tmp_path: Path) -> None:
    """As a state folder of another user's: to ask whether the file in it is there is an error by itself."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "x").touch()
    tmp_path.chmod(0)  # for one who is not root
    try:
        with ProcessPoolExecutor(1, get_context("spawn"), _become_nobody) as stranger:
            found = stranger.submit(durable.obstacles, folder / "x").result(60)
            assert [finding.message for finding in found] == ["this user may not write here"]
            with pytest.raises(Fatal, match=f"cannot read {folder / 'x'}: Permission denied"):
                stranger.submit(read_all, folder / "x").result(60)
            with pytest.raises(Fatal, match=f"cannot read {folder / 'x'}: Permission denied"):
                stranger.submit(scan, folder / "x").result(60)
    finally:
        tmp_path.chmod(0o700)


def test_the_root_is_no_file_that_could_be_written() -> None:
    """It has no parent to look at: `tailrace check` and `status` ended as if that were a bug."""
    assert "it is not a regular file" in [finding.message for finding in durable.obstacles(Path("/"))]


@pytest.mark.parametrize("kept", [File, DuckDB, Checkpoint, SQLite, DeadLetters])
@pytest.mark.parametrize("path", [".", "..", "/", Path()])
def test_a_path_that_can_be_no_files_is_refused_at_once(kept: Callable[[Path | str], object], path: Path | str) -> None:
    """Nothing can be named beside it: `check` and `run` ended as if that were a bug."""
    with pytest.raises(ConfigError, match="that is a folder"):
        kept(path)
