"""The native core alone: decoding pgoutput, encoding Debezium JSON, encoding Arrow; all input lies in memory."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.result import Row

_MSGSPEC = "msgspec.json on finished events"
REFERENCES = {
    "decode_pgoutput": None,
    "encode_debezium_json": _MSGSPEC,
    "encode_debezium_json_schemas": _MSGSPEC,
    "encode_debezium_json_flat": _MSGSPEC,
    "encode_arrow": "pyarrow CSV reader, one thread",
}
SIDES = {
    "decode_pgoutput": "decode_pgoutput",
    "encode_debezium_json": "encode_json",
    "encode_debezium_json_schemas": "encode_json_with_schemas",
    "encode_debezium_json_flat": "encode_json_flat",
    "encode_arrow": "encode_arrow",
}
NAMES = tuple(SIDES)
ROWS = 100_000


def measure(bench: Bench) -> list[Row]:
    """Each in a process of its own, five rounds over the same batches."""
    return [_measure(bench, name) for name in NAMES]


def _measure(bench: Bench, name: str) -> Row:
    run, extra = bench.stream(SIDES[name], rows=min(ROWS, bench.rows))
    reference = extra.get("reference_rate")
    speed = extra.get("bytes_a_second")
    return Row(
        name,
        run.rate,
        "events/s",
        reference=REFERENCES[name],
        reference_value=reference,
        ratio=run.rate / reference if reference else None,
        cpu_us_per_event=run.cpu_us,
        note=f"{speed / 1e6:,.0f} MB/s" if speed else "",
    )
