"""What the programs and commands of documents and examples must have printed or written. Never runs one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import psycopg

Holds = Callable[[str, Path], bool]
"""Whether the database (a URL) or the folder that it ran in holds what it should."""


@dataclass(frozen=True, slots=True)
class Result:
    """`printed` is found in its output, a line at a time; a program with neither asserts by itself what it shows."""

    printed: str | None = None
    held: Holds | None = None


def _events(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def _filed(topic: str) -> Holds:
    """The five orders of before, as the first events of a snapshot of theirs."""

    def held(_: str, folder: Path) -> bool:
        first = _events(folder, "orders.jsonl")[:5]
        told = [(event["topic"], event["key"]["id"], event["value"]["op"]) for event in first]
        return told == [(topic, key, "r") for key in range(1, 6)]

    return held


def _extracted(_: str, folder: Path) -> bool:
    """The orders of before as rows, and the customers in their envelopes."""
    events = _events(folder, "shop.jsonl")
    rows = [event["value"] for event in events if event["topic"] == "shop.public.orders" and event["value"]]
    others = [event["value"] for event in events if event["topic"] == "shop.public.customers"]
    told = [(value.get("op"), (value.get("after") or {}).get("id")) for value in others]
    return [row.get("id") for row in rows][:5] == [*range(1, 6)] and told == [("r", key) for key in range(1, 4)]


def _paid(_: str, folder: Path) -> bool:
    """Paid orders alone, and the one of before."""
    rows = [event["value"]["after"] for event in _events(folder, "orders.jsonl")]
    return {row["status"] for row in rows} == {"paid"} and rows[0]["id"] == 5


def _copied(name: str) -> Holds:
    """The customers, and no fewer orders than there were."""

    def held(_: str, folder: Path) -> bool:
        with duckdb.connect(str(folder / name)) as copy:
            counted = "SELECT (SELECT count(*) FROM public.customers), (SELECT count(*) >= 5 FROM public.orders)"
            return copy.execute(counted).fetchone() == (3, True)

    return held


def _orders(_: str, folder: Path) -> bool:
    with duckdb.connect(str(folder / "shop.duckdb")) as copy:
        return copy.execute("SELECT count(*) >= 5 FROM public.orders").fetchone() == (True,)


def _replicated(schema: str, *, masked: bool) -> Holds:
    """The orders of before are equal (others are written meanwhile), and the names of customers, or masked."""

    def held(database: str, _: Path) -> bool:
        with psycopg.connect(database) as connection:
            orders = connection.execute(
                "SELECT (SELECT array_agg(o ORDER BY id) FROM orders AS o WHERE id <= 5)::text"
                f" = (SELECT array_agg(o ORDER BY id) FROM {schema}.orders AS o WHERE id <= 5)::text".encode()
            ).fetchone()
            customers = connection.execute(
                f"SELECT count(*), count(*) FILTER (WHERE name LIKE 'customer%') FROM {schema}.customers".encode()
            ).fetchone()
        return orders == (True,) and customers == (3, 0 if masked else 3)

    return held


def _audited(_: str, folder: Path) -> bool:
    entries = _events(folder, "audit.jsonl")
    return {entry["table"] for entry in entries} == {"public.orders"} and {entry["op"] for entry in entries} >= {"c"}


def _tallied(_: str, folder: Path) -> bool:
    return sum(int(line.split()[0]) for line in (folder / "tally.txt").read_text().splitlines()) >= 8


def _dropped(database: str, _: Path) -> bool:
    with psycopg.connect(database) as connection:
        left = connection.execute("SELECT slot_name FROM pg_replication_slots WHERE database = current_database()")
        return ("tailrace_copy",) not in left.fetchall()


EXAMPLES: Mapping[str, Result] = {
    "audit_log": Result(r"^logged [1-9]\d* changes$", _audited),
    "cache_invalidation": Result(r"^invalidated public\.orders .*id"),
    "custom_sink": Result(None, _tallied),
    "outbox": Result(r"^send outbox\.mail \d+$"),
    "search_index": Result(r"^indexed [1-9]\d* changes$"),
    "tail": Result(r"^\S+ \S+ [cud] public\.orders "),
    "testing_handlers": Result(),
    "to_duckdb": Result(None, _orders),
    "to_file": Result(None, _paid),
    "to_postgres": Result(r"^the copy is up to date", _replicated("reports", masked=True)),
    "typed_handlers": Result(r"^thank [12] for (9|19)\.99$"),
}
"""Of each example."""

_CAPTURED = Result(r"^  ok +table public\.orders: can be captured$")
_RAN = Result(None, _filed("orders.public.orders"))

DOCUMENTS: Mapping[str, tuple[Result, ...]] = {
    "README.md": (
        Result(r"^c \{'id': \d+\} \{'id': \d+, .*Decimal\('(9|19)\.99'\)"),
        _CAPTURED,
        _RAN,
        Result(r"^orders +stopped .*/0*1/\w+$"),
        Result(r"\A(\S+ = public\.customers id=[1-3] name='customer [1-3]'\n){3}\Z"),
        Result(None, _copied("shop.duckdb")),
        Result(r"^c public\.orders \{'id': \d+, .*Decimal\('19\.99'\)"),
    ),
    "docs/explanation/positions.md": (Result(r'^up to Position\(lineage="postgres/\d+/\w+/\w+", text="[^"]+"\)$'),),
    "docs/howto/dead-letters.md": (
        _RAN,
        Result(r"\AID +OP +TABLE +PARKED +TRIES +REASON\n\Z"),
        Result(r"^there is nothing to replay$"),
        Result(r"^there is nothing to drop$"),
    ),
    "docs/howto/debezium.md": (Result(r'^slot = "debezium"\npublication = "dbz_publication"$'),),
    "docs/howto/duckdb.md": (Result(r"^│ new +│ +[4-9] │ +\d+\.\d\d │$"),),
    "docs/howto/files.md": (Result(r"^([89]|[1-9]\d+) events, files\.public\.\w+$"),),
    "docs/howto/handlers.md": (Result(r"(?s)^u public\.orders \d+$.*^gone: \[\d+"), Result()),
    "docs/howto/operate.md": (Result(r"^orders +stopped +- +0 "),),
    "docs/howto/replica.md": (Result(None, _replicated("replica", masked=False)),),
    "docs/howto/transforms.md": (Result(None, _extracted),),
    "docs/howto/verify.md": (
        Result(None, _copied("shop.duckdb")),
        Result(r"(?s)^public\.customers +3 +3( +0){6}$.*^public\.orders +\d+ +\d+( +0){4} +\d+ +0$"),
    ),
    "docs/reference/configuration.md": (Result(None, _filed("shop.public.orders")),),
    "docs/tutorial.md": (
        _CAPTURED,
        Result(r"\A(\S+ = public\.orders id=[1-5] customer_id=[1-3] .*\n){5}"),
        Result(r"^r public\.orders \{'id': 1\} \{'id': 1, 'customer_id': 2, 'amount': Decimal\('1\.00'\), "),
        Result(r"(?s)^order 1 over 1\.00$.*^order \d+ is paid$"),
        Result(r"^  ok +replica\.duckdb: it can be written$"),
        Result(None, _copied("replica.duckdb")),
        Result(r"^copy +stopped .*/0*1/\w+$"),
        Result(r"^copy: removed replication slot tailrace_copy$", _dropped),
    ),
}
"""Of each program and command of a document that is run, in the order in which they stand there."""
