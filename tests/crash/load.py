"""Writes to the source while pipelines are killed, and remembers every transaction that was committed."""

import random
import threading
from typing import Any

import psycopg

SCHEMA = """
CREATE TABLE entries (writer int, tx int, n int, of int, PRIMARY KEY (writer, tx, n));
CREATE TABLE accounts (id int PRIMARY KEY, version int NOT NULL, writer int NOT NULL, tx int NOT NULL, note text);
ALTER TABLE accounts ALTER note SET STORAGE EXTERNAL;
CREATE SCHEMA aside;
CREATE TABLE aside.clock AS SELECT 0::bigint AS place;
CREATE FUNCTION aside.tick() RETURNS bigint LANGUAGE sql AS 'UPDATE aside.clock SET place = place + 1 RETURNING place';
CREATE TABLE log (writer int, tx int, account int, place bigint DEFAULT aside.tick());
"""
"""The row of the clock is locked from a tick to its transaction's end: places are in the order of commits, of all
writers, without a gap. No pipeline reads it."""
PART = "CREATE TABLE part_{0} (id int PRIMARY KEY); INSERT INTO part_{0} SELECT generate_series(1, 500)"
ACCOUNTS = 200
PARTS = 12
"""Tables that only a snapshot reads, so that it has many writes; rows vanish from them between its attempts."""
PAUSE_S = 0.01


def note(version: int) -> str:
    """Too long for its page, so that an update that leaves it alone does not send it."""
    return random.Random(version).randbytes(1_200).hex()


def fill(url: str, rows: int) -> None:
    """What is there before the pipelines start: transaction 0 of writer 0."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        for part in range(PARTS):
            connection.execute(PART.format(part))
        connection.execute("INSERT INTO entries SELECT 0, 0, n, %s FROM generate_series(1, %s) n", [rows, rows])
        connection.execute("INSERT INTO log VALUES (0, 0)")
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO accounts VALUES (%s, 0, 0, 0, %s)", [(key, note(0)) for key in range(ACCOUNTS)]
            )


def shrink(url: str) -> None:
    """A row of each part vanishes: an attempt that read it must leave no ghost of it (I15)."""
    with psycopg.connect(url) as connection:
        for part in range(PARTS):
            connection.execute(f"DELETE FROM part_{part} WHERE id = (SELECT min(id) FROM part_{part})")


class Load(threading.Thread):
    """One connection that commits transactions, numbered from 1, until told to stop.

    What a transaction does follows from `seed`, the writer and its number, whatever became of those before.
    """

    def __init__(self, url: str, writer: int, *, seed: int, pause_s: float = PAUSE_S) -> None:
        super().__init__(daemon=True)
        self._seed = seed
        self._pause_s = pause_s
        self.url = url
        self.writer = writer
        self.committed = 0
        """The last transaction that the server has acknowledged."""
        self.sizes: dict[int, int] = {}
        """How many entries each of them made; those that were rolled back are not in it."""
        self.cuts = 0
        """How often the server failed it."""
        self._stop_asked = threading.Event()
        self._until: int | None = None

    def run(self) -> None:
        while not self._stop_asked.wait(self._pause_s):
            try:
                with psycopg.connect(self.url, autocommit=True, connect_timeout=5) as connection:
                    self._resolve(connection)
                    while not self._stop_asked.wait(self._pause_s):
                        if self._until is None or self.committed < self._until:
                            self._transaction(connection, self.committed + 1)
                            self.committed += 1
            except psycopg.OperationalError:
                self.cuts += 1  # the server was stopped, or is full: others make the faults, this goes on

    def stop(self) -> None:
        self._stop_asked.set()
        self.join()

    def allow(self, transactions: int | None) -> None:
        """Commit so many from now on, or one that is under way besides, and rest then; None is without end."""
        self._until = None if transactions is None else self.committed + transactions

    def resolve(self) -> None:
        """Ask, if it was ever cut off, how far it came: the last acknowledgement may have been lost."""
        if self.cuts:
            with psycopg.connect(self.url, autocommit=True) as connection:
                self._resolve(connection)

    def _resolve(self, connection: psycopg.Connection[Any]) -> None:
        found = connection.execute("SELECT max(tx) FROM log WHERE writer = %s", [self.writer]).fetchone()
        if found is not None and found[0] is not None:
            self.committed = found[0]

    def _transaction(self, connection: psycopg.Connection[Any], tx: int) -> None:
        chance = random.Random(f"{self._seed} {self.writer} {tx}")
        count = chance.choice([1, 2, 5, 20, 300])
        with connection.transaction(), connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO entries SELECT %s, %s, n, %s FROM generate_series(1, %s) n",
                [self.writer, tx, count, count],
            )
            # Writers own the accounts of their remainder, so that versions are in commit order.
            key = chance.randrange(0, ACCOUNTS, 2) + self.writer % 2
            changed = "version = version + 1, writer = %(writer)s, tx = %(tx)s"
            act = chance.random()
            if act < 0.1:
                cursor.execute("DELETE FROM accounts WHERE id = %(id)s", {"id": key})
                cursor.execute(
                    "INSERT INTO accounts VALUES (%(id)s, 0, %(writer)s, %(tx)s, %(note)s)",
                    {"id": key, "writer": self.writer, "tx": tx, "note": note(tx)},
                )
            elif act < 0.2:
                # Another key and back within one transaction.
                where = {"id": key, "away": key + 10_000, "writer": self.writer, "tx": tx}
                cursor.execute(f"UPDATE accounts SET id = %(away)s, {changed} WHERE id = %(id)s", where)
                cursor.execute("UPDATE accounts SET id = %(id)s WHERE id = %(away)s", where)
            else:
                cells = {"id": key, "writer": self.writer, "tx": tx, "note": note(tx)}
                extra = ", note = %(note)s" if act > 0.8 else ""
                cursor.execute(f"UPDATE accounts SET {changed}{extra} WHERE id = %(id)s", cells)
            if chance.random() < 0.05:
                with connection.transaction(force_rollback=True):
                    cursor.execute("INSERT INTO entries VALUES (%s, %s, -1, 0)", [self.writer, tx])
            # The last statement: both writers are under way until one waits for the other's commit here.
            cursor.execute("INSERT INTO log VALUES (%s, %s, %s)", [self.writer, tx, key])
        self.sizes[tx] = count
