"""A server that takes connections and says nothing, and a lock that nobody lifts: Ctrl-C ends commands all the same.

Connecting may take ten minutes here, so that a command that waits for it does not end within a test's patience.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from tests.cli.conftest import Cli
from tests.waiting import TIMEOUT_S, until


class Silent:
    """Listens, and keeps every connection; of more than `kept` the oldest is closed."""

    def __init__(self, kept: int) -> None:
        self.seen = 0
        self._kept = kept
        self._held: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = (
            f"postgresql://u@127.0.0.1:{self._listener.getsockname()[1]}/shop"
            "?sslmode=disable&gssencmode=disable&connect_timeout=600"
        )
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(TIMEOUT_S)
        self._listener.close()
        for held in self._held:
            held.close()

    def _accept(self) -> None:
        while True:
            try:
                connected, _ = self._listener.accept()
            except OSError:  # closed
                return
            with suppress(OSError):
                connected.recv(1)  # it has begun to log in, and waits
            self._held.append(connected)
            self.seen += 1
            if len(self._held) > self._kept:
                self._held.pop(0).close()


@contextmanager
def silent(kept: int = 1000) -> Iterator[Silent]:
    with closing(Silent(kept)) as server:
        yield server


def interrupted(process: subprocess.Popen[str]) -> tuple[int, str]:
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=TIMEOUT_S)
    return process.returncode, err


@pytest.mark.parametrize(
    "arguments",
    [
        ("status", "t.toml"),
        ("status", "t.toml", "--watch"),
        ("check", "t.toml"),
        ("reset", "t.toml", "hung", "--yes"),
        ("drop", "t.toml", "hung", "--yes"),
        ("adopt", "t.toml", "hung", "--yes"),
    ],
    ids=" ".join,
)
def test_an_interrupt_ends_what_waits_for_a_silent_server_without_a_word(cli: Cli, arguments: tuple[str, ...]) -> None:
    with silent() as server:
        (cli.folder / "t.toml").write_text(f'[pipeline.hung]\nsource = "{server.url}"\nsink = "{server.url}"\n')
        process = cli.start(*arguments)
        until(lambda: server.seen, "for the command to connect")
        assert interrupted(process) == (130, "")


@pytest.mark.parametrize("command", ["verify", "cutover"])
def test_an_interrupt_ends_what_compares_with_a_silent_server(cli: Cli, command: str) -> None:
    with silent() as server:
        (cli.folder / "t.toml").write_text(f'[pipeline.hung]\nsource = "{server.url}"\nsink = "{server.url}"\n')
        process = cli.start(command, "t.toml", "hung")
        until(lambda: server.seen, "for the command to connect")
        code, err = interrupted(process)
    told = "tailrace: hung: stopped while the source or the target did not answer"
    assert (code, err.splitlines()[0]) == (130, told), err
    assert len(err.splitlines()) == 2, "a hint, and no more"


def test_an_interrupt_ends_a_tail_of_a_silent_server_without_a_word(cli: Cli) -> None:
    with silent() as server:
        process = cli.start("tail", server.url)
        until(lambda: server.seen, "for the command to connect")
        assert interrupted(process) == (130, "")


@pytest.fixture
def replica(cli: Cli, config: Path) -> Path:
    """The pipeline `orders`, into a DuckDB file that holds the three orders."""
    config.write_text(config.read_text().replace('"file:out.jsonl"', '"duckdb:shop.duckdb"'))
    assert cli.run("run", config.name, "--until-current").code == 0
    return config


def test_an_interrupt_ends_a_comparison_that_waits_for_a_lock(cli: Cli, replica: Path, shop: str) -> None:
    with psycopg.connect(shop) as holder, psycopg.connect(shop, autocommit=True) as watcher:
        holder.execute("lock table orders in access exclusive mode")
        process = cli.start("verify", replica.name, "orders")
        waits = "select count(*) > 0 from pg_locks where relation = 'orders'::regclass and not granted"
        until(lambda: watcher.execute(waits).fetchone() == (True,), "for a session to wait")
        code, err = interrupted(process)
        holder.rollback()
    assert code == 130, err
    assert "Traceback" not in err and "leaked" not in err


def test_verify_ends_with_its_code_where_a_reader_does_not_come_back(cli: Cli, replica: Path, shop: str) -> None:
    """The exit was in order then, with the reader's thread still there, and DuckDB printed a page about functions that
    leak. Of two connections, the pipeline's and the comparison's, the older one is closed; in the end the latter's."""
    with silent(kept=1) as server:
        replica.write_text(replica.read_text().replace(shop, server.url))
        ended = cli.run("verify", replica.name, "orders")
    assert ended.code == 75, ended.err
    assert any(line.startswith("tailrace: cannot connect to 127.0.0.1") for line in ended.err.splitlines()), ended.err
    assert "leaked" not in ended.err
