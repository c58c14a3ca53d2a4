"""Documents tell the truth: links lead somewhere, programs and commands run against a real server, examples are short.

What a program or command must print or write stands in `tests/tidy/results.py`. One that does not end by itself
(`app.run()`) has run when it did, or when its slot was confirmed beyond rows that were written meanwhile; then it is
interrupted, as a user would, and must end cleanly: a command with a code of its own, a program by Python's
KeyboardInterrupt at the worst.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tests.tidy import results, tree
from tests.tidy.results import Result
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
UPDATE orders SET status = 'paid' WHERE id = 5;
"""
PROGRAMS = ("tailrace",)
"""Commands of console blocks that are run; others (make, git, pip) set up what the tests have already."""
TIMEOUT_S, GRACE_S = 180.0, 3.0
_ENVIRONMENT = {**os.environ, "PYTHONUNBUFFERED": "1"}
"""What a program prints is seen while it runs."""
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


def test_every_page_is_reached_from_the_documentations_first() -> None:
    first = tree.ROOT / "docs" / "README.md"
    led = {(first.parent / target).resolve() for target in _LINK.findall(first.read_text()) if "://" not in target}
    pages = {path for path in DOCUMENTS if first.parent in path.parents and path.parent.name != "design"}
    assert pages - led == {first}


@pytest.mark.parametrize("example", EXAMPLES, ids=tree.shown)
def test_every_example_shows_what_it_is_for_on_a_real_server(example: Path, database: str, tmp_path: Path) -> None:
    _prepare(database)
    command = [sys.executable, "-c", example.read_text().replace(URL, database)]
    _show(command, results.EXAMPLES[example.stem], database, tmp_path)


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if _BLOCK.search(path.read_text())], ids=tree.shown)
def test_programs_and_commands_of_documents_do_what_they_say(document: Path, database: str, tmp_path: Path) -> None:
    _prepare(database)
    expected = iter(results.DOCUMENTS.get(str(document.relative_to(tree.ROOT)), ()))
    for found in _BLOCK.finditer(document.read_text()):
        block = Block(found[1], found[2].replace(URL, database))
        if block.language == "python":
            _show([sys.executable, "-c", block.text], next(expected), database, tmp_path)
        elif block.language == "toml":
            (tmp_path / "shop.toml").write_text(block.text)
        elif block.language == "json":
            (tmp_path / "shop.json").write_text(block.text)
        elif block.language == "console":
            for line in block.text.splitlines():
                shown, _, target = line.removeprefix("$ ").split("#")[0].partition(" > ")
                command = shown.split()
                if line.startswith("$ ") and command[0] in PROGRAMS:
                    program = str(Path(sys.executable).parent / command[0])
                    _show([program, *command[1:]], next(expected), database, tmp_path)
                    if target:
                        (tmp_path / target.strip()).write_bytes((tmp_path / "stdout").read_bytes())
    assert not list(expected), "tests/tidy/results.py expects more of this document"


def test_programs_of_documents_are_typed(tmp_path: Path) -> None:
    """As strictly as `make lint` wants it of the examples: README's first one was not."""
    for document in DOCUMENTS:
        for found in _BLOCK.finditer(document.read_text()):
            if found[1] == "python":
                name = re.sub(r"\W", "_", f"{document.relative_to(tree.ROOT)}_{found.start()}")
                (tmp_path / f"{name}.py").write_text(found[2])
    programs = sorted(map(str, tmp_path.iterdir()))
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", *programs]
    checked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert programs and (checked.returncode, checked.stdout, checked.stderr) == (0, "", ""), checked.stdout


def _prepare(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(SHOP.encode())


def _show(command: list[str], result: Result, database: str, folder: Path) -> None:
    """Run what must print and write what `result` says; one that goes on has as long as it takes."""
    if result == Result():
        assert re.search(r"^ *assert ", command[-1], re.MULTILINE), f"nothing says what it shows\n{command[-1]}"
        command, result = [*command[:-1], f"{command[-1]}\nprint('all of it')"], Result(r"\Aall of it\n\Z")
    out = folder / "stdout"

    def printed() -> bool:
        return result.printed is None or re.search(result.printed, out.read_text(), re.MULTILINE) is not None

    def done() -> bool:
        return printed() and (result.held is None or result.held(database, folder))

    # What holds something and prints nothing ends by itself, and may hold it open until then.
    _run(command, database, folder, done=None if result.printed is None else done)
    shown = command[-1] if "-c" in command else " ".join(command)
    assert printed(), f"{shown}\nprinted\n{out.read_text()[-2000:]}"
    assert result.held is None or result.held(database, folder), f"{shown}\nwrote something else"


def _run(command: list[str], database: str, folder: Path, *, done: Callable[[], bool] | None = None) -> None:
    """Run until it ended or did its work, writing rows meanwhile; it must end cleanly and without a traceback. `done`
    says when it did its work, if that is not that it printed or confirmed anything."""
    out, err = folder / "stdout", folder / "stderr"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=_ENVIRONMENT
        )
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
