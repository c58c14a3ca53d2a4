"""Compares what a sink holds with what was committed: nothing lost, doubled, reordered or torn.

Reordered: of one writer, between writers whose transactions are concurrent, and between tables.
"""

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
LOG = "SELECT writer, tx, account, place FROM public.log"
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


Logged = tuple[int, int, int | None, int | None]
"""A row of the log: writer, tx, the account that it changed, its place in the order of commits.

A transaction that was prepared has no place: it would keep all others waiting for it.
"""


def complete(entries: Iterable[tuple[int, int, int, int]], logged: Sequence[Logged]) -> dict[int, int]:
    """The last transaction of each writer, of (writer, tx, n, of) and the log: from the first on, all are whole."""
    parts: dict[tuple[int, int], list[int]] = defaultdict(list)
    sizes = {}
    for writer, tx, n, of in entries:
        parts[writer, tx].append(n)
        sizes[writer, tx] = of
    for transaction, found in parts.items():
        assert sorted(found) == list(range(1, sizes[transaction] + 1)), f"transaction {transaction} is torn or doubled"
    transactions = [(writer, tx) for writer, tx, _, _ in logged]
    assert len(set(transactions)) == len(transactions), "a row of the log is doubled"
    assert set(parts) == set(transactions), "two tables show different transactions"
    last: dict[int, int] = {}
    for writer, tx in sorted(parts):
        assert tx == (last[writer] + 1 if writer in last else min(writer, 1)), f"before {writer}, {tx} one is lost"
        last[writer] = tx
    places = sorted(place for _, _, _, place in logged if place is not None)
    assert places == list(range(1, len(places) + 1)), "a transaction is there, and one that was committed before is not"
    return last


def current(accounts: Iterable[tuple[int, int, int]], logged: Sequence[Logged]) -> None:
    """Each account, (id, writer, tx), is as the last transaction left it that changed it, of those that are there."""
    changed = {account: (writer, tx) for writer, tx, account, _ in sorted(logged, key=lambda row: row[3] or 0)}
    for account, writer, tx in accounts:
        assert (writer, tx) == changed.get(account, (0, 0)), f"account {account} is of another time than the log"


class Duck:
    """A DuckDB file, read as it lies there: the victim's own recovery is left to the victim."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def _rows(self, statement: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.path), read_only=True) as connection:
            return connection.execute(statement).fetchall()

    def prefix(self) -> dict[int, int]:
        entries: list[Any] = self._rows("SELECT writer, tx, n, of FROM public.entries")
        logged: list[Any] = self._rows(f"{LOG} ORDER BY place")
        last = complete(entries, logged)
        accounts: list[Any] = self._rows("SELECT id, writer, tx FROM public.accounts")
        current(accounts, logged)
        positions = [
            position for (position,) in self._rows("SELECT _position FROM public.log WHERE place > 0 ORDER BY place")
        ]
        assert len(set(positions)) == len(positions)
        # A snapshot reads rows as they lie in the table, which is not always as they were committed.
        read = sum(position.split(".")[1] == "0" for position in positions)
        assert positions[read:] == sorted(positions[read:]), "positions are not in the order of commits"
        assert max(positions[:read], default="") < min(positions[read:], default="~"), "the snapshot read ahead"
        written = [position for (position,) in self._rows("SELECT _position FROM public.log ORDER BY rowid")]
        places = [position for position in written if position.split(".")[1] != "0"]
        assert places == sorted(places), "transactions of two writers have changed places"
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
            logged: list[Any] = target.execute(LOG.encode()).fetchall()
            accounts: list[Any] = target.execute("SELECT id, writer, tx FROM public.accounts").fetchall()
        last = complete(entries, logged)
        current(accounts, logged)
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

    def covers(self, url: str) -> None:
        """See `Again.covers`."""
        self._replay().covers(url)

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
        self._logged: dict[Logged, None] = {}
        self._place = 0
        self._latest: dict[int, int] = {}
        self._removed: tuple[Any, ...] = ()
        self._gone: dict[int, tuple[Any, ...]] = {}
        """Accounts as they were removed last: a kill may have torn off what follows, and all of it comes again."""

    def complete(self) -> dict[int, int]:
        return complete(self._entries, list(self._logged))

    def covers(self, url: str) -> None:
        """Fails unless it has every row of the source as it is there.

        It may have more of them: what vanished between two attempts at the snapshot, which nobody tells it.
        """
        with psycopg.connect(url) as source:
            assert sorted(self.accounts.values()) == source.execute(ACCOUNTS.format("public.").encode()).fetchall()
            rows: set[Any] = set(source.execute(TALLY.format("public.").encode()).fetchall())
        assert rows <= self.parts, f"rows of a snapshot are lost: {sorted(rows - self.parts)[:5]}"

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
            place = row["place"]
            assert op == "r" or (place or 0) <= self._place + 1, f"a transaction is left out before the one at {place}"
            self._place = max(place or 0, self._place)
            self._logged[row["writer"], row["tx"], row["account"], place] = None
        elif op == "d":
            self.parts.discard((int(table.removeprefix("part_")), event["before"]["id"]))
        else:
            self.parts.add((int(table.removeprefix("part_")), row["id"]))

    def _account(self, op: str, before: dict[str, Any] | None, row: dict[str, Any]) -> None:
        if op == "d":
            assert before is not None
            self._remove(before["id"])
            return
        moved = before is not None and before["id"] != row["id"]  # a handler is told of a change of key as one change
        if before is not None and moved:
            self._remove(before["id"])
        was = self.accounts.get(row["id"])
        if was is None:
            was = self._removed if moved or op == "c" else self._gone.get(row["id"], self._removed)
        text = was[4] if row["note"] == UNSENT else row["note"]
        self.accounts[row["id"]] = (row["id"], row["version"], row["writer"], row["tx"], text)

    def _remove(self, id: int) -> None:
        self._removed = self._gone[id] = self.accounts.pop(id, self._gone.get(id, self._removed))


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
        self._logged: list[Logged] = []
        self._place = 0
        self._begun: dict[tuple[int, int], None] = {}
        """Transactions of the stream as they began; the last one may go on."""
        self._last: dict[int, int] = defaultdict(int)
        self._removed: tuple[Any, ...] = ()

    def complete(self) -> dict[int, int]:
        last = complete(self._entries, self._logged)
        current(((account[0], account[2], account[3]) for account in self.accounts.values()), self._logged)
        return last

    def take(self, table: str, event: dict[str, Any]) -> None:
        row, op = event["after"], event["op"]
        if row is not None and "tx" in row and op != "r":
            self._run((row["writer"], row["tx"]))
        if table == "accounts":
            self._account(op, event["before"], row)
        elif table == "entries":
            assert self._last[row["writer"]] <= row["tx"] or op == "r", "a transaction is out of order"
            self._last[row["writer"]] = row["tx"]
            self._entries.append((row["writer"], row["tx"], row["n"], row["of"]))
        elif table == "log":
            if op != "r" and row["place"] is not None:
                assert row["place"] == self._place + 1, "transactions of two writers have changed places"
            self._place = max(self._place, row["place"] or 0)
            self._logged.append((row["writer"], row["tx"], row["account"], row["place"]))
        elif op == "d":
            self.parts.remove((int(table.removeprefix("part_")), event["before"]["id"]))
        else:
            self.parts.append((int(table.removeprefix("part_")), row["id"]))

    def _run(self, transaction: tuple[int, int]) -> None:
        if transaction in self._begun:
            assert transaction == next(reversed(self._begun)), f"another transaction stands within {transaction}"
        self._begun[transaction] = None

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
