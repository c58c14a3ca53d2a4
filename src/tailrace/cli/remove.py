"""`tailrace reset` and `tailrace drop`: give up a position and what holds it on the server. Never without a yes."""

from __future__ import annotations

import sys
from pathlib import Path

from tailrace.cli.report import confirm
from tailrace.config import load
from tailrace.pipeline import Pipeline, alone, forget

__all__ = ["drop", "reset"]


def reset(config: Path, name: str, *, yes: bool) -> int:
    """Forget the position; the next run starts with a snapshot."""
    pipeline = load(config, [name]).pipelines[name]
    confirm(f"Forget the position of pipeline {name} and start again with a snapshot?", yes=yes)
    _remove(pipeline)
    sys.stdout.write(f"{name}: the next run starts from the beginning\n")
    return 0


def drop(config: Path, name: str, *, yes: bool) -> int:
    """Remove slot, publication and position."""
    pipeline = load(config, [name]).pipelines[name]
    confirm(f"Remove what pipeline {name} made on its source, and its position?", yes=yes)
    for removed in _remove(pipeline):
        sys.stdout.write(f"{name}: removed {removed}\n")
    sys.stdout.write(f"{name}: its position is forgotten; the sink's data and dead letters stay\n")
    return 0


def _remove(pipeline: Pipeline) -> list[str]:
    """The server's part first: if that fails nothing has changed, and a position without a slot is refused loudly."""
    with alone(pipeline):
        removed = pipeline.source.drop(pipeline.name)
        forget(pipeline)
    return removed
