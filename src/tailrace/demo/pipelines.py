"""The demo's two pipelines in one process, which is killed and started again. Never compares.

Run as `python -m tailrace.demo.pipelines URL FOLDER`; each report is a JSON line: state, changes, lags, latest events.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tailrace.contract import Sink, Source
from tailrace.demo import projection
from tailrace.demo.metered import Meter, metered, serve
from tailrace.pipeline import Pipeline
from tailrace.sink.duckdb import DuckDB
from tailrace.source.postgres import Postgres

NAMES = ("duckdb", "handler")
"""The two pipelines; their slots are `tailrace_<name>`."""


def main(url: str, folder: Path) -> int:
    """Run both until SIGTERM; 1 when one of them failed."""
    meters = [Meter() for _ in NAMES]
    sources: list[Source] = [Postgres(url=url, tables=["shop.*"]) for _ in NAMES]
    handlers = projection.app(sources[1], NAMES[1], folder / "handler.sqlite")
    sinks: list[Sink] = [DuckDB(folder / "copy.duckdb"), handlers]
    return serve(
        {
            name: (Pipeline(source, metered(sink, meter), name=name, state_dir=folder / "state"), meter)
            for source, sink, meter, name in zip(sources, sinks, meters, NAMES, strict=True)
        }
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
