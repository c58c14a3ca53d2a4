"""Runs the command line as its users do: a process of its own, real signals, real pipes, a real server."""

from __future__ import annotations

import array
import fcntl
import os
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tests.terminal import Terminal, terminal
from tests.waiting import until

TIMEOUT_S = 180.0


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


@dataclass
class Cli:
    """`tailrace …` in `folder`."""

    folder: Path
    environ: Mapping[str, str]

    def run(self, *arguments: str, **environ: str) -> Ended:
        ended = subprocess.run(
            [sys.executable, "-m", "tailrace", *arguments],
            cwd=self.folder, env={**self.environ, **environ}, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def start(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tailrace", *arguments],
            cwd=self.folder, env={**self.environ, **environ}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def terminal(self, *arguments: str) -> AbstractContextManager[Terminal]:
        """The command as a person at a terminal runs it."""
        return terminal([sys.executable, "-m", "tailrace", *arguments], folder=self.folder, environ=self.environ)


def await_full_pipe(process: subprocess.Popen[str]) -> None:
    """Until the pipe of its standard output holds so much that nothing more goes in, give or take a page."""
    assert process.stdout is not None
    held, pipe = array.array("i", [0]), process.stdout

    def full() -> bool:
        fcntl.ioctl(pipe, termios.FIONREAD, held)
        return held[0] > fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) * 7 // 8

    until(full, "for a full pipe")


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    """The command line in a folder of its own; whatever it leaves running is killed."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
    yield Cli(tmp_path, {**environ, "PYTHONPATH": str(tmp_path)})


@pytest.fixture
def shop(database: str) -> str:
    """A database with a table of three orders."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("create table orders (id int primary key, note text)")
        connection.execute("insert into orders values (1, 'one'), (2, 'two'), (3, 'three')")
    return database


@pytest.fixture
def config(cli: Cli, shop: str) -> Path:
    """A file with one pipeline, `orders`, from the shop into a file."""
    slot = "cli_" + shop.rsplit("/", 1)[1].split("?")[0]
    path = cli.folder / "t.toml"
    path.write_text(
        f"""
[pipeline.orders.source]
kind = "postgres"
url = "{shop}"
tables = ["public.orders"]
slot = "{slot}"
publication = "{slot}"

[pipeline.orders]
sink = "file:out.jsonl"
"""
    )
    return path
