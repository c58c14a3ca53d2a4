"""Standard output that is closed or full: one clear message, and nothing lands in a file that took its place."""

import shlex
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.cli.conftest import TIMEOUT_S, Cli, Ended

CLOSED = "standard output is closed"
FULL = "cannot write to standard output: No space left on device"


def shell(cli: Cli, redirection: str, *arguments: str) -> Ended:
    """`tailrace …` as a shell runs it with this redirection."""
    command = f"{shlex.join([sys.executable, '-m', 'tailrace', *arguments])} {redirection}"
    ended = subprocess.run(
        ["bash", "-c", command],
        cwd=cli.folder, env=dict(cli.environ), stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    return Ended(ended.returncode, ended.stdout, ended.stderr)


@pytest.mark.parametrize("form", ["pretty", "debezium"])
@pytest.mark.parametrize(("redirection", "told", "code"), [(">&-", CLOSED, 1), (">/dev/full", FULL, 75)])
def test_tail_says_what_is_wrong_with_standard_output(
    cli: Cli, shop: str, form: str, redirection: str, told: str, code: int
) -> None:
    ended = shell(cli, redirection, "tail", shop, "--snapshot", "--until-current", "--format", form)
    assert (ended.code, ended.err.splitlines()[0]) == (code, f"tailrace: {told}")
    assert len(ended.err.splitlines()) == 2, "a hint, and no more"


@pytest.mark.parametrize("arguments", [["status", "t.toml"], ["version"], ["check", "t.toml", "--json"]])
@pytest.mark.parametrize(("redirection", "told", "code"), [(">&-", CLOSED, 1), (">/dev/full", FULL, 75)])
def test_a_command_that_cannot_print_says_so(
    cli: Cli, config: Path, arguments: list[str], redirection: str, told: str, code: int
) -> None:
    ended = shell(cli, redirection, *arguments)
    assert (ended.code, ended.err.splitlines()[0]) == (code, f"tailrace: {told}")
    assert len(ended.err.splitlines()) == 2, ended.err


def test_more_than_python_buffers_is_told_of_in_the_same_words(cli: Cli, config: Path) -> None:
    many = "".join(f'[pipeline.p{n}]\nsource = "postgresql://127.0.0.1:1/x"\nsink = "stdout:"\n' for n in range(200))
    config.write_text(many)
    ended = shell(cli, ">/dev/full", "status", "t.toml")
    assert (ended.code, ended.err.splitlines()[0]) == (75, f"tailrace: {FULL}")


@pytest.mark.parametrize("closed", [">&-", "<&- >&-"])
def test_run_needs_standard_output_for_nothing_but_its_sink(cli: Cli, config: Path, closed: str) -> None:
    ended = shell(cli, closed, "run", "t.toml", "--until-current")
    assert ended.code == 0, ended.err
    assert len((cli.folder / "out.jsonl").read_text().splitlines()) == 3
    config.write_text(config.read_text().replace("file:out.jsonl", "stdout:"))
    refused = shell(cli, closed, "run", "t.toml", "--until-current", "--log-format", "text")
    assert (refused.code, CLOSED in refused.err) == (1, True), refused.err
    assert CLOSED in shell(cli, closed, "check", "t.toml", "--log-format", "text").err


def test_no_file_gets_what_was_for_a_standard_output_that_is_closed(cli: Cli, config: Path) -> None:
    config.write_text(config.read_text().replace("file:out.jsonl", "stdout:"))
    assert shell(cli, ">&-", "run", "t.toml", "--until-current").code == 1
    kept = [path for path in (cli.folder / ".tailrace").iterdir() if path.is_file()]
    assert kept and not [path for path in kept if b'"topic"' in path.read_bytes()]


def test_run_says_that_the_reader_of_its_sink_is_gone(cli: Cli, config: Path, shop: str) -> None:
    with psycopg.connect(shop, autocommit=True) as connection:
        connection.execute("insert into orders select i, repeat('x', 1000) from generate_series(10, 2000) i")
    config.write_text(config.read_text().replace("file:out.jsonl", "stdout:"))
    ended = shell(cli, "| head -n 1; exit ${PIPESTATUS[0]}", "run", "t.toml", "--log-format", "text")
    assert ended.code == 1, "nobody has asked it to stop"
    assert len(ended.out.splitlines()) == 1
    assert "tailrace: orders: the reader of standard output is gone" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["version"], ["dead-letters"], ["status", "t.toml"]]
)
def test_a_reader_that_is_gone_is_a_quiet_end_of_what_only_prints(cli: Cli, config: Path, arguments: list[str]) -> None:
    """It was 1 for every help, which is printed by a library that ends the process so."""
    ended = shell(cli, "| sleep 0; exit ${PIPESTATUS[0]}", *arguments)
    assert (ended.code, ended.err) == (0, "")


@pytest.mark.parametrize("arguments", [["run", "missing.toml"], ["rnu"], ["status", "t.toml", "missing"]])
@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-", "2> >(sleep 0)"])
def test_an_error_that_nobody_can_be_told_keeps_its_code(
    cli: Cli, config: Path, arguments: list[str], redirection: str
) -> None:
    ended = shell(cli, redirection, *arguments)
    assert (ended.code, ended.out) == (2, ""), "and is not taken for data"


def test_run_without_standard_error_does_its_work(cli: Cli, config: Path) -> None:
    ended = shell(cli, "2>&-", "run", "t.toml", "--until-current")
    assert (ended.code, ended.out) == (0, "")
    assert len((cli.folder / "out.jsonl").read_text().splitlines()) == 3
