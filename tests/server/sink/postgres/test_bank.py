"""An invariant across two tables holds in the target at every moment: while its process is killed, too."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.background import beside
from tests.crash.victim import Victim
from tests.server.verify.stand import load
from tests.waiting import until

ROWS = 50
SUM = 2 * ROWS * 100
STATES_MIN = 20
"""Different states between that a reader must have seen, or it has shown nothing."""
LOOK = """SELECT (SELECT sum(balance) FROM accounts) + (SELECT sum(balance) FROM savings),
    (SELECT sum(version) FROM accounts), (SELECT sum(version) FROM savings)"""


def transfer(connection: psycopg.Connection[Any], chance: random.Random) -> None:
    """Move money between two tables, in one transaction of the source; a large one moves all of it, in bulk."""
    low = chance.randrange(1, ROWS)
    high = ROWS if chance.random() < 0.2 else low + chance.randrange(3)
    amount = chance.randrange(1, 10)
    move = "UPDATE {} SET balance = balance {} %s, version = version + 1 WHERE id BETWEEN %s AND %s"
    with connection.transaction():
        for table, sign in (("accounts", "-"), ("savings", "+")):
            connection.execute(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE".encode())
            connection.execute(move.format(table, sign).encode(), [amount, low, high])


class Reader:
    """Looks at both tables of the target in one snapshot, without a pause, until told to stop."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._over = threading.Event()
        self.states: list[tuple[int, int, int]] = []
        """Sum, versions here, versions there: each that was seen, when it differs from the one before."""

    def read(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as target:
            while not self._over.is_set():
                state = target.execute(LOOK).fetchone()
                assert state is not None
                if not self.states or self.states[-1] != state:
                    self.states.append(state)

    def stop(self) -> None:
        self._over.set()


@pytest.fixture
def bank(database: str, target_database: str, tmp_path: Path, seed: int) -> Iterator[Victim]:
    """A bank whose snapshot is in the target."""
    with psycopg.connect(database, autocommit=True) as source:
        for table in ("accounts", "savings"):
            source.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, balance int, version int)".encode())
            source.execute(f"INSERT INTO {table} SELECT i, 100, 0 FROM generate_series(1, {ROWS}) i".encode())
    victim = Victim("postgres", database, target_database, folder=tmp_path, seed=seed)
    victim.finish()
    yield victim


def test_the_sum_of_a_bank_holds_at_every_moment_under_load_and_kills(
    bank: Victim, database: str, target_database: str, seed: int
) -> None:
    reader = Reader(target_database)
    with beside(reader.read, reader.stop):
        with load(database, transfer, seed=seed, sessions=3):
            while bank.kills < 5 or len(reader.states) < STATES_MIN:
                bank.live(writes=5, after_s=0.2)
        bank.finish()
        with psycopg.connect(database) as source:
            last = source.execute(LOOK).fetchone()
        until(lambda: reader.states[-1] == last, "for the reader to see the last state")
    assert {state[0] for state in reader.states} == {SUM}
    assert all(here == there for _, here, there in reader.states), "a transaction was seen by half"
    assert [state[1] for state in reader.states] == sorted(state[1] for state in reader.states), "time went back"
