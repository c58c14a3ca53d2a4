"""What Kafka's topics hold after kills, as consumers see them."""

import time
from collections import defaultdict
from typing import Any

import psycopg

from servers import kafka
from tests.crash.ledger import ACCOUNTS, TALLY, Again
from tests.crash.load import PARTS
from tests.server.sink.kafka import topics
from tests.waiting import TIMEOUT_S

TABLES = ("entries", "log", "accounts", *(f"part_{part}" for part in range(PARTS)))


class Topics:
    """Topics of one partition each. Between them Kafka has no order: each is read for itself."""

    def __init__(self, broker: kafka.Broker, prefix: str, *, once: bool) -> None:
        self._broker = broker
        self._once = once
        self._names = [f"{prefix}.public.{table}" for table in TABLES]

    def prefix(self) -> dict[int, int]:
        """The end of a transaction comes to one topic after the other, also when who committed it is dead. Nothing may
        write meanwhile: only what is there already may still show."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            again, counted = self._read()
            if self._once:
                for (table, row), count in counted.items():
                    assert count == 1, f"{row} of {table} came {count} times"
            try:
                return again.complete()
            except AssertionError:
                if not self._once or time.monotonic() > deadline:
                    raise

    def rest(self) -> None:
        """Wait until what was committed last can be read, a moment after it was answered; nothing may be left open."""
        for _ in topics.each(self._broker, *self._names, settled=True):
            pass

    def compare(self, url: str) -> None:
        again, _ = self._read()
        with psycopg.connect(url) as source:
            assert sorted(again.accounts.values()) == source.execute(ACCOUNTS.format("public.").encode()).fetchall()
            assert sorted(again.parts) == source.execute(TALLY.format("public.").encode()).fetchall()

    def covers(self, url: str) -> None:
        """See `Again.covers`."""
        again, _ = self._read()
        again.covers(url)

    def _read(self) -> tuple[Again, dict[tuple[str, Any], int]]:
        """What a consumer has, and how often each change came, or row of an attempt at the snapshot.

        One that was killed is followed by another, of a later point of the log, with all rows again, as Debezium's; who
        sees each change once can leave out those before the last, and then has no row that vanished between them.
        """
        again, counted = Again(), defaultdict[tuple[str, Any], int](int)
        records = topics.read(self._broker, *self._names)
        events = [(each.topic.rpartition(".")[2], each.event) for each in records if each.value is not None]
        last = max((event["source"]["lsn"] for _, event in events if event["op"] == "r"), default=0)
        for table, event in events:
            op, attempt, row = event["op"], event["source"]["lsn"], event["after"]
            if op != "r" or attempt == last or not self._once:
                again.take(table, event)
            if op == "r":
                counted[table, (attempt, *row.values())] += 1
            elif table in {"entries", "log"}:
                counted[table, tuple(row.values())] += 1
            elif op == "u" and table == "accounts":
                counted[table, (row["writer"], row["tx"], row["id"], row["version"])] += 1
        return again, counted
