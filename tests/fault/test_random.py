"""Faults at random under random transactions. `TAILRACE_SEED=…` makes the same of both again, in the same order."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from servers.postgres import Server
from servers.proxy import Proxy, Way
from tests.fault.conftest import MakePipe, MakeTraffic
from tests.fault.pipe import Pipe
from tests.fault.row import fault, waits
from tests.fault.traffic import Traffic

Execute = Callable[..., list[tuple[Any, ...]]]
FAULTS = 25
ADDED = {
    "int": "{0}",
    "bigint": "{0} * 10000000000",
    "text": "'text {0}'",
    "numeric(12,2)": "{0} / 7.0",
    "double precision": "{0} / 8.0",
    "boolean": "{0} % 2 = 0",
    "date": "date '2026-01-01' + {0}",
    "timestamptz": "timestamptz '2026-01-01 00:00:00+00' + {0} * interval '1 second'",
    "uuid": "'00000000-0000-0000-0000-{0:012}'",
    "jsonb": "'{{\"n\": {0}}}'",
    "int[]": "array[{0}, null]",
}
"""Types of added columns, and what each row gets in the one of a number."""


class Chaos:
    """Makes one fault after another, as the seed has it."""

    def __init__(
        self, seed: int, pipe: Pipe, running: Traffic, servers: list[Server], proxies: list[Proxy], execute: Execute
    ) -> None:
        self._random = random.Random(seed)
        self._pipe = pipe
        self._running = running
        self._source = servers[0]
        self._servers = servers
        self._proxies = proxies
        self._execute = execute
        self._added = 0
        self._columns: list[tuple[str, str, str]] = []

    def strike(self) -> int:
        """Make a fault; returns how many transactions of each writer should pass before the next."""
        kinds = [
            self._kill, self._pause, self._cut, self._cut_within, self._stall, self._restart, self._add, self._drop,
            self._alter_within, self._write,
        ]  # fmt: skip
        weights = [3, 2, 2, 2, 2, 2, 3, 2, 2, 2]
        if self._pipe.replica:
            kinds.append(self._lock)
            weights.append(2)
        [strike] = self._random.choices(kinds, weights)
        print(strike.__name__.strip("_"))
        strike()
        return self._random.randrange(4)

    def _kill(self) -> None:
        self._pipe.kill()
        self._pipe.start()

    def _cut(self) -> None:
        self._random.choice(self._proxies).cut()

    def _cut_within(self) -> None:
        self._random.choice(self._proxies).cut_after(self._random.randrange(20_000))

    def _pause(self) -> None:
        self._pipe.signal(signal.SIGSTOP)
        self._running.passes(1 + self._random.randrange(3))
        self._pipe.signal(signal.SIGCONT)

    def _stall(self) -> None:
        proxy = self._random.choice(self._proxies)
        proxy.stall(self._random.choice(list(Way)))
        self._running.passes(1 + self._random.randrange(3))
        proxy.resume()

    def _restart(self) -> None:
        server = self._random.choice(self._servers)
        mode = self._random.choice(("fast", "immediate", "kill"))
        if mode == "kill":
            server.kill()
        else:
            server.stop(mode)
        server.start()

    def _lock(self) -> None:
        with psycopg.connect(self._pipe.replica) as holder:
            holder.execute(f"LOCK TABLE {self._table()} IN ACCESS EXCLUSIVE MODE".encode())
            self._running.passes(1 + self._random.randrange(3))

    def _add(self) -> None:
        self._added += 1
        table, column, of = self._table(), f"extra_{self._added}", self._random.choice(list(ADDED))
        self._columns.append((table, column, of))
        default = ADDED[of].format(self._added)
        self._execute(self._source.url, f"ALTER TABLE {table} ADD COLUMN {column} {of} DEFAULT {default}")
        self._passes_whole()  # a target sees one step: one that goes in the same would make a renaming of it
        self._write()  # or nothing may tell its cells from the default

    def _write(self) -> None:
        """Other values, or none, in a column that was added: in some rows, old and new."""
        if columns := [column for column in self._columns if column[0] != "log"]:  # which has no key to update by
            table, column, of = self._random.choice(columns)
            self._added += 1
            value = self._random.choice((ADDED[of].format(self._added), "NULL"))
            key = "id" if table == "accounts" else "tx"
            self._execute(self._source.url, f"UPDATE {table} SET {column} = {value} WHERE {key} % 3 = 0")

    def _drop(self) -> None:
        if self._columns:
            table, column, _ = self._columns.pop(self._random.randrange(len(self._columns)))
            self._execute(self._source.url, f"ALTER TABLE {table} DROP COLUMN {column}")
            self._passes_whole()

    def _alter_within(self) -> None:
        """Other columns before and after an update, and again, in one transaction, which may roll back."""
        self._added += 1
        column, end = f"within_{self._added}", self._random.choice(("COMMIT", "COMMIT", "ROLLBACK"))
        update = "UPDATE accounts SET note = note WHERE id < 5"  # the table is ours first: no deadlock with writers
        self._execute(
            self._source.url,
            f"BEGIN; LOCK TABLE accounts; {update}; ALTER TABLE accounts ADD COLUMN {column} int; {update};"
            f" UPDATE accounts SET {column} = id WHERE id < 5; ALTER TABLE accounts DROP COLUMN {column};"
            f" {update}; {end}",
        )

    def _passes_whole(self) -> None:
        """A transaction of each writer that has begun behind this: one may be acknowledged only now."""
        self._running.passes(2)

    def _table(self) -> str:
        return self._random.choice(("accounts", "entries", "log"))


@pytest.mark.parametrize("kind", ["duckdb", "postgres"])
@fault(
    "25 faults at random, from a seed",
    "kill -9 and SIGSTOP of Tailrace; connections cut and stalled; source and target restarted and killed; the target's"
    " tables locked; columns added and dropped, also within a transaction; all under random transactions",
    waits(""),
)
def test_faults_at_random(
    make_pipe: MakePipe, traffic: MakeTraffic, start_postgres: Callable[..., Server], execute: Execute, seed: int,
    kind: str,
) -> None:  # fmt: skip
    servers = [start_postgres() for _ in range(2 if kind == "postgres" else 1)]
    with ExitStack() as stack:
        proxies = [stack.enter_context(Proxy("127.0.0.1", server.port)) for server in servers]
        options = {}
        if kind == "postgres":
            replica = servers[1].create_database("replica")
            options = {"replica": replica, "through": proxies[1].through(replica)}
        pipe = make_pipe(proxies[0].through(servers[0].url), kind, direct=servers[0].url, **options)
        running = traffic(servers[0].url)
        pipe.start()
        pipe.catch_up()
        chaos = Chaos(seed, pipe, running, servers, proxies, execute)
        proxies[0].cut()  # one fault that is waited out, whatever the seed has
        pipe.says("; trying again in ")
        for _ in range(FAULTS):
            running.passes(chaos.strike())
        running.passes(2)  # a target learns of a new column with the next row
        pipe.goes_on(running)
