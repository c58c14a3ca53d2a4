"""Leaves a source for its target: nothing in flight, sequences carried along. Never stops a writer or a pipeline.

The order makes it safe: nobody writes; the pipeline has all that was written; still nobody has written; only then are
the target's sequences set.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tailrace.contract import Continuing, Describing, Leavable, Remembering
from tailrace.error import ConfigError, Retryable
from tailrace.model import Carried, Counter, Position, Rest
from tailrace.pipeline.admin import alone, transformed
from tailrace.pipeline.pipeline import Pipeline

__all__ = ["cutover"]

_PAUSE_S = 0.2


def cutover(pipeline: Pipeline, *, margin: int, wait_s: float) -> list[Carried]:
    """What became of each sequence, once the target has all that the source has.

    Runs the pipeline until it is current if no process does. `Retryable` when after `wait_s` something still writes, or
    the pipeline has not caught up; nothing was changed then. `ConfigError` for ends that cannot do it.
    """
    source, sink = pipeline.source, pipeline.sink
    if not isinstance(source, Leavable):
        raise ConfigError(f"a {source.kind} source cannot say whether it is at rest: cutover needs that")
    if not isinstance(sink, Continuing) or not isinstance(sink, Remembering):
        raise ConfigError(f"a {sink.kind} sink has no sequences to set: cutover is for databases that take over")
    deadline = time.monotonic() + wait_s
    while True:
        before = _at_rest(pipeline, source, deadline)
        _catch_up(pipeline, source, sink, upto=before.upto, deadline=deadline)
        after = source.rest(pipeline.name)
        if (after.writers, after.writes, after.counters) == (0, before.writes, before.counters):
            return sink.set_sequences(_renamed(pipeline, after.counters), margin=margin)
        if time.monotonic() > deadline:  # a server may count a write a second late: look again
            raise _Writes(pipeline)


def _at_rest(pipeline: Pipeline, source: Leavable, deadline: float) -> Rest:
    while (rest := source.rest(pipeline.name)).writers:
        if time.monotonic() > deadline:
            raise _Writes(pipeline)
        time.sleep(_PAUSE_S)
    return rest


def _catch_up(pipeline: Pipeline, source: Leavable, sink: Remembering, *, upto: str, deadline: float) -> None:
    if _is_idle(pipeline):
        pipeline.run(until_current=True)
    while not source.passed(pipeline.name, _saved(pipeline, sink), upto):
        if time.monotonic() > deadline:
            raise Retryable(
                f"the target has not got everything of {pipeline.name}: the source's log ends at {upto}",
                hint="look at its lag: tailrace status; then try again, or allow more time with --wait",
            )
        time.sleep(_PAUSE_S)


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
        for made in transformed(pipeline, [table]):
            same = len(made.columns) == len(table.columns)
            names = {column.name for column in made.columns}
            for column, other in zip(table.columns, made.columns if same else table.columns, strict=True):
                if same or column.name in names:
                    there[table.schema, table.name, column.name] = (made.schema, made.name, other.name)
    return [replace(c, column=there[c.column]) for c in counters if c.column in there]


class _Writes(Retryable):
    """Somebody writes to the source."""

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__(
            f"tables of the pipeline {pipeline.name} are still written to at the source: nothing was changed",
            hint="stop what writes there, then try again",
        )
