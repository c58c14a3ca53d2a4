"""One transaction of 2 million rows goes through a pipeline within 256 MiB of memory, spilled to disk and whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psycopg

ROWS = 2_000_000
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

counter, folder = Counter(), Path(sys.argv[2])
source = tr.source.Postgres(sys.argv[1], tables=["public.big"], snapshot="never")
limits = Limits(spill_dir=folder)
tr.Pipeline(source, Sink(), name="big", state_dir=folder, limits=limits).run(until_current=True)
status = Path("/proc/self/status").read_text().splitlines()
peak_kib = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
print(json.dumps({"rows": counter.rows, "largest": max(counter.sizes, default=0), "peak_mib": peak_kib / 1024}))
"""


def run(url: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-c", PIPELINE, url, str(folder)]
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
    assert told["peak_mib"] < 256
