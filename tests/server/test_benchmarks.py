"""The benchmarks run, on a load too small to mean anything, and write the rows that interface.md promises."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import orders
from benchmarks.cases import cases
from servers import debezium, kafka, postgres
from tests.hiding import path_without
from tests.tidy import tree
from tests.wanting import or_skip

NAMES = {
    *("postgres_stream_json", "postgres_stream_handlers", "postgres_stream_arrow", "postgres_snapshot_json"),
    *("postgres_to_duckdb", "postgres_to_postgres", "postgres_to_postgres_mixed", "postgres_latency_p50_ms"),
    *("postgres_latency_p99_ms", "postgres_big_transaction", "decode_pgoutput", "encode_debezium_json", "encode_arrow"),
    *("kafka_sink", "kafka_source_handlers", "kafka_source_json", "kafka_to_postgres"),
}
"""What readers of build/bench.json may rely on."""
KEYS = {"name", "value", "unit", "reference", "reference_value", "ratio"} | {
    *("cpu_us_per_event", "reference_cpu_us_per_event", "rss_mb", "note")
}


SMALL = {"ROWS": "2000", "BIG_ROWS": "5000", "COMMITS": "500", "PAIRS": "1", "ONLY": "", "RIVALS": ""}


def run(output: Path, **asked: str) -> subprocess.CompletedProcess[str]:
    """A run of `make bench` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "benchmarks"],
        cwd=tree.ROOT,
        env=os.environ | SMALL | asked | {"OUTPUT": str(output)},
        capture_output=True,
        text=True,
        check=False,
    )


def bench(output: Path, **asked: str) -> list[dict[str, Any]]:
    """The rows that a run of `make bench` writes."""
    done = run(output, **asked)
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(output.read_text())
    assert [set(row) for row in rows] == [KEYS] * len(rows)
    assert all(row["value"] > 0 for row in rows)
    return rows


def test_every_case_yields_its_rows(tmp_path: Path, postgres18: postgres.Server) -> None:
    or_skip(kafka.install)
    rows = bench(tmp_path / "bench.json")
    names = {row["name"] for row in rows}
    assert names == {name for case in cases() for name in case.NAMES}
    assert names >= NAMES
    for row in rows:
        if "_latency_p" in row["name"]:
            assert re.match(r"400 commits at [1-9][\d,]*/s of 1,000 asked, ", row["note"]), row


def test_the_rate_that_is_told_is_the_one_that_was_reached(start_postgres: Callable[..., postgres.Server]) -> None:
    load = orders.load(start_postgres(18, settings=orders.SETTINGS), "rates", 10)
    for asked, first, most in ((20, 100, 40), (10**9, 200, 10**5)):
        writer = [sys.executable, "-m", "benchmarks.writer", load.url, str(first), "60", str(asked)]
        subprocess.run(writer, cwd=tree.ROOT, check=True)
        assert 0 < orders.rate(load, first, 60) < most


def test_only_what_is_asked_for_is_run_and_the_real_debezium_beside_it(
    tmp_path: Path, postgres18: postgres.Server
) -> None:
    or_skip(debezium.install)
    rows = bench(tmp_path / "bench.json", ONLY="postgres_stream_json", RIVALS="1")
    assert [row["name"] for row in rows] == ["postgres_stream_json", "debezium_stream_json"]
    assert rows[1]["rss_mb"] > rows[0]["rss_mb"], "a JVM"


def test_what_this_machine_cannot_run_is_told_and_the_rest_measured(
    tmp_path: Path, postgres18: postgres.Server
) -> None:
    hidden = path_without(tmp_path / "bin", "java")
    done = run(tmp_path / "bench.json", ONLY="kafka_sink,postgres_stream_arrow", PATH=hidden)
    assert done.returncode == 1
    told = "1 of 2 cases not measured:\n  kafka_sink, kafka_sink_transactions: this server needs a JDK"
    assert told in done.stderr[-300:]
    assert [row["name"] for row in json.loads((tmp_path / "bench.json").read_text())] == ["postgres_stream_arrow"]
