"""What a person at a terminal gets: questions that can be answered, and logs to read."""

import json
from pathlib import Path

import psycopg
import pytest

from tests.cli.conftest import Cli

QUESTION = "Forget the position of pipeline orders and start again with a snapshot? [y/N] "
REMOVE = "Remove what pipeline orders made on its source, and its position? [y/N] "


def positions(cli: Cli) -> object:
    [told] = json.loads(cli.run("status", "t.toml", "--json").out)
    return told["positions"]


def is_json(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def test_reset_asks_and_does_only_what_was_answered(cli: Cli, config: Path) -> None:
    assert cli.run("run", "t.toml", "--until-current").code == 0
    kept = positions(cli)
    assert kept
    for answer in ("", "n"):
        with cli.terminal("reset", "t.toml", "orders") as shown:
            shown.await_text(QUESTION)
            shown.type(f"{answer}\n")
            assert shown.end() == 2
            assert "nothing was changed" in shown.shown
    assert positions(cli) == kept
    with cli.terminal("reset", "t.toml", "orders") as shown:
        shown.await_text(QUESTION)
        shown.type("y\n")
        assert shown.end() == 0, shown.shown
    assert positions(cli) == {}


def test_drop_asks_and_does_only_what_was_answered(cli: Cli, config: Path, shop: str) -> None:
    assert cli.run("run", "t.toml", "--until-current").code == 0

    def made() -> object:
        slots = "select count(*) from pg_replication_slots where database = current_database()"
        with psycopg.connect(shop) as session:
            return session.execute(f"select (select count(*) from pg_publication), ({slots})").fetchone()

    kept = positions(cli)
    assert kept and made() == (1, 1)
    unasked = cli.run("drop", "t.toml", "orders")
    assert unasked.code == 2 and "--yes" in unasked.err
    for answer in ("", "n"):
        with cli.terminal("drop", "t.toml", "orders") as shown:
            shown.await_text(REMOVE)
            shown.type(f"{answer}\n")
            assert shown.end() == 2
            assert "nothing was changed" in shown.shown
    assert positions(cli) == kept and made() == (1, 1)
    with cli.terminal("drop", "t.toml", "orders") as shown:
        shown.await_text(REMOVE)
        shown.type("y\n")
        assert shown.end() == 0, shown.shown
    assert positions(cli) == {} and made() == (0, 0)


def test_logs_are_text_on_a_terminal_and_json_lines_otherwise(cli: Cli, config: Path) -> None:
    with cli.terminal("run", "t.toml", "--until-current") as shown:
        assert shown.end() == 0, shown.shown
        read = shown.shown.splitlines()
    assert read and not any(map(is_json, read)), read
    with cli.terminal("run", "t.toml", "--until-current", "--log-format", "json") as shown:
        assert shown.end() == 0, shown.shown
        read = shown.shown.splitlines()
    assert read and all(map(is_json, read)), read
    piped = cli.run("run", "t.toml", "--until-current").err.splitlines()
    assert piped and all(map(is_json, piped)), piped
    text = cli.run("run", "t.toml", "--until-current", "--log-format", "text").err.splitlines()
    assert text and not any(map(is_json, text)), text
    assert not any("\x1b" in line for line in text), "colours are for terminals"


@pytest.mark.parametrize(("level", "told"), [("info", {"info"}), ("warning", set())])
def test_the_log_level_is_the_least_that_is_told(cli: Cli, config: Path, level: str, told: set[str]) -> None:
    ended = cli.run("run", "t.toml", "--until-current", "--log-level", level)
    assert ended.code == 0, ended.err
    assert {json.loads(line)["level"] for line in ended.err.splitlines()} == told


def test_a_format_of_the_log_leaves_its_level_as_the_help_says(cli: Cli) -> None:
    """The help said info of every command; and info it was where a format was given, else a warning at least."""
    for command, level in (("run", "info"), ("adopt", "info"), ("tail", "warning"), ("check", "warning")):
        told = " ".join(cli.run(command, "--help", COLUMNS="200").out.split())
        assert f"How much to log on stderr. [choices: debug, info, warning, error] [default: {level}]" in told
    ended = cli.run("tail", "postgresql://u@127.0.0.1:1/shop", "--log-format", "text")
    assert ended.code == 75, ended.err
    assert [line.partition(": ")[0] for line in ended.err.splitlines()] == ["tailrace", "  hint"]
