"""`tailrace status`: what the pipelines of a file are doing, asked over their sockets. Never disturbs them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from tailrace.cli.report import columns
from tailrace.config import load
from tailrace.contract import Remembering, Retaining
from tailrace.dead_letters import File
from tailrace.dead_letters.journal import read_all
from tailrace.error import TailraceError
from tailrace.pipeline import Pipeline, State, Status, ask, read_status, socket_path, status_path

__all__ = ["status"]


def status(config: Path, *, as_json: bool) -> int:
    """Print one row a pipeline; a pipeline that no process runs is `stopped`."""
    found = [_look(pipeline) for pipeline in load(config).pipelines.values()]
    if as_json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return 0
    head = ("PIPELINE", "STATE", "CHANGES", "RATE/S", "LAG S", "LAG BYTES", "RETAINED", "DEAD", "POSITION")
    sys.stdout.write(columns([head, *(_row(each) for each in found)]) + "\n")
    for each in found:
        for told in (each.error, each.source_error):
            if told:
                sys.stdout.write(f"{each.name}: {told}\n")
    return 0


class _Seen(msgspec.Struct):
    """A `Status` and what the server says: this is what `--json` prints."""

    name: str
    state: State
    pid: int
    since: float
    positions: Mapping[str, str]
    changes: int
    changes_per_s: float
    lag_bytes: int | None
    lag_s: float | None
    retained_bytes: int | None
    shelf_nbytes: int
    dead_letters: int
    restarts: int
    error: str | None
    source_error: str | None


def _look(pipeline: Pipeline) -> _Seen:
    status = _ask(pipeline)
    retained, source_error = None, None
    if isinstance(pipeline.source, Retaining):
        try:
            retained = pipeline.source.retained_bytes(pipeline.name)
        except TailraceError as error:
            source_error = str(error.args[0])
    known = {name: getattr(status, name) for name in _Seen.__struct_fields__ if hasattr(status, name)}
    return _Seen(**known, retained_bytes=retained, source_error=source_error)


def _ask(pipeline: Pipeline) -> Status:
    """What the process that runs it answers; else what the last one left, with what is saved and parked now."""
    left = None
    if pipeline.state_dir is not None:
        if answer := ask(socket_path(pipeline.state_dir, pipeline.name)):
            return answer
        left = read_status(status_path(pipeline.state_dir, pipeline.name))
    status = left or Status(name=pipeline.name, state=State.STOPPED, pid=0, since=0.0, started_at=0.0)
    try:
        return replace(status, positions=_positions(pipeline), dead_letters=_parked(pipeline))
    except TailraceError as error:
        return replace(status, error=str(error.args[0]))


def _positions(pipeline: Pipeline) -> Mapping[str, str]:
    plan = pipeline.plan()
    keeper = plan.sink if plan.checkpoint is None else plan.checkpoint
    saved = keeper.saved(pipeline.name) if isinstance(keeper, Remembering) else {}
    return {lineage: position.text for lineage, position in saved.items() if position is not None}


def _parked(pipeline: Pipeline) -> int:
    letters = pipeline.dead_letters
    return len(read_all(Path(letters.path))) if isinstance(letters, File) else 0


def _row(each: _Seen) -> tuple[object, ...]:
    return (
        each.name,
        each.state,
        each.changes,
        f"{each.changes_per_s:.0f}",
        "-" if each.lag_s is None else f"{each.lag_s:.1f}",
        "-" if each.lag_bytes is None else each.lag_bytes,
        "-" if each.retained_bytes is None else each.retained_bytes,
        each.dead_letters,
        ", ".join(each.positions.values()) or "-",
    )
