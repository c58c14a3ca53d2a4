"""Transactions much larger than the memory allowed go through a pipeline within 256 MiB, spilled to disk and whole."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import psycopg
import pytest

from tests.server.sink.kafka.topics import each

BOUND_MIB = 256
ROWS = 2_000_000
WIDE_ROWS, NOTE_BYTES = 250_000, 3_200
"""Three times the bound, and one transaction for all sinks: each has a slot of its own."""
DUCKDB_MIB = 128
"""What the engine may take for itself, beside what Tailrace does."""
PIPELINE = """
import json, sys
from pathlib import Path
import tailrace as tr
from tailrace.format import Format
from tailrace.model import Limits

class Counter:
    sizes, rows, last, profile = [], 0, None, Format(topic_prefix="big").profile("big")
    def write(self, batch):
        assert not batch or batch.resident_nbytes < 64 << 20
        self.sizes.append(len(batch))
        for encoded in batch.json(self.profile):
            self.rows += len(encoded)
    def close(self):
        pass

class Sink:
    kind, transactional, table_like, truncate = "counter", False, False, True
    def check(self):
        return []
    def open(self, name, limits):
        return counter

counter, folder, kind = Counter(), Path(sys.argv[2]), sys.argv[3]
target, prefix = (*sys.argv[5:], "", "")[:2]
brokers = {"url": target, "create_topics": True, "format": Format(topic_prefix=f"{prefix}.{kind}")}
source = tr.source.Postgres(sys.argv[1], tables=["public.big"], snapshot="never")
limits = Limits(spill_dir=folder)
app = tr.App(source, name=kind)
@app.on("public.big", op="c")
def count(change):
    counter.rows += 1
    counter.last = len(change.after["note"])
sink = {"counter": Sink, "app": lambda: app, "file": lambda: tr.sink.File(folder / "big.jsonl"),
        "duckdb": lambda: tr.sink.DuckDB(folder / "big.duckdb", memory_limit=sys.argv[4]),
        "postgres": lambda: tr.sink.Postgres(target), "kafka": lambda: tr.sink.Kafka(**brokers),
        "kafka_split": lambda: tr.sink.Kafka(**brokers, transactions=True, split_transactions=True,
                                             transaction_bytes_max=64 << 20)}[kind]()
state_dir = None if sink.transactional else folder
tr.Pipeline(source, sink, name=kind, state_dir=state_dir, limits=limits).run(until_current=True)
status = Path("/proc/self/status").read_text().splitlines()
peak_kib = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
print(json.dumps({"rows": counter.rows, "largest": max(counter.sizes, default=0), "peak_mib": peak_kib / 1024}))
"""


def run(url: str, folder: Path, kind: str = "counter", *targets: str) -> dict[str, float]:
    script = folder / "pipeline.py"  # without a file, DuckDB takes it for a session at a terminal and draws progress
    script.write_text(PIPELINE)
    command = [sys.executable, str(script), url, str(folder), kind, f"{DUCKDB_MIB}MiB", *targets]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, float] = json.loads(done.stdout)
    return told


def test_i8_two_million_rows_in_one_transaction_stay_within_256_mib(database: str, tmp_path: Path) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE big (id bigint PRIMARY KEY, note text, amount numeric(12,2), at timestamptz)")
        assert run(database, tmp_path)["rows"] == 0
        connection.execute(
            """INSERT INTO big
               SELECT i, 'a note of some length for row ' || i, i / 7.0, now() FROM generate_series(1, %s) AS i""",
            [ROWS],
        )
        told = run(database, tmp_path)
    assert (told["rows"], told["largest"]) == (ROWS, ROWS)
    assert told["peak_mib"] < BOUND_MIB


def test_i8_a_transaction_of_three_times_the_bound_goes_into_every_sink_within_it(
    database: str, tmp_path: Path
) -> None:
    assert WIDE_ROWS * NOTE_BYTES > 2.9 * BOUND_MIB * (1 << 20)
    kinds: dict[str, Callable[[float], tuple[float, float]]] = {
        "file": lambda counted: _lines(tmp_path / "big.jsonl"),
        "app": lambda counted: (counted, 0),
        "duckdb": lambda counted: _rows(tmp_path / "big.duckdb"),
    }
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE big (id bigint PRIMARY KEY, note text)")
        for kind in kinds:
            assert run(database, tmp_path, kind)["rows"] == 0
        # It is small on the server's disk, and as wide as it is wherever it is read.
        connection.execute(
            "INSERT INTO big SELECT i, repeat(md5(i::text), %s) FROM generate_series(1, %s) AS i",
            [NOTE_BYTES // 32, WIDE_ROWS],
        )
    for kind, held in kinds.items():
        told = run(database, tmp_path, kind)
        rows, nbytes = held(told["rows"])
        assert rows == WIDE_ROWS
        assert nbytes == 0 or nbytes >= WIDE_ROWS * NOTE_BYTES
        bound = BOUND_MIB + (DUCKDB_MIB if kind == "duckdb" else 0)
        assert told["peak_mib"] < bound, f"{kind}: {told['peak_mib']:.0f} MiB"


@pytest.mark.parametrize("kind", ["postgres", "kafka", "kafka_split"])
def test_i8_a_transaction_of_three_times_the_bound_goes_to_servers_within_it(
    database: str, target_database: str, request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    targets = [target_database]
    if kind != "postgres":
        targets = [f"kafka://{request.getfixturevalue('kafka').address}", request.getfixturevalue("topic")]
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE big (id bigint PRIMARY KEY, note text)")
        run(database, tmp_path, kind, *targets)
        connection.execute(
            "INSERT INTO big SELECT i, repeat(md5(i::text), %s) FROM generate_series(1, %s) AS i",
            [NOTE_BYTES // 32, WIDE_ROWS],
        )
    told = run(database, tmp_path, kind, *targets)
    assert told["peak_mib"] < BOUND_MIB, f"{kind}: {told['peak_mib']:.0f} MiB"
    if kind == "postgres":
        with psycopg.connect(target_database) as target:
            found = target.execute("SELECT count(*), sum(length(note)) FROM big").fetchone()
            assert found == (WIDE_ROWS, WIDE_ROWS * NOTE_BYTES)
        return
    broker, nbytes, keys = request.getfixturevalue("kafka"), 0, list[bytes | None]()
    for record in each(broker, f"{targets[1]}.{kind}.public.big", settled=True):
        nbytes += len(record.value or b"")
        keys.append(record.key)
    assert len(keys) == WIDE_ROWS and nbytes > WIDE_ROWS * NOTE_BYTES
    assert {json.loads(key or b"null")["id"] for key in keys} == set(range(1, WIDE_ROWS + 1))


def _lines(path: Path) -> tuple[int, int]:
    with path.open("rb") as file:
        return sum(1 for _ in file), path.stat().st_size


def _rows(path: Path) -> tuple[int, int]:
    with duckdb.connect(str(path), read_only=True) as connection:
        found = connection.execute("SELECT count(*), sum(length(note)) FROM public.big").fetchone()
    assert found is not None
    return found[0], found[1]
