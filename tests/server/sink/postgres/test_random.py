"""Random transactions leave the same rows on both sides, on every path. `TAILRACE_SEED=…` makes the same again."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest

from tailrace.sink.postgres import apply
from tests.server.sink.postgres.road import Road

SCHEMA = (
    "CREATE TABLE plain (id int PRIMARY KEY, a text, b numeric(12,2), long text)",
    "ALTER TABLE plain ALTER long SET STORAGE EXTERNAL",
    "CREATE TABLE strict (id int, part int, name text UNIQUE, n int, PRIMARY KEY (part, id))",
    "CREATE TABLE full_rows (a int, b text, c jsonb)",
    "ALTER TABLE full_rows REPLICA IDENTITY FULL",
    "CREATE TABLE child (id int PRIMARY KEY, strict int, note text)",
)
TABLES = ("plain", "strict", "full_rows", "child")
SIZES = {"rows": 1 << 30, "mixed": 20, "bulk": 0}


def acts(chance: random.Random) -> Iterator[str]:
    """Statements, some of which the source refuses."""
    while True:
        key, other, size = chance.randrange(200), chance.randrange(200), chance.choice([1, 3, 40])
        span = f"BETWEEN {key} AND {key + size}"
        some = f"SELECT ctid FROM full_rows WHERE a = {key % 5} LIMIT {size}"
        text = chance.choice(["tab\\tand \\\\ back", "line\\nfeed", "", "ünïcode", "\\\\N"])
        yield chance.choice(
            [
                f"INSERT INTO plain SELECT i, E'{text}', i, repeat('x', 3000) || i FROM"
                f" generate_series({key}, {key + size}) i ON CONFLICT DO NOTHING",
                f"UPDATE plain SET b = b + 1, a = E'{text}' WHERE id {span}",
                f"UPDATE plain SET long = repeat('y', 2500) || {key}, a = NULL WHERE id {span}",
                f"UPDATE plain SET id = id + 10000 WHERE id {span}",
                f"UPDATE plain SET id = id - 10000 WHERE id - 10000 {span}",
                f"UPDATE plain SET id = -id, a = 'moved' WHERE id = {key}",
                f"DELETE FROM plain WHERE id {span}",
                f"INSERT INTO strict SELECT i, i % 3, 'n' || i, 0 FROM generate_series({key}, {key + size}) i"
                " ON CONFLICT DO NOTHING",
                f"UPDATE strict SET name = 'was ' || name WHERE id = {key}",
                f"UPDATE strict SET name = 'n' || {key} WHERE id = {other}",
                f"UPDATE strict SET n = n + 1 WHERE id {span}",
                f"UPDATE strict SET part = part + 3 WHERE id {span}",
                f"DELETE FROM strict WHERE id {span}",
                f"INSERT INTO full_rows SELECT i % 5, E'{text}', '[1,  2]' FROM generate_series(1, {size}) i",
                f"UPDATE full_rows SET b = b || 'z' WHERE ctid IN ({some})",
                f"DELETE FROM full_rows WHERE ctid IN ({some})",
                f"INSERT INTO child VALUES ({key}, {other}, 'c') ON CONFLICT DO NOTHING",
                f"UPDATE child SET id = id + 1000 WHERE id = {key}",
                *(["TRUNCATE plain", "TRUNCATE child, strict"] if chance.random() < 0.05 else []),
            ]
        )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("round", range(3))
def test_random_transactions_arrive(
    road: Road, monkeypatch: pytest.MonkeyPatch, size: str, seed: int, round: int
) -> None:
    monkeypatch.setattr(apply, "ROWS_MAX", SIZES[size])
    chance = random.Random(f"{seed} {round}")
    statements = acts(chance)
    for statement in SCHEMA:
        road.source.execute(statement.encode())
    road.run()
    road.target.execute("ALTER TABLE strict ADD UNIQUE (name)")
    for _ in range(3):
        for _ in range(60):
            with suppress(psycopg.Error), road.source.transaction():
                for _ in range(chance.randrange(1, 6)):
                    road.source.execute(next(statements).encode())
                if chance.random() < 0.1:
                    raise psycopg.Error
        road.run()
        road.same(*TABLES)
    assert not (road.folder / "letters").exists() or not (road.folder / "letters").stat().st_size
