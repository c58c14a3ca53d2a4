"""Makes README's tables of what was measured from docs/reference/bench.json. Never measures, never checks.

    python -m tests.tidy.measured_page build/bench.json

takes the rows of a run into that record, in place of those of the same names, and writes the tables anew.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.tidy import tree

RECORD = tree.ROOT / "docs" / "reference" / "bench.json"
README = tree.ROOT / "README.md"
_PG, _PSQL = "`pg_recvlogical` to nothing", "`psql` COPY to nothing"
_OWN = "its own subscription, the faster setting"
_PRODUCE, _CONSUME = "the client producing alone", "the client consuming alone"
RATES = {
    "postgres_stream_json": ("stream → Debezium JSON", _PG),
    "debezium_stream_json": ("the real Debezium engine", _PG),
    "postgres_stream_arrow": ("stream → Arrow", _PG),
    "postgres_stream_handlers": ("stream → Python handler, mappings", _PG),
    "postgres_stream_handlers_dataclass": ("stream → Python handler, dataclasses", _PG),
    "postgres_stream_handlers_msgspec": ("stream → Python handler, msgspec", _PG),
    "postgres_stream_handlers_pydantic": ("stream → Python handler, pydantic", _PG),
    "postgres_snapshot_json": ("snapshot → Debezium JSON", _PSQL),
    "debezium_snapshot_json": ("the real Debezium engine", _PSQL),
    "postgres_to_duckdb": ("snapshot → DuckDB", _PSQL),
    "postgres_to_duckdb_stream": ("stream → DuckDB", _PG),
    "postgres_to_postgres": ("inserts → PostgreSQL", _OWN),
    "postgres_to_postgres_mixed": ("mixed changes → PostgreSQL", _OWN),
    "postgres_to_postgres_snapshot": ("snapshot → PostgreSQL", "`psql` COPY piped into COPY"),
    "kafka_sink": ("stream → Kafka", _PRODUCE),
    "kafka_sink_transactions": ("the same, with transactions", _PRODUCE),
    "debezium_kafka_sink": ("the real Debezium in Kafka Connect", _PRODUCE),
    "kafka_source_handlers": ("Kafka → Python handler", _CONSUME),
    "kafka_source_json": ("Kafka → Debezium JSON", _CONSUME),
    "kafka_to_postgres": ("Kafka → PostgreSQL", _CONSUME),
    "verify": ("`tailrace verify`, PostgreSQL → PostgreSQL", "`count(*), sum(hashtext(row::text))` on both"),
    "verify_duckdb": ("`tailrace verify`, PostgreSQL → DuckDB", "`count(*), sum(hashtext(row::text))` on the source"),
}
"""Rows of the first table, by their names in the record: what is measured, and its reference."""
_SUBSCRIPTION = "PostgreSQL's own subscription"
LAGS = {
    "postgres_latency": ("a handler", _SUBSCRIPTION),
    "debezium_latency": ("a consumer of the real Debezium engine", ""),
    "postgres_to_postgres_latency": ("a reader of a PostgreSQL target", _SUBSCRIPTION),
    "kafka_latency": ("a handler, through a warm Kafka broker", "the client producing and consuming alone"),
}
"""Rows of the second, by what stands before `_p50_ms` in the record."""
_WITH_DUCKDB = " with DuckDB's own"
_RATES_HEAD = """\
| | events/s | reference | its events/s | ratio | CPU µs an event (reference) | memory |
|---|---|---|---|---|---|---|
"""
_LAGS_HEAD = """\
| from commit to | p50 ms | p99 ms | reference | its p50 | its p99 |
|---|---|---|---|---|---|
"""

Rows = Mapping[str, Mapping[str, Any]]


def record() -> Rows:
    """The rows that are kept, by name."""
    return {row["name"]: row for row in json.loads(RECORD.read_text())}


def written(readme: str, rows: Rows) -> str:
    """README with both tables, and what a large transaction takes, as the record has them."""
    rates = "".join(_rate(rows[name], *texts, name=name) for name, texts in RATES.items())
    lags = "".join(_lag(rows[f"{name}_p50_ms"], rows[f"{name}_p99_ms"], *texts) for name, texts in LAGS.items())
    for head, body in ((_RATES_HEAD, rates), (_LAGS_HEAD, lags)):
        readme = re.sub(rf"{re.escape(head)}(\|.*\n)*", lambda _, table=head + body: table, readme)
    memory = f"takes {rows['postgres_big_transaction']['value']:.0f} MB of memory"
    return re.sub(r"takes \d+ MB of memory", memory, readme)


def _rate(row: Mapping[str, Any], label: str, reference: str, *, name: str) -> str:
    mine, theirs = row["cpu_us_per_event"], row["reference_cpu_us_per_event"] or 0.0
    beside = f" ({_time(theirs)})" if theirs >= 0.05 else ""  # less is none: another process did the work
    memory = f"{row['rss_mb']:.0f} MB{_WITH_DUCKDB if 'duckdb' in name else ''}"
    rates = (f"{round(row[key], -3):,.0f}" for key in ("value", "reference_value"))
    cells = [label, next(rates), reference, next(rates), f"{row['ratio']:.2f}", _time(mine) + beside, memory]
    return f"| {' | '.join(cells)} |\n"


def _lag(p50: Mapping[str, Any], p99: Mapping[str, Any], label: str, reference: str) -> str:
    mine, theirs = (
        ["" if row[key] is None else f"{row[key]:.3g}" for row in (p50, p99)] for key in ("value", "reference_value")
    )
    return f"| {' | '.join([label, *mine, reference, *theirs])} |\n"


def _time(us: float) -> str:
    return f"{us:.2f}" if us < 0.1 else f"{us:.1f}" if us < 30 else f"{us:.0f}"


def main(files: Sequence[str]) -> None:
    """Take in what these runs wrote, a later one before an earlier one, and write the tables."""
    rows = dict(record())
    for file in files:
        rows |= {row["name"]: row for row in json.loads(Path(file).read_text())}
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows.values())
    RECORD.write_text(f"[\n{lines}\n]\n")
    README.write_text(written(README.read_text(), rows))


if __name__ == "__main__":
    main(sys.argv[1:])
