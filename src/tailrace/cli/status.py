"""`tailrace status`: what the pipelines of a file are doing, asked over their sockets. Never disturbs them."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from tailrace.cli.report import columns
from tailrace.config import load
from tailrace.pipeline import Pipeline, State, Status, ask, socket_path

__all__ = ["status"]


def status(config: Path, *, as_json: bool) -> int:
    """Print one row a pipeline; a pipeline that no process runs is `stopped`."""
    found = [_ask(pipeline) for pipeline in load(config).pipelines.values()]
    if as_json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return 0
    head = ("PIPELINE", "STATE", "CHANGES", "RATE/S", "LAG S", "LAG BYTES", "DEAD", "POSITION")
    sys.stdout.write(columns([head, *(_row(each) for each in found)]) + "\n")
    for each in found:
        if each.error:
            sys.stdout.write(f"{each.name}: {each.error}\n")
    return 0


def _ask(pipeline: Pipeline) -> Status:
    answer = ask(socket_path(pipeline.state_dir, pipeline.name)) if pipeline.state_dir is not None else None
    return answer or Status(name=pipeline.name, state=State.STOPPED, pid=0, since=0.0, started_at=0.0)


def _row(each: Status) -> tuple[object, ...]:
    where = ", ".join(each.positions.values()) or "-"
    lag_s = "-" if each.lag_s is None else f"{each.lag_s:.1f}"
    lag_bytes = "-" if each.lag_bytes is None else each.lag_bytes
    return each.name, each.state, each.changes, f"{each.changes_per_s:.0f}", lag_s, lag_bytes, each.dead_letters, where
