"""What a machine lacks is never passed over in silence: CI fails, and elsewhere the last line counts it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from servers.artifact import Unavailable
from tests.tidy import tree
from tests.wanting import lacking, or_skip


def absent() -> None:
    raise Unavailable("there is no such server")


def run(folder: Path, *plugins: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The tests of a folder, run by a pytest of their own with these plugins of ours."""
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", "--rootdir", str(folder)]
    return subprocess.run(
        [*command, *(word for plugin in plugins for word in ("-p", plugin)), str(folder)],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(tree.ROOT), **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_nothing_is_skipped_past_this() -> None:
    past = re.compile(r"mark\.skip|importorskip|pytest\.skip\(|pytest\.xfail|mark\.xfail")
    own = {tree.ROOT / "tests" / "wanting.py", Path(__file__)}
    found = [tree.shown(path) for path in tree.files(".py") if path not in own and past.search(path.read_text())]
    assert not found


@pytest.mark.parametrize("ci", ["", "false"])
def test_elsewhere_a_lack_is_a_skip_that_says_what_is_lacking(monkeypatch: pytest.MonkeyPatch, ci: str) -> None:
    monkeypatch.setenv("CI", ci)
    for lack in (lambda: or_skip(absent), lambda: lacking("there is no such server", fails=False)):
        with pytest.raises(pytest.skip.Exception, match="not on this machine: there is no such server"):
            lack()


def test_in_ci_a_lack_is_a_failure_except_what_its_machine_is_known_to_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    for lack in (lambda: or_skip(absent), lambda: lacking("there is no such server")):
        with pytest.raises(pytest.fail.Exception, match="not on this machine: there is no such server"):
            lack()
    with pytest.raises(pytest.skip.Exception, match="not on this machine: Python 4"):
        lacking("Python 4", fails=False)


def test_what_there_is_is_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    assert or_skip(lambda: 7) == 7


@pytest.mark.parametrize(("ci", "outcome"), [("false", "2 skipped"), ("true", "1 failed, 1 skipped")])
def test_the_summary_counts_what_did_not_run(tmp_path: Path, ci: str, outcome: str) -> None:
    (tmp_path / "test_lack.py").write_text(
        "from tests.wanting import lacking\n"
        "def test_a(): lacking('a server')\n"
        "def test_b(): lacking('another', fails=False)\n"
    )
    ended = run(tmp_path, "tests.conftest", CI=ci)
    assert outcome in ended.stdout.splitlines()[-1], ended.stdout + ended.stderr
    count = 2 if ci == "false" else 1
    assert f"{count} tests did not run for want of what this machine lacks" in ended.stdout


def test_a_fault_that_cannot_be_made_is_a_skip_and_one_that_nobody_judged_a_failure(tmp_path: Path) -> None:
    (tmp_path / "test_fault.py").write_text(
        "from tests.fault.row import End, fault\n"
        "from tests.wanting import lacking\n"
        "@fault('a disk', 'breaks', End(1, 'x', 'y'))\n"
        "def test_a(make_pipe): lacking('another disk')\n"
        "@fault('a disk', 'breaks', End(1, 'x', 'y'))\n"
        "def test_b(make_pipe): pass\n"
    )
    ended = run(tmp_path, "tests.fault.conftest", CI="false")
    assert "1 failed, 1 skipped" in ended.stdout.splitlines()[-1], ended.stdout + ended.stderr
    assert "no pipeline was held against the declared end" in ended.stdout
