"""What Kafka's topics hold after kills, as consumers see them."""

from collections import defaultdict
from typing import Any

import psycopg

from servers import kafka
from tests.crash.ledger import ACCOUNTS, TALLY, Again
from tests.crash.load import PARTS
from tests.server.sink.kafka import topics

TABLES = ("entries", "log", "accounts", *(f"part_{part}" for part in range(PARTS)))


class Topics:
    """Topics of one partition each. Between them Kafka has no order: each is read for itself."""

    def __init__(self, broker: kafka.Broker, prefix: str, *, once: bool) -> None:
        self._broker = broker
        self._prefix = prefix
        self._once = once

    def prefix(self) -> dict[int, int]:
        again, counted = self._read()
        if self._once:
            for (table, row), count in counted.items():
                assert count == 1, f"{row} of {table} came {count} times"
        return again.complete()

    def compare(self, url: str) -> None:
        again, _ = self._read()
        with psycopg.connect(url) as source:
            assert sorted(again.accounts.values()) == source.execute(ACCOUNTS.format("public.").encode()).fetchall()
            assert sorted(again.parts) == source.execute(TALLY.format("public.").encode()).fetchall()

    def _read(self) -> tuple[Again, dict[tuple[str, Any], int]]:
        again, counted = Again(), defaultdict[tuple[str, Any], int](int)
        for record in topics.read(self._broker, *(f"{self._prefix}.public.{table}" for table in TABLES)):
            if record.value is None:
                continue
            event, table = record.event, record.topic.rpartition(".")[2]
            again.take(table, event)
            # A snapshot that was killed is read again under the same keys, as Debezium does; changes are not.
            if event["op"] != "r" and table in {"entries", "log"}:
                counted[table, tuple(event["after"].values())] += 1
            elif event["op"] == "u" and table == "accounts":
                row = event["after"]
                counted[table, (row["writer"], row["tx"], row["id"], row["version"])] += 1
        return again, counted
