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
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    environment = {**os.environ, "CI": ci, "PYTHONPATH": str(tree.ROOT)}
    ended = subprocess.run(
        [*command, "--rootdir", str(tmp_path), str(tmp_path)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert outcome in ended.stdout.splitlines()[-1], ended.stdout + ended.stderr
    count = 2 if ci == "false" else 1
    assert f"{count} tests did not run for want of what this machine lacks" in ended.stdout
