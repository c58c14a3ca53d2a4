"""Ctrl-C while Python still imports: the end of the process, without a traceback."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Cli

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
