"""Documents tell the truth: links lead somewhere, programs and commands run against a real server, examples are short.

A program that does not end by itself (`app.run()`, `tailrace run`) has run when it printed something, or when its slot
was confirmed beyond rows that were written meanwhile; then it is interrupted, as a user would, and must end cleanly: a
command with a code of its own, a program by Python's KeyboardInterrupt at the worst.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb
import psycopg
import pytest

from tests.tidy import tree
from tests.waiting import until

URL = "postgresql://localhost/shop"
"""What documents and examples call their database: it stands for the test's own."""
SHOP = """
CREATE TABLE customers (id bigint PRIMARY KEY, name text NOT NULL);
CREATE TABLE orders (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, customer_id bigint NOT NULL, amount numeric(12,2) NOT NULL,
    status text NOT NULL DEFAULT 'new', note text, placed_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO customers SELECT i, 'customer ' || i FROM generate_series(1, 3) AS i;
INSERT INTO orders (customer_id, amount) SELECT 1 + i % 3, i FROM generate_series(1, 5) AS i;
"""
PROGRAMS = ("tailrace",)
"""Commands of console blocks that are run; others (make, git, pip) set up what the tests have already."""
TIMEOUT_S, GRACE_S = 60.0, 3.0
_BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s#]+)[^)]*\)")
DOCUMENTS = [path for path in tree.files(".md") if "tests" not in path.parts]
EXAMPLES = [
    path
    for path in tree.files(".py")
    if path.parent == tree.ROOT / "examples" and path.stem != "kafka_consumer"  # tests/server/kafka/test_example.py
]


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a document."""

    language: str
    text: str


@pytest.mark.parametrize("document", DOCUMENTS, ids=tree.shown)
def test_links_lead_to_files_that_exist(document: Path) -> None:
    targets = (target for target in _LINK.findall(document.read_text()) if "://" not in target)
    missing = [target for target in targets if not (document.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("example", EXAMPLES, ids=tree.shown)
def test_every_example_runs_against_a_real_server(example: Path, database: str, tmp_path: Path) -> None:
    _prepare(database)
    printed, held = PRINTED.get(example.stem), HELD.get(example.stem)

    def done() -> bool:
        """Whether an example that goes on has shown what it is for; what it holds open is looked at when it ended."""
        assert printed is not None
        shown = re.search(printed, (tmp_path / "stdout").read_text(), re.MULTILINE)
        return shown is not None and (held is None or held(database, tmp_path))

    command = [sys.executable, "-c", example.read_text().replace(URL, database)]
    _run(command, database, tmp_path, done=None if printed is None else done)
    assert printed is None or done()
    assert held is None or held(database, tmp_path)


def _replicated(database: str, _: Path) -> bool:
    """The orders of before are equal (others are written meanwhile), and the names of customers are masked."""
    with psycopg.connect(database) as connection:
        orders = connection.execute(
            "SELECT (SELECT array_agg(o ORDER BY id) FROM orders AS o WHERE id <= 5)::text"
            " = (SELECT array_agg(o ORDER BY id) FROM reports.orders AS o WHERE id <= 5)::text"
        ).fetchone()
        customers = connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE name LIKE 'customer%') FROM reports.customers"
        ).fetchone()
    return orders == (True,) and customers == (3, 0)


def _duckdb(_: str, folder: Path) -> bool:
    with duckdb.connect(str(folder / "shop.duckdb")) as copy:
        return copy.execute("SELECT count(*) >= 5 FROM public.orders").fetchone() == (True,)


def _audited(_: str, folder: Path) -> bool:
    entries = [json.loads(line) for line in (folder / "audit.jsonl").read_text().splitlines()]
    return {entry["table"] for entry in entries} == {"public.orders"} and {entry["op"] for entry in entries} >= {"c"}


HELD: dict[str, Callable[[str, Path], bool]] = {
    "audit_log": _audited,
    "custom_sink": lambda _, folder: _tallied(folder) >= 8,
    "to_duckdb": _duckdb,
    "to_postgres": _replicated,
}
"""What an example must have written where it says."""
PRINTED = {
    "audit_log": r"^logged [1-9]\d* changes$",
    "cache_invalidation": r"^invalidated public\.orders .*id",
    "outbox": r"^send outbox\.mail \d+$",
    "search_index": r"^indexed [1-9]\d* changes$",
    "tail": r"^\S+ \S+ [cud] public\.orders ",
    "to_postgres": r"^the copy is up to date",
    "typed_handlers": r"^thank [12] for (9|19)\.99$",
}
"""What an example must have printed."""


def _tallied(folder: Path) -> int:
    return sum(int(line.split()[0]) for line in (folder / "tally.txt").read_text().splitlines())


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if _BLOCK.search(path.read_text())], ids=tree.shown)
def test_programs_and_commands_of_documents_run(document: Path, database: str, tmp_path: Path) -> None:
    _prepare(database)
    for found in _BLOCK.finditer(document.read_text()):
        block = Block(found[1], found[2].replace(URL, database))
        if block.language == "python":
            _run([sys.executable, "-c", block.text], database, tmp_path)
        elif block.language == "toml":
            (tmp_path / "shop.toml").write_text(block.text)
        elif block.language == "json":
            (tmp_path / "shop.json").write_text(block.text)
        elif block.language == "console":
            for line in block.text.splitlines():
                shown, _, target = line.removeprefix("$ ").split("#")[0].partition(" > ")
                command = shown.split()
                if line.startswith("$ ") and command[0] in PROGRAMS:
                    _run([str(Path(sys.executable).parent / command[0]), *command[1:]], database, tmp_path)
                    if target:
                        (tmp_path / target.strip()).write_bytes((tmp_path / "stdout").read_bytes())


def _prepare(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(SHOP.encode())


def _run(command: list[str], database: str, folder: Path, *, done: Callable[[], bool] | None = None) -> None:
    """Run until it ended or did its work, writing rows meanwhile; it must end cleanly and without a traceback. `done`
    says when it did its work, if that is not that it printed or confirmed anything."""
    out, err = folder / "stdout", folder / "stderr"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
    shown = command[-1] if "-c" in command else " ".join(command)
    try:
        _wait(process, database, out, done)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)  # a command that ends by itself may do so
        _interrupt(process, database)
        code = process.wait(TIMEOUT_S)
    finally:
        process.kill()
        process.wait()
    said = err.read_text()
    if "-c" in command and said.endswith("\nKeyboardInterrupt\n") and said.count("Traceback") == 1:
        return
    assert code in (0, 130), f"{shown}\nended with {code}:\n{said}"
    assert "Traceback" not in said, f"{shown}\n{said}"


def _interrupt(process: subprocess.Popen[bytes], database: str) -> None:
    """Interrupt what goes on reading its slot. Without one it is on its way out, where Python hears of no signal."""
    reads = "SELECT 1 FROM pg_replication_slots WHERE database = current_database() AND active"
    with psycopg.connect(database, autocommit=True) as connection:
        until(lambda: process.poll() is not None or connection.execute(reads).fetchall(), "for its end")
    if process.poll() is None:
        process.send_signal(signal.SIGINT)


def _wait(process: subprocess.Popen[bytes], database: str, out: Path, done: Callable[[], bool] | None) -> None:
    """Return when the process has ended or is `done`: has printed something, or has confirmed rows that were written
    here, when nothing else is said."""
    deadline = time.monotonic() + TIMEOUT_S
    slot = "FROM pg_replication_slots WHERE database = current_database() AND confirmed_flush_lsn"
    mark: str | None = None
    with psycopg.connect(database, autocommit=True) as connection:

        def confirmed() -> bool:
            query = f"SELECT 1 {slot} > %s".encode()
            return mark is not None and connection.execute(query, [mark]).fetchone() is not None

        finished = done or (lambda: out.stat().st_size > 0 or confirmed())
        while process.poll() is None and not finished():
            assert time.monotonic() < deadline, "neither ended, nor did what it is for"
            connection.execute("INSERT INTO orders (customer_id, amount) VALUES (1, 9.99), (2, 19.99)")
            connection.execute("UPDATE orders SET status = 'paid' WHERE id = (SELECT max(id) FROM orders)")
            connection.execute("DELETE FROM orders WHERE id = (SELECT max(id) - 1 FROM orders)")
            if mark is None:
                query = f"SELECT pg_current_wal_lsn()::text {slot} IS NOT NULL LIMIT 1".encode()
                row = connection.execute(query).fetchone()
                mark = row[0] if row else None
            connection.execute("SELECT pg_sleep(0.1)")
