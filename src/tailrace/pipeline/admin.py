"""What is done to a pipeline that does not run: forget its position, replay its dead letters. Never opens the source.

All of it happens under the pipeline's own lock, so that no run can begin meanwhile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import cast

from tailrace.contract import Positions
from tailrace.durable import Lock
from tailrace.error import ConfigError, Fatal
from tailrace.model import Position
from tailrace.pipeline.line import replay
from tailrace.pipeline.pipeline import Pipeline, lock_path

__all__ = ["alone", "forget", "replay_alone"]


@contextlib.contextmanager
def alone(pipeline: Pipeline) -> Iterator[None]:
    """Hold the pipeline's lock; `Retryable` while a process runs it."""
    if pipeline.state_dir is None:
        yield
        return
    with Lock(lock_path(pipeline.state_dir, pipeline.name), f"pipeline {pipeline.name}"):
        yield


def forget(pipeline: Pipeline) -> None:
    """Remove every claim and position of the pipeline, wherever it keeps them. Call it within `alone`."""
    plan = pipeline.plan()
    if plan.checkpoint is not None:
        with contextlib.closing(plan.checkpoint.open(plan.name)) as positions:
            positions.forget()
        return
    if not plan.sink.transactional:
        raise ConfigError(f"pipeline {plan.name} keeps its position nowhere: there is nothing to forget")
    with contextlib.closing(plan.sink.open(plan.name, plan.limits)) as writer:
        cast(Positions, writer).forget()


def replay_alone(pipeline: Pipeline) -> int:
    """Carry out what was asked of the dead letters with the sink alone; returns how many left. Call it within `alone`.

    Lineages are claimed for it, which fences off any process that still believes to own them (I16).
    """
    plan = pipeline.plan()
    if plan.dead_letters is None:
        raise ConfigError(f"pipeline {plan.name} has no dead letters")
    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(contextlib.closing(plan.sink.open(plan.name, plan.limits)))
        letters = stack.enter_context(contextlib.closing(plan.dead_letters.open(plan.name, plan.limits)))
        at: dict[str, Position] = {}
        if plan.sink.transactional:
            positions = cast(Positions, writer)
            claimed = {lineage: positions.claim(lineage) for lineage in positions.known()}
            at = {lineage: position for lineage, position in claimed.items() if position is not None}
            if not at:
                raise Fatal(
                    f"pipeline {plan.name} has no position yet, so nothing can be written beside it",
                    hint=f"run the pipeline: it replays what was asked for once {plan.sink.kind} has a position",
                )
        return replay(letters, writer, at=at, plan=plan)
