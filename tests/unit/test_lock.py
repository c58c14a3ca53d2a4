"""Who holds a lock once its process has forked others off, as a handler does that has a pool of processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tailrace.durable import Lock
from tailrace.error import Retryable

FORKING = """
import os, sys
from pathlib import Path
from tailrace.durable import Lock

lock = Lock(Path(sys.argv[1]), "the pipeline")
if os.fork() == 0:
    os.write(1, b"forked\\n")
    os.read(0, 1)  # as a worker waits for work
    os._exit(0)
os.waitpid(-1, 0)
print("ended", flush=True)
os.read(0, 1)
"""


@contextmanager
def _forked(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-c", FORKING, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == b"forked\n"
        yield process


def test_what_a_killed_process_has_forked_off_holds_no_lock(tmp_path: Path) -> None:
    with _forked(tmp_path / "lock") as process:
        process.kill()
        process.wait(30)
        Lock(tmp_path / "lock", "the pipeline").close()


def test_a_process_that_was_forked_off_lets_go_of_nothing_of_its_parents(tmp_path: Path) -> None:
    with _forked(tmp_path / "lock") as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b"!")
        process.stdin.flush()
        assert process.stdout.readline() == b"ended\n"
        with pytest.raises(Retryable, match=f"the pipeline is in use by process {process.pid}"):
            Lock(tmp_path / "lock", "the pipeline")
