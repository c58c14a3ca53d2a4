"""Compares what a sink holds with what was committed: nothing lost, doubled, reordered or torn."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import duckdb
import psycopg
import zstandard

from tests.crash.load import PARTS

UNSENT = "__debezium_unavailable_value"
ACCOUNTS = "SELECT id, version, writer, tx, note FROM {}accounts ORDER BY id"
TALLY = " UNION ALL ".join(f"SELECT {part}, id FROM {{0}}part_{part}" for part in range(PARTS)) + " ORDER BY 1, 2"


class Held(Protocol):
    """What a sink holds, read after each kill."""

    def prefix(self) -> dict[int, int]:
        """The last transaction of each writer that is there; fails unless all before it are there too, whole, once."""
        ...

    def compare(self, url: str) -> None:
        """Fails unless every row is what it is at the source."""
        ...


class Written(Protocol):
    """What one writer has committed: its transactions are numbered from 1."""

    @property
    def writer(self) -> int: ...
    @property
    def committed(self) -> int: ...


def complete(entries: Iterable[tuple[int, int, int, int]], logged: Sequence[tuple[int, int]]) -> dict[int, int]:
    """The last transaction of each writer, of (writer, tx, n, of) and (writer, tx): all from 1 on must be whole."""
    parts: dict[tuple[int, int], list[int]] = defaultdict(list)
    sizes = {}
    for writer, tx, n, of in entries:
        parts[writer, tx].append(n)
        sizes[writer, tx] = of
    for transaction, found in parts.items():
        assert sorted(found) == list(range(1, sizes[transaction] + 1)), f"transaction {transaction} is torn or doubled"
    assert len(set(logged)) == len(logged), "a row of the log is doubled"
    assert set(parts) == set(logged), "two tables show different transactions"
    last: dict[int, int] = {}
    for writer, tx in sorted(parts):
        assert tx == (last[writer] + 1 if writer in last else min(writer, 1)), f"before {writer}, {tx} one is lost"
        last[writer] = tx
    return last


class Duck:
    """A DuckDB file, read as it lies there: the victim's own recovery is left to the victim."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def _rows(self, statement: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.path), read_only=True) as connection:
            return connection.execute(statement).fetchall()

    def prefix(self) -> dict[int, int]:
        entries: list[Any] = self._rows("SELECT writer, tx, n, of FROM public.entries")
        logged = self._rows("SELECT writer, tx, _position FROM public.log ORDER BY _position")
        assert len({position for _, _, position in logged}) == len(logged)
        order = [(writer, tx) for writer, tx, _ in logged]
        last = complete(entries, order)
        written = [position for (position,) in self._rows("SELECT _position FROM public.log ORDER BY rowid")]
        places = [position for position in written if position.split(".")[1] != "0"]
        assert places == sorted(places), "transactions of two writers have changed places"
        for writer in last:
            # A snapshot reads a writer's rows as they lie in the table, which is not always as they were written.
            ours = [(tx, position.split(".")[1] == "0") for of, tx, position in logged if of == writer]
            streamed = [tx for tx, read in ours if not read]
            assert streamed == sorted(streamed), "the log is out of order"
            assert all(tx < streamed[0] for tx, read in ours if read and streamed), "the snapshot read ahead"
        for writer, tx in self._rows("SELECT DISTINCT writer, tx FROM public.accounts"):
            assert tx <= last[writer], "an account is ahead of its transaction"
        return last

    def compare(self, url: str) -> None:
        with psycopg.connect(url) as source:
            for query in (ACCOUNTS, TALLY):
                assert self._rows(query.format("public.")) == source.execute(query.format("").encode()).fetchall()


class Replica:
    """A PostgreSQL database, read in one snapshot of its own: what holds in the source between tables holds here."""

    def __init__(self, url: str) -> None:
        self.url = url

    def prefix(self) -> dict[int, int]:
        with psycopg.connect(self.url) as target:
            target.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            found = target.execute("SELECT to_regclass('public.log'), to_regclass('public.entries')").fetchone()
            if found is None or None in found:
                return {}
            entries: list[Any] = target.execute("SELECT writer, tx, n, of FROM public.entries").fetchall()
            logged = target.execute("SELECT writer, tx FROM public.log ORDER BY ctid").fetchall()
            accounts = target.execute("SELECT DISTINCT writer, tx FROM public.accounts").fetchall()
        last = complete(entries, logged)
        for writer, tx in accounts:
            assert tx <= last[writer], "an account is ahead of its transaction"
        return last

    def compare(self, url: str) -> None:
        with psycopg.connect(url) as source, psycopg.connect(self.url) as target:
            for query in (ACCOUNTS, TALLY):
                expected = source.execute(query.format("public.").encode()).fetchall()
                assert target.execute(query.format("public.").encode()).fetchall() == expected


class Repeated:
    """Lines of JSON, `topic` and `value`, that may come again after a kill: all of them, and none too early."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def prefix(self) -> dict[int, int]:
        return self._replay().complete()

    def compare(self, url: str) -> None:
        held = self._replay()
        with psycopg.connect(url) as source:
            assert sorted(held.accounts.values()) == source.execute(ACCOUNTS.format("public.").encode()).fetchall()
            assert sorted(held.parts) == source.execute(TALLY.format("public.").encode()).fetchall()

    def _replay(self) -> "Again":
        again = Again()
        for line in self.path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"}\n"):
                # What a kill has torn off stands before the next life's first line; it comes again.
                record = json.loads(line[line.rindex(b'{"topic":') :])
                if record["value"] is not None:
                    again.take(record["topic"].rpartition(".")[2], record["value"])
        return again


class Again:
    """What a consumer has who takes every event as the truth about its key, however often it comes."""

    def __init__(self) -> None:
        self.accounts: dict[int, tuple[Any, ...]] = {}
        self.parts: set[tuple[int, int]] = set()
        self._entries: set[tuple[int, int, int, int]] = set()
        self._logged: dict[tuple[int, int], None] = {}
        self._latest: dict[int, int] = {}
        self._removed: tuple[Any, ...] = ()

    def complete(self) -> dict[int, int]:
        return complete(self._entries, list(self._logged))

    def take(self, table: str, event: dict[str, Any]) -> None:
        row, op = event["after"], event["op"]
        if table == "accounts":
            self._account(op, event["before"], row)
        elif table == "entries":
            writer, tx = row["writer"], row["tx"]
            assert op == "r" or tx <= self._latest.get(writer, tx) + 1, f"before {writer}, {tx} one is lost"
            self._latest[writer] = max(tx, self._latest.get(writer, tx))
            self._entries.add((writer, tx, row["n"], row["of"]))
        elif table == "log":
            self._logged[row["writer"], row["tx"]] = None
        elif op == "d":
            self.parts.discard((int(table.removeprefix("part_")), event["before"]["id"]))
        else:
            self.parts.add((int(table.removeprefix("part_")), row["id"]))

    def _account(self, op: str, before: dict[str, Any] | None, row: dict[str, Any]) -> None:
        if op == "d":
            assert before is not None
            self._removed = self.accounts.pop(before["id"], self._removed)
            return
        if before is not None and before["id"] != row["id"]:  # a handler is told of a change of key as one change
            self._removed = self.accounts.pop(before["id"], self._removed)
        was = self.accounts.get(row["id"], self._removed)
        text = was[4] if row["note"] == UNSENT else row["note"]
        self.accounts[row["id"]] = (row["id"], row["version"], row["writer"], row["tx"], text)


class Lines:
    """The files of a file sink, as a reader sees them that stops at the sidecar: nothing before it ever changes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen = b""
        self._replay = Replay()

    def _content(self) -> bytes:
        sidecar = json.loads(self.path.with_name(self.path.name + ".position").read_bytes())
        rotated = sorted(self.path.parent.glob(f"{self.path.name.split('.')[0]}.2*{self.path.suffix}"), key=_number)
        content = b"".join(path.read_bytes() for path in rotated if _number(path) < sidecar["sequence"])
        if any(_number(path) == sidecar["sequence"] for path in rotated):  # killed while it was rotated
            content += rotated[-1].read_bytes()
        else:
            content += self.path.read_bytes()[: sidecar["final"]]
        if self.path.suffix == ".zst":
            return zstandard.ZstdDecompressor().stream_reader(content, read_across_frames=True).read()
        return content

    def prefix(self) -> dict[int, int]:
        return self._read_on().complete()

    def compare(self, url: str) -> None:
        held = self._read_on()
        with psycopg.connect(url) as source:
            assert sorted(held.accounts.values()) == source.execute(ACCOUNTS.format("").encode()).fetchall()
            assert sorted(held.parts) == source.execute(TALLY.format("").encode()).fetchall()

    def _read_on(self) -> "Replay":
        content = self._content()
        assert content.startswith(self._seen), "what a reader has seen was taken back"
        assert not content or content.endswith(b"\n"), "the last line is torn"
        for line in content[len(self._seen) :].splitlines():
            record = json.loads(line)
            if record["value"] is not None:
                self._replay.take(record["topic"].rpartition(".")[2], record["value"])
        self._seen = content
        return self._replay


class Replay:
    """What a consumer of the events has. Each must be one that can come next."""

    def __init__(self) -> None:
        self.accounts: dict[int, tuple[Any, ...]] = {}
        self.parts: list[tuple[int, int]] = []
        self._entries: list[tuple[int, int, int, int]] = []
        self._logged: list[tuple[int, int]] = []
        self._last: dict[int, int] = defaultdict(int)
        self._removed: tuple[Any, ...] = ()

    def complete(self) -> dict[int, int]:
        return complete(self._entries, self._logged)

    def take(self, table: str, event: dict[str, Any]) -> None:
        row, op = event["after"], event["op"]
        if table == "accounts":
            self._account(op, event["before"], row)
        elif table == "entries":
            assert self._last[row["writer"]] <= row["tx"] or op == "r", "a transaction is out of order"
            self._last[row["writer"]] = row["tx"]
            self._entries.append((row["writer"], row["tx"], row["n"], row["of"]))
        elif table == "log":
            self._logged.append((row["writer"], row["tx"]))
        elif op == "d":
            self.parts.remove((int(table.removeprefix("part_")), event["before"]["id"]))
        else:
            self.parts.append((int(table.removeprefix("part_")), row["id"]))

    def _account(self, op: str, before: dict[str, Any] | None, row: dict[str, Any]) -> None:
        if op == "d":
            assert before is not None
            self._removed = self.accounts.pop(before["id"])
            return
        assert (op == "u") == (row["id"] in self.accounts), "an event is lost, doubled or out of order"
        was = self.accounts.get(row["id"], self._removed)
        if op == "u":
            assert row["version"] == was[1] + 1, "an update is lost, doubled or out of order"
        text = was[4] if row["note"] == UNSENT else row["note"]
        self.accounts[row["id"]] = (row["id"], row["version"], row["writer"], row["tx"], text)


def _number(path: Path) -> int:
    return int(path.name.split(".")[2])


def settle(held: Held, url: str, loads: Sequence[Written]) -> None:
    """The writers have stopped and the sink has caught up: all that was acknowledged is there, and nothing else."""
    last = held.prefix()
    assert {load.writer: load.committed for load in loads} | {0: 0} == last
    held.compare(url)
