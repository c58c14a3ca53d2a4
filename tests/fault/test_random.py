"""Faults at random under random transactions. `TAILRACE_SEED=…` makes the same of both again, in the same order."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from servers.postgres import Server
from servers.proxy import Proxy
from tests.fault.conftest import MakePipe, MakeTraffic
from tests.fault.pipe import Pipe
from tests.fault.row import fault, goes_on

Execute = Callable[..., list[tuple[Any, ...]]]
FAULTS = 25


class Chaos:
    """Makes one fault after another, as the seed has it."""

    def __init__(self, seed: int, pipe: Pipe, source: Server, proxies: list[Proxy], execute: Execute) -> None:
        self._random = random.Random(seed)
        self._pipe = pipe
        self._source = source
        self._proxies = proxies
        self._execute = execute
        self._added = 0
        self._columns: list[tuple[str, str]] = []

    def strike(self) -> int:
        """Make a fault; returns how many transactions of each writer should pass before the next."""
        kinds = (self._kill, self._cut, self._cut_within, self._restart, self._add, self._drop)
        [strike] = self._random.choices(kinds, weights=(3, 2, 2, 1, 2, 2))
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

    def _restart(self) -> None:
        self._source.stop(self._random.choice(("fast", "immediate")))
        self._source.start()

    def _add(self) -> None:
        self._added += 1
        self._columns.append((self._random.choice(("accounts", "entries", "log")), f"extra_{self._added}"))
        table, column = self._columns[-1]
        self._execute(self._source.url, f"ALTER TABLE {table} ADD COLUMN {column} int DEFAULT {self._added}")

    def _drop(self) -> None:
        if self._columns:
            table, column = self._columns.pop(self._random.randrange(len(self._columns)))
            self._execute(self._source.url, f"ALTER TABLE {table} DROP COLUMN {column}")


@pytest.mark.parametrize("kind", ["duckdb", "postgres"])
@fault(
    "25 faults at random, from a seed",
    "kill -9, cut connections, the source restarted, ADD and DROP COLUMN, under random transactions",
    goes_on(),
)
def test_faults_at_random(
    make_pipe: MakePipe, traffic: MakeTraffic, start_postgres: Callable[..., Server], postgres18: Server,
    execute: Execute, request: pytest.FixtureRequest, seed: int, kind: str,
) -> None:  # fmt: skip
    source = start_postgres()
    with ExitStack() as stack:
        proxies = [stack.enter_context(Proxy("127.0.0.1", source.port))]
        options = {}
        if kind == "postgres":
            proxies.append(stack.enter_context(Proxy("127.0.0.1", postgres18.port)))
            replica = request.getfixturevalue("replica")
            options = {"replica": replica, "through": proxies[1].through(replica)}
        pipe = make_pipe(proxies[0].through(source.url), kind, direct=source.url, **options)
        running = traffic(source.url)
        pipe.start()
        pipe.catch_up()
        chaos = Chaos(seed, pipe, source, proxies, execute)
        for _ in range(FAULTS):
            running.passes(chaos.strike())
        pipe.goes_on(running)
