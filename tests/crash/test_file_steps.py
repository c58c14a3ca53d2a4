"""The file sink, killed before each of its system calls in turn: whatever lies there, the next life goes on from it."""

import json
import os
import shutil
import signal
import tempfile
import traceback
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from tailrace.model import Batch, Limits, Position
from tailrace.sink import File
from tests.unit.sink.feed import LINEAGE, Feed

STEPS = ("open", "pwrite", "write", "fdatasync", "fsync", "ftruncate", "rename", "replace", "unlink")
LIVES_MAX = 1_000


def source(saved: Position | None, attempt: str) -> Iterator[Batch]:
    """Two inserts, a snapshot of three parts, what follows; a snapshot that was not complete begins anew."""
    feed = Feed()
    before = [feed.insert(1), feed.insert(2)]
    parts = [
        feed.snapshot(attempt, 10, 11, begin=True),
        feed.snapshot(attempt, 12),
        feed.snapshot(attempt, 13, end=True),
    ]
    after = [feed.progress(), feed.insert(20), feed.insert(21), feed.progress()]
    complete = saved is not None and saved >= after[0].positions[0]
    for batch in (*before, *after):
        if batch is after[0] and not complete:
            yield from parts
        if saved is None or batch.positions[0] > saved:
            yield batch


def live(
    path: Path, attempt: str, *, rotate_bytes: int | None, steps: int = LIVES_MAX * 10, batches: int | None = None
) -> bool:
    """One life in a process of its own, killed before the call number `steps`, or that ends after so many `batches`;
    whether it came to its end."""
    child = os.fork()
    if child == 0:
        try:
            _die_before(steps)
            writer = File(path, rotate_bytes=rotate_bytes).open("shop", Limits())
            for batch in islice(source(writer.claim(LINEAGE), attempt), batches):
                writer.write(batch)
            writer.close()
        except BaseException:  # noqa: BLE001 - or it would go on as a second pytest
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return False
    assert os.waitstatus_to_exitcode(status) == 0
    return True


def _die_before(steps: int) -> None:
    """Count the calls that change what lies on the disk, and die before one of them."""
    left = steps

    def counted(call):  # type: ignore[no-untyped-def]
        def run(*arguments, **options):  # type: ignore[no-untyped-def]
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        return run

    for name in STEPS:
        setattr(os, name, counted(getattr(os, name)))


def keys(path: Path) -> list[int]:
    rotated = sorted(path.parent.glob("orders.2*.jsonl"), key=lambda file: file.name.split(".")[2])
    content = b"".join(file.read_bytes() for file in (*rotated, path))
    return [json.loads(line)["key"]["id"] for line in content.splitlines()]


def assert_whole(path: Path, step: int) -> None:
    assert keys(path) == [1, 2, 10, 11, 12, 13, 20, 21], f"after a kill before step {step}"
    assert not list(path.parent.glob("*.partial"))


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory, if possible: a killed process loses nothing there either, and thousands of fsyncs are free."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as made:
        yield Path(made)


@pytest.mark.parametrize("rotate_bytes", [None, 1, 700])
def test_a_kill_before_any_system_call_loses_and_doubles_nothing(folder: Path, rotate_bytes: int | None) -> None:
    for step in range(1, LIVES_MAX):
        path = folder / str(step) / "orders.jsonl"
        path.parent.mkdir()
        done = live(path, "a", rotate_bytes=rotate_bytes, steps=step)
        if not done:
            # The second life is killed too, somewhere in its recovery; the third may finish.
            live(path, "b", rotate_bytes=rotate_bytes, steps=1 + step % 11)
            assert live(path, "c", rotate_bytes=rotate_bytes)
        assert_whole(path, step)
        if done:
            break
    assert step > 20


@pytest.mark.parametrize("rotate_bytes", [None, 1, 700])
def test_i15_a_kill_before_any_system_call_of_a_snapshots_second_attempt_leaves_no_line_of_the_first(
    folder: Path, rotate_bytes: int | None
) -> None:
    """The files are cut back to where the first began, each step of which may be the last of a life."""
    first = folder / "first" / "orders.jsonl"
    first.parent.mkdir()
    assert live(first, "a", rotate_bytes=rotate_bytes, batches=4)
    assert any(first.parent.glob("*.partial")) == (rotate_bytes is not None), "files of the first are rotated already"
    for step in range(1, LIVES_MAX):
        path = folder / str(step) / "orders.jsonl"
        shutil.copytree(first.parent, path.parent)
        done = live(path, "b", rotate_bytes=rotate_bytes, steps=step)
        if not done:
            assert live(path, "c", rotate_bytes=rotate_bytes)
        assert_whole(path, step)
        if done:
            break
    assert step > 60
