"""The record of what was measured (docs/reference/bench.json) holds the bars that Tailrace set itself.

A row below its bar says in its note why: `below the bar of RATIO: …`. Nothing is measured here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.tidy import measured_page
from tests.tidy.measured_page import Rows

Row = Mapping[str, Any]

RATIOS = {
    "postgres_stream_json": 1.4,
    "postgres_snapshot_json": 0.8,
    "postgres_stream_handlers": 0.6,
    "postgres_stream_handlers_dataclass": 0.6,
    "postgres_stream_handlers_msgspec": 0.6,
    "postgres_stream_handlers_pydantic": 0.4,
    "postgres_to_duckdb": 0.5,
}
"""At least so much of what the reference does in the same run: `pg_recvlogical` or `psql` COPY, to nothing."""
REPLICA = {"postgres_to_postgres": 1.2, "postgres_to_postgres_mixed": 1.0, "postgres_to_postgres_snapshot": 0.8}
"""The same, against PostgreSQL's own subscription and COPY into COPY; its memory has no bar."""
LIMITS = {
    "postgres_latency_p50_ms": 1.5,
    "postgres_latency_p99_ms": 5.0,
    "postgres_big_transaction": 256.0,
    "postgres_to_postgres_latency_p99_ms": 8.0,
    "kafka_latency_p99_ms": 12.0,
}
"""At most: milliseconds from commit to handler, MiB for ten million rows in one transaction."""
RATES = {"kafka_source_handlers": 100_000.0, "verify": 300_000.0, "verify_duckdb": 300_000.0}
"""At least so many changes, or rows, a second."""
RIVALS = {"kafka_sink": ("debezium_kafka_sink", 4.0)}
"""At least so many times what the real Debezium does."""
MEMORY_MB, DUCKDB_MB, KAFKA_MB = 150.0, 256.0, 200.0
"""Resident in all of these; beside it, DuckDB's `memory_limit` as it is unless it is set. With Kafka's client, and what
it holds, all in all."""
SMALL = (
    *RATIOS,
    "postgres_stream_arrow",
    "postgres_to_duckdb_stream",
    "postgres_latency_p50_ms",
    "postgres_big_transaction",
    "kafka_sink",
    "kafka_sink_transactions",
    "kafka_source_handlers",
    "kafka_source_json",
    "kafka_to_postgres",
    "kafka_latency_p50_ms",
)


def below(rows: Rows) -> list[str]:
    """Bars that the record does not hold and does not explain."""
    missed = [
        *_missed(rows, RATIOS | REPLICA, "ratio", lambda value, bar: value >= bar),
        *_missed(rows, LIMITS, "value", lambda value, bar: value < bar),
        *_missed(rows, RATES, "value", lambda value, bar: value >= bar),
        *_missed(rows, {name: _memory(name) for name in SMALL}, "rss_mb", lambda value, bar: value < bar),
    ]
    for name, (rival, bar) in RIVALS.items():
        if rows[name]["value"] < bar * rows[rival]["value"]:
            missed.append((name, f"times {rival}", bar))
    stream = rows["postgres_stream_json"]
    if stream["cpu_us_per_event"] > stream["reference_cpu_us_per_event"]:
        missed.append(("postgres_stream_json", "cpu_us_per_event", stream["reference_cpu_us_per_event"]))
    if rows["postgres_big_transaction"]["note"].split()[0] != "10,000,000":
        missed.append(("postgres_big_transaction", "rows", 10_000_000))
    notes = {name: str(row["note"]) for name, row in rows.items()}
    return [f"{name}: {what} {bar}" for name, what, bar in missed if f"below the bar of {bar:g}: " not in notes[name]]


def _missed(
    rows: Rows, bars: Mapping[str, float], what: str, holds: Callable[[float, float], bool]
) -> list[tuple[str, str, float]]:
    return [(name, what, bar) for name, bar in bars.items() if not holds(rows[name][what], bar)]


def _memory(name: str) -> float:
    if name.startswith("kafka"):
        return KAFKA_MB
    return MEMORY_MB + (DUCKDB_MB if "duckdb" in name else 0.0)


def test_every_bar_is_held_by_the_record_or_explained_in_it() -> None:
    assert not below(measured_page.record())


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        *((name, {"ratio": bar - 0.01}) for name, bar in (RATIOS | REPLICA).items()),
        *((name, {"value": bar}) for name, bar in LIMITS.items()),
        *((name, {"value": bar - 1.0}) for name, bar in RATES.items()),
        *((name, {"value": 1.0}) for name in RIVALS),
        *((name, {"rss_mb": 410.0}) for name in SMALL),
        ("postgres_stream_json", {"cpu_us_per_event": 9.0}),
        ("postgres_big_transaction", {"note": "2,000,000 rows in one transaction"}),
    ],
)
def test_a_row_below_its_bar_is_found_until_its_note_says_why(name: str, changed: Row) -> None:
    rows = measured_page.record()
    silent = {"note": str(rows[name]["note"]).split("; below the bar")[0]}
    worse = {**rows, name: {**rows[name], **silent, **changed}}
    [found] = below(worse)
    assert found.startswith(name)
    bar = float(found.split()[-1])
    told = {**worse, name: {**worse[name], "note": f"{worse[name]['note']}; below the bar of {bar:g}: a profile shows"}}
    assert not below(told)


def test_rivals_and_references_that_bars_are_compared_with_stand_in_the_record() -> None:
    rows = measured_page.record()
    assert {"debezium_stream_json", "debezium_snapshot_json", "postgres_to_duckdb_stream"} <= set(rows)
    assert all(rows[name]["reference"] and rows[name]["reference_value"] for name in (*RATIOS, *REPLICA, *LIMITS))
