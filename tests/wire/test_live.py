"""Random concurrent transactions on real servers: what was decoded, replayed in order, is what the tables hold."""

from __future__ import annotations

import random
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from tests.wire import capture, native
from tests.wire.native import Limits
from tests.wire.oracle import UNCHANGED, Oracle, Row

_KEYS_EACH = 10_000
_STEPS = 250


class Client:
    """One session: large and small transactions with savepoints, on keys of its own, so that nobody waits."""

    def __init__(self, connection: psycopg.Connection, number: int, choose: random.Random) -> None:
        self._connection = connection
        self._first = number * _KEYS_EACH
        self._choose = choose
        self._savepoints = 0
        self._inside = False

    def step(self) -> None:
        """Do one thing that is possible now."""
        if not self._inside:
            self._run("BEGIN")
            self._inside, self._savepoints = True, 0
        match self._choose.choices(
            ["write", "savepoint", "roll back", "release", "commit", "abort"], [8, 3, 2, 1, 2, 1]
        )[0]:
            case "write":
                self._write()
            case "savepoint":
                self._savepoints += 1
                self._run(f"SAVEPOINT s{self._savepoints}")
            case "roll back" if self._savepoints:
                self._savepoints = self._choose.randint(1, self._savepoints)
                self._run(f"ROLLBACK TO s{self._savepoints}")
            case "release" if self._savepoints:
                self._run(f"RELEASE s{self._savepoints}")
                self._savepoints -= 1
            case "commit":
                self.end("COMMIT")
            case "abort":
                self.end("ROLLBACK")

    def end(self, how: str) -> None:
        if self._inside:
            self._run(how)
        self._inside = False

    def _write(self) -> None:
        low = self._first + self._choose.randrange(_KEYS_EACH)
        high = min(low + self._choose.choice([0, 10, 600]), self._first + _KEYS_EACH - 1)
        keys = f"generate_series({low}, {high}) i"
        word = self._choose.randrange(1_000_000)
        large = f"(SELECT string_agg(md5(({word} + j)::text), '') FROM generate_series(1, 80) j)"
        self._run(
            self._choose.choice(
                [
                    f"INSERT INTO t SELECT i, 'v{word}', NULL FROM {keys} ON CONFLICT DO NOTHING",
                    f"INSERT INTO t VALUES ({low}, 'l', {large}) ON CONFLICT (id) DO UPDATE SET big = excluded.big",
                    f"UPDATE t SET v = 'u{word}' WHERE id BETWEEN {low} AND {high}",
                    f"DELETE FROM t WHERE id BETWEEN {low} AND {high}",
                    f"SELECT pg_logical_emit_message({self._choose.choice(['true', 'false'])}, 'p', '{word}')",
                ]
            )
        )

    def _run(self, statement: str) -> None:
        self._connection.execute(statement.encode())


@pytest.mark.parametrize("identity", ["DEFAULT", "FULL"])
def test_what_was_decoded_is_what_the_tables_hold(any_database: str, identity: str, tmp_path: Path) -> None:
    choose = random.Random(identity)
    with ExitStack() as stack:
        connections = [stack.enter_context(psycopg.connect(any_database, autocommit=True)) for _ in range(4)]
        connections[0].execute("CREATE TABLE t (id int PRIMARY KEY, v text, big text)")
        connections[0].execute(f"ALTER TABLE t REPLICA IDENTITY {identity}".encode())
        clients = [Client(connection, number, choose) for number, connection in enumerate(connections)]

        def run() -> None:
            for _ in range(_STEPS):
                choose.choice(clients).step()
            for client in clients:
                client.end("COMMIT")

        messages = capture.record(any_database, run)
        held = {str(row[0]): row[1:] for row in connections[0].execute("SELECT id, v, big FROM t")}
    assert sum(message[25:26] == b"S" for message in messages) > 10, "little was streamed"
    decoded = native.decode(messages, Limits(10_000, 100_000, 50), tmp_path)
    oracle = Oracle()
    oracle.feed(messages)
    assert decoded.rows == oracle.rows
    assert _replayed(decoded.rows) == held


def _replayed(rows: list[Row]) -> dict[str | None, tuple[str | None, ...]]:
    table: dict[str | None, dict[str, str | None]] = {}
    for row in rows:
        if row.op == "m":
            continue
        if row.after is None:
            assert row.before is not None
            del table[row.before["id"]]
            continue
        key = row.after["id"]
        assert (key in table) == (row.op == "u")
        old = table.get(key, {})
        table[key] = {name: old[name] if cell == UNCHANGED else cell for name, cell in row.after.items()}
    return {key: (row["v"], row["big"]) for key, row in table.items()}
