"""The real Debezium engine on the loads that we are measured on: JSON, records counted and dropped, no Kafka."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil

from benchmarks import orders
from benchmarks.bench import Bench
from benchmarks.orders import Load
from benchmarks.result import Run, quantiles
from benchmarks.writer import wait_for_reader
from servers import debezium

_TIMEOUT_S = 600.0


def stream(bench: Bench) -> Run:
    """The load from a copy of its slot."""
    slot = bench.slot()
    orders.copy_slot(bench.load, slot)
    try:
        return _count(bench.load, slot, mode="no_data")
    finally:
        orders.drop_slot(bench.load, slot)


def snapshot(bench: Bench) -> Run:
    """The whole table."""
    slot = bench.slot()
    try:
        return _count(bench.load, slot, mode="initial_only")
    finally:
        orders.drop_slot(bench.load, slot)


def latency(load: Load, *, count: int, warm_up: int, rate: int) -> dict[str, float]:
    """From the commit's time stamp to the record's arrival through a pipe, at the engine's fastest polling."""
    first = 20_000_000
    settings = _settings(load, "debezium_latency", mode="no_data") | {"poll.interval.ms": "1"}
    with debezium.run(settings, java_options=()) as engine:
        wait_for_reader(load.url, "debezium_latency")
        arguments = [load.url, str(first), str(count), str(rate)]
        subprocess.run([sys.executable, "-m", "benchmarks.writer", *arguments], check=True)
        records = engine.take(count, timeout_s=_TIMEOUT_S)[warm_up:]
    orders.drop_slot(load, "debezium_latency")
    committed = [json.loads(record.value or b"{}")["source"]["ts_us"] / 1e6 for record in records]
    return quantiles([record.received_at - at for record, at in zip(records, committed, strict=True)])


def _count(load: Load, slot: str, *, mode: str) -> Run:
    """From the first batch to the last: the start of a JVM is not counted."""
    with debezium.run(_settings(load, slot, mode=mode), discard=True, java_options=()) as engine:
        jvm = psutil.Process(engine.pid)
        first = engine.counted(1, timeout_s=_TIMEOUT_S)
        started, before = time.perf_counter(), jvm.cpu_times()
        engine.counted(load.rows, timeout_s=_TIMEOUT_S)
        seconds, after = time.perf_counter() - started, jvm.cpu_times()
        peak = next(line for line in Path(f"/proc/{engine.pid}/status").read_text().splitlines() if "VmHWM" in line)
    cpu_s = after.user + after.system - before.user - before.system
    return Run(seconds, cpu_s, load.rows - first, int(peak.split()[1]) / 1024)


def _settings(load: Load, slot: str, *, mode: str) -> dict[str, str]:
    return debezium.properties(
        load.url,
        snapshot_mode=mode,
        slot_name=slot,
        publication_name="bench",
        publication_autocreate_mode="disabled",
        table_include_list="public.orders",
        slot_drop_on_stop="false",
    )
