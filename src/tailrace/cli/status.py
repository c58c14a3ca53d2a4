"""`tailrace status`: what the pipelines of a file are doing, asked over their sockets. Never disturbs them."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import msgspec

from tailrace.cli.parked import letters_of
from tailrace.cli.report import columns
from tailrace.config import load
from tailrace.contract import Retaining
from tailrace.error import Retryable, TailraceError
from tailrace.model import Severity
from tailrace.pipeline import (
    Pipeline,
    State,
    Status,
    ask,
    check_state,
    lock_path,
    read_status,
    saved,
    socket_path,
    status_path,
)

__all__ = ["status"]

_PATIENCE_S = 3.0
_WATCH_S = 2.0
_AT_ONCE_MAX = 16
_ENDED = {State.STOPPED, State.FAILED}
_CLEAR = "\x1b[2J\x1b[H"


def status(config: Path, names: Sequence[str], *, as_json: bool, watch: bool) -> int:
    """Print one row a pipeline, of all without `names`; one that no process runs is `stopped`.

    `watch` goes on until interrupted.
    """
    pipelines = list(load(config, names).pipelines.values())
    while True:
        with ThreadPoolExecutor(_AT_ONCE_MAX) as pool:  # one that does not answer must not hold up the others
            found = list(pool.map(_look, pipelines))
        text = msgspec.json.encode(found).decode() + "\n" if as_json else _table(found)
        sys.stdout.write((_CLEAR if watch and sys.stdout.isatty() and not as_json else "") + text)
        if not watch:
            return 0
        sys.stdout.flush()
        time.sleep(_WATCH_S)  # the pace of the picture; Ctrl-C ends it


class _Seen(msgspec.Struct):
    """A `Status` and what the server says: this is what `--json` prints."""

    name: str
    state: State
    reason: str
    pid: int
    since: float
    started_at: float
    positions: Mapping[str, str]
    changes: int
    nbytes: int
    batches: int
    changes_per_s: float
    bytes_per_s: float
    lag_bytes: int | None
    lags: Mapping[str, int]
    lag_s: float | None
    caught_up_at: float | None
    progressed_at: float | None
    retained_bytes: int | None
    shelf_nbytes: int
    opened: bool
    dead_letters: int
    restarts: int
    error: str | None
    error_at: float | None
    source_error: str | None


def _look(pipeline: Pipeline) -> _Seen:
    status = _ask(pipeline)
    retained, source_error = None, None
    if isinstance(pipeline.source, Retaining):
        try:
            retained = pipeline.source.retained_bytes(pipeline.name)
            if status.state in _ENDED:  # nobody reads, and the log goes on
                behind = pipeline.source.behind_bytes(pipeline.name, saved(pipeline) or {})
                status = replace(status, lag_bytes=behind)
        except TailraceError as error:
            source_error = str(error.args[0])
    known = {name: getattr(status, name) for name in _Seen.__struct_fields__ if hasattr(status, name)}
    return _Seen(**known, retained_bytes=retained, source_error=source_error)


def _ask(pipeline: Pipeline) -> Status:
    """What the process that runs it answers; else what the last one left, with what is saved and parked now."""
    status = Status(name=pipeline.name, state=State.STOPPED, pid=0, since=0.0, started_at=0.0)
    if pipeline.state_folder is not None:
        try:
            if answer := ask(socket_path(pipeline.state_folder, pipeline.name), timeout_s=_PATIENCE_S):
                return answer
            status = read_status(status_path(pipeline.state_folder, pipeline.name)) or status
            status = replace(status, reason=_obstacles(pipeline) or status.reason)
            status = replace(status, changes_per_s=0.0, bytes_per_s=0.0, lag_bytes=None, lag_s=None)
        except Retryable as error:
            holder = _holder(lock_path(pipeline.state_folder, pipeline.name))
            reason = f"process {holder}: {error.args[0]}; {error.hint}"
            status = replace(status, state=State.SILENT, pid=holder, reason=reason)
    try:
        return replace(status, positions=_positions(pipeline), dead_letters=parked(pipeline))
    except TailraceError as error:
        return replace(status, error=str(error.args[0]), error_at=None)


def _obstacles(pipeline: Pipeline) -> str:
    """Why no run can begin here: one that tried could not leave a status that tells."""
    wrong = [finding for finding in check_state(pipeline) if finding.severity is Severity.ERROR]
    return "; ".join(f"a run cannot begin: {finding.subject}: {finding.message}" for finding in wrong)


def _holder(lock: Path) -> int:
    """The process that holds a lock, as it wrote there; 0 when it did not."""
    try:
        return int(lock.read_text())
    except (OSError, ValueError):
        return 0


def _positions(pipeline: Pipeline) -> Mapping[str, str]:
    known = saved(pipeline) or {}
    return {lineage: position.text for lineage, position in known.items() if position is not None}


def parked(pipeline: Pipeline) -> int:
    """How many changes wait in the dead letters."""
    return len(letters_of(pipeline))


_HEAD = ("PIPELINE", "STATE", "FOR", "CHANGES", "ROWS/S", "KB/S", "LAG S", "LAG B", "RETAINED B", "DEAD", "RESTARTS",
         "POSITION")  # fmt: skip


def _table(found: Sequence[_Seen]) -> str:
    lines = [columns([_HEAD, *(_row(each) for each in found)])]
    if lags := [(each.name, partition, lag) for each in found for partition, lag in each.lags.items()]:
        lines.append(columns([("PIPELINE", "PARTITION", "LAG RECORDS"), *lags]))
    for each in found:
        told = (each.reason, _fault(each), each.source_error)
        lines += [f"{each.name}: {line}" for line in dict.fromkeys(told) if line]
    return "\n".join(lines) + "\n"


def _row(each: _Seen) -> tuple[object, ...]:
    return (
        each.name,
        each.state,
        _span(time.time() - each.since) if each.since else "-",
        each.changes,
        f"{each.changes_per_s:.0f}",
        f"{each.bytes_per_s / 1000:.0f}",
        "-" if each.lag_s is None else f"{each.lag_s:.1f}",
        "-" if each.lag_bytes is None else each.lag_bytes,
        "-" if each.retained_bytes is None else each.retained_bytes,
        each.dead_letters,
        each.restarts,
        ", ".join(each.positions.values()) or "-",
    )


def _fault(each: _Seen) -> str | None:
    """The last fault, with its age unless it is why the pipeline does nothing now."""
    if each.error is None or each.error_at is None or each.state in {State.RETRYING, State.FAILED}:
        return each.error
    return f"last fault, {_span(time.time() - each.error_at)} ago: {each.error}"


def _span(seconds: float) -> str:
    """A time span in its largest unit that makes sense."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
