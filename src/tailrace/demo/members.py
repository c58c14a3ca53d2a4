"""The processes of the demo over Kafka: one fills the topics, the others share them. Never compares.

python -m tailrace.demo.members fill URL ADDRESS FOLDER
python -m tailrace.demo.members consume NAME ADDRESS FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from tailrace.contract import Sink
from tailrace.demo.metered import Meter, metered, serve
from tailrace.format import Format
from tailrace.pipeline import Pipeline
from tailrace.sink.duckdb import DuckDB
from tailrace.sink.kafka import Kafka as Topics
from tailrace.source.kafka import Kafka as Group
from tailrace.source.postgres import Postgres

FILL = "fill"
PREFIX = "demo"
GROUP = "demo-copies"


def fill(url: str, address: str, folder: Path) -> int:
    """PostgreSQL → Kafka, with schemas, so that a copy gets the shop's types."""
    sink: Sink = Topics(f"kafka://{address}", format=Format(topic_prefix=PREFIX, schemas_enable=True))
    meter = Meter()
    source = Postgres(url=url, tables=["shop.*"])
    return serve({FILL: (Pipeline(source, metered(sink, meter), name=FILL, state_dir=folder / "state"), meter)})


def consume(name: str, address: str, folder: Path) -> int:
    """Kafka → a DuckDB file of its own. As a static member it finds its partitions again after a kill."""
    options = {"heartbeat.interval.ms": "500"}  # hears sooner that the others have come
    source = Group(f"kafka://{address}", topics=[f"{PREFIX}.shop.*"], group=GROUP, member=name, options=options)
    sink: Sink = DuckDB(folder / f"{name}.duckdb")
    meter = Meter()
    pipeline = Pipeline(source, metered(sink, meter), name="copies", state_dir=folder / f"state-{name}")
    return serve({name: (pipeline, meter)})


if __name__ == "__main__":
    _, role, first, address, folder = sys.argv
    sys.exit({"fill": fill, "consume": consume}[role](first, address, Path(folder)))
