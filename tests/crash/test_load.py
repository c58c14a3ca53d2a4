"""The transactions of a load are the same again with the same seed, and others with another."""

from __future__ import annotations

from typing import Any

import psycopg

from tests.crash.load import Load, fill
from tests.waiting import until

ENOUGH = 12
SIZES = "SELECT tx, count(*) FROM entries WHERE writer = 1 AND tx BETWEEN 1 AND %s GROUP BY tx ORDER BY tx"


def _committed(url: str, seed: int) -> list[tuple[Any, ...]]:
    load = Load(url, 1, seed=seed, pause_s=0.0)
    load.start()
    until(lambda: load.committed >= ENOUGH, "for transactions")
    load.stop()
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute(SIZES.encode(), [ENOUGH]).fetchall()
        connection.execute("DELETE FROM entries WHERE writer = 1")
        connection.execute("DELETE FROM log WHERE writer = 1")
    return found


def test_a_seed_makes_the_same_transactions_again(database: str, seed: int) -> None:
    fill(database, 10)
    first = _committed(database, seed)
    assert len(first) == ENOUGH
    assert _committed(database, seed) == first
    assert _committed(database, seed + 1) != first
