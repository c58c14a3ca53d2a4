"""Leaves a source for its target: nothing in flight, sequences carried along. Never stops a writer or a pipeline.

The order makes it safe: nobody writes; the pipeline has all that was written; still nobody has written; only then are
the target's sequences set.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from tailrace.contract import Continuing, Describing, Leavable, Remembering
from tailrace.error import ConfigError, Fatal, Retryable
from tailrace.model import Carried, Counter, Position, Rest, Table
from tailrace.pipeline.admin import alone
from tailrace.pipeline.pipeline import Pipeline
from tailrace.pipeline.shaping import through

__all__ = ["cutover"]

_PAUSE_S = 0.2


def cutover(
    pipeline: Pipeline, *, margin: int, wait_s: float, parked: Callable[[], int], stop: threading.Event
) -> list[Carried]:
    """What became of each sequence, once the target has all that the log of the source holds.

    Runs the pipeline until it is current if no process does. `Retryable` when after `wait_s` something still writes, or
    the pipeline has not caught up, or `stop` was set meanwhile; `Fatal` when changes are `parked` as dead letters, so
    that the target lacks them. Nothing was changed then. `ConfigError` for ends that cannot do it.
    """
    source, sink = pipeline.source, pipeline.sink
    if not isinstance(source, Leavable):
        raise ConfigError(f"a {source.kind} source cannot say whether it is at rest: cutover needs that")
    if not isinstance(sink, Continuing) or not isinstance(sink, Remembering):
        raise ConfigError(f"a {sink.kind} sink has no sequences to set: cutover is for databases that take over")
    deadline = _Deadline(time.monotonic() + wait_s, stop)
    while True:
        before = _at_rest(pipeline, source, deadline)
        _catch_up(pipeline, source, sink, upto=before.upto, deadline=deadline)
        after = source.rest(pipeline.name)
        if (after.writers, after.writes, after.counters) == (0, before.writes, before.counters):
            _require_delivered(pipeline, parked())
            return sink.set_sequences(_renamed(pipeline, after.counters), margin=margin)
        if deadline.passed():  # a server may count a write a second late: look again
            raise _Writes(pipeline)


@dataclass(frozen=True, slots=True)
class _Deadline:
    """Until when to wait: a time on the monotonic clock, or a stop before."""

    at: float
    stop: threading.Event

    def passed(self) -> bool:
        """Whether the time is over; `Retryable` once stopped."""
        if self.stop.is_set():
            raise Retryable("stopped before the target had everything: nothing was changed")
        return time.monotonic() > self.at

    def pause(self) -> None:
        """Wait a little, or until stopped."""
        self.stop.wait(_PAUSE_S)


def _at_rest(pipeline: Pipeline, source: Leavable, deadline: _Deadline) -> Rest:
    while (rest := source.rest(pipeline.name)).writers:
        if deadline.passed():
            raise _Writes(pipeline)
        deadline.pause()
    return rest


def _catch_up(pipeline: Pipeline, source: Leavable, sink: Remembering, *, upto: str, deadline: _Deadline) -> None:
    if _is_idle(pipeline):
        pipeline.run(until_current=True)
    while not source.passed(pipeline.name, _saved(pipeline, sink), upto):
        if deadline.passed():
            raise Retryable(
                f"the target has not got everything of {pipeline.name}: the source's log ends at {upto}",
                hint="look at its lag: tailrace status; then try again, or allow more time with --wait",
            )
        deadline.pause()


def _require_delivered(pipeline: Pipeline, parked: int) -> None:
    if parked:
        raise Fatal(
            f"the target has not got everything of {pipeline.name}: {parked} change(s) are parked as dead letters",
            hint="`tailrace dead-letters replay` them, or `drop` them if they are not wanted; then try again",
        )


def _is_idle(pipeline: Pipeline) -> bool:
    try:
        with alone(pipeline):
            return True
    except Retryable:
        return False


def _saved(pipeline: Pipeline, sink: Remembering) -> Mapping[str, Position | None]:
    checkpoint = pipeline.plan().checkpoint
    return (checkpoint if isinstance(checkpoint, Remembering) else sink).saved(pipeline.name)


def _renamed(pipeline: Pipeline, counters: Sequence[Counter]) -> list[Counter]:
    """The counters of columns that arrive, with the names that the transforms give them."""
    source = pipeline.source
    assert isinstance(source, Describing)
    there: dict[tuple[str, str, str], tuple[str, str, str]] = {}
    for table in source.tables_now(pipeline.name):
        made, names = _followed(pipeline, table)
        for name, other in names.items():
            there[table.schema, table.name, name] = (made.schema, made.name, other)
    return [replace(c, column=there[c.column]) for c in counters if c.column in there]


def _followed(pipeline: Pipeline, table: Table) -> tuple[Table, Mapping[str, str]]:
    """The table as it arrives, and the name of each of its columns there; no column of one that is left out.

    Looked at behind each transform: one that leaves columns out keeps the names of the others.
    """
    names = {column.name: column.name for column in table.columns}
    for transform in pipeline.transforms:
        made = next(iter(through(transform, [table])), None)
        if made is None:
            return table, {}
        kept = made.columns if len(made.columns) != len(table.columns) else table.columns
        step = {before.name: after.name for before, after in zip(kept, made.columns, strict=True)}
        names = {column: step[name] for column, name in names.items() if name in step}
        table = made
    return table, names


class _Writes(Retryable):
    """Somebody writes to the source."""

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__(
            f"tables of the pipeline {pipeline.name} are still written to at the source: nothing was changed",
            hint="stop what writes there, then try again",
        )
