"""Ctrl-C while Python still imports: the end of the process, without a traceback. What exit codes say of it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading

import pytest

from tailrace.cli.interrupt import leave_at_once
from tailrace.cli.run import Signals
from tailrace.error import ConfigError, HistoryLost, Retryable, TailraceError
from tests.cli.conftest import Cli
from tests.waiting import until

MOMENT = """
import os, signal, sys


class Moment:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["AT_IMPORT_OF"]:
            os.kill(os.getpid(), signal.SIGINT)


sys.meta_path.insert(0, Moment())
"""


@pytest.mark.parametrize(
    "module", ["cyclopts", "tailrace.cli.command", "tailrace._native", "structlog", "tailrace.cli.check", "msgspec"]
)
def test_an_interrupt_while_python_imports_ends_without_a_word(cli: Cli, module: str) -> None:
    (cli.folder / "sitecustomize.py").write_text(MOMENT)  # where Cli has Python look first
    ended = cli.run("check", "missing.toml", AT_IMPORT_OF=module)
    assert (ended.code, ended.out, ended.err) == (130, "", "")


def test_an_interrupt_that_is_ignored_stays_so(cli: Cli) -> None:
    """As that of a job which a shell script has put into the background."""
    (cli.folder / "sitecustomize.py").write_text(f"{MOMENT}\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n")
    ended = cli.run("version", AT_IMPORT_OF="cyclopts")
    assert ended.code == 0, ended.err
    assert ended.out.startswith("tailrace ")


def test_a_command_runs_on_any_thread_of_a_program_and_leaves_its_handlers_alone(cli: Cli) -> None:
    """Those that hear of signals failed off the main thread, where Python lets nobody: unexpected ValueError."""
    (cli.folder / "folder").mkdir()
    url = "postgresql://u@127.0.0.1:1/shop"
    (cli.folder / "t.toml").write_text(
        f'[pipeline.taken]\nsource = "{url}"\nsink = "file:folder"\n'
        f'[pipeline.never_run]\nsource = "{url}"\nsink = "duckdb:shop.duckdb"\n'
        f'[pipeline.copy]\nsource = "{url}"\nsink = "{url}"\n'
    )
    commands = [
        (["version"], 0, "tailrace "),
        (["run", "t.toml", "taken", "--log-format", "text"], 1, "only to files of its own"),
        (["verify", "t.toml", "never_run"], 2, "has not run yet"),
        (["cutover", "t.toml", "copy"], 75, "cannot connect"),
        (["tail", url], 75, "cannot connect"),
    ]
    program = """
import json, signal, sys, threading
from tailrace.cli import main

NUMBERS = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
before = [signal.getsignal(number) for number in NUMBERS]
codes = []
thread = threading.Thread(target=lambda: codes.extend(main(command) for command in json.loads(sys.argv[1])))
thread.start()
thread.join()
codes.append(main(["version"]))
assert [signal.getsignal(number) for number in NUMBERS] == before
print(codes)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps([command for command, _, _ in commands])],
        env=dict(cli.environ),
        cwd=cli.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    codes = [*(code for _, code, _ in commands), 0]
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, [str(codes)]), done.stderr
    assert all(told in done.stdout + done.stderr for _, _, told in commands), done.stderr


def test_a_handler_that_is_not_pythons_is_not_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can: Python says None of it."""
    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patched:
        patched.setattr(signal, "getsignal", lambda number: None)
        restore = leave_at_once()
    try:
        assert signal.getsignal(signal.SIGINT) is not before
        restore()
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("error", "code"), [(Retryable("it was stopped"), 130), (HistoryLost("gone"), 4), (ConfigError("wrong"), 2)]
)
def test_a_stop_takes_no_word_from_an_error_that_a_human_must_hear_of(error: TailraceError, code: int) -> None:
    stopped = threading.Event()
    with Signals(stopped.set) as signals:
        assert signals.code_of(error) == error.exit_code
        signal.raise_signal(signal.SIGINT)
        until(stopped.is_set, "for the signal to be heard")
        assert signals.code_of(error) == code
