"""What is done to a pipeline that does not run: forget its position, replay its dead letters. Never opens the source.

All of it happens under the pipeline's own lock, so that no run can begin meanwhile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

from tailrace.contract import Checked, Movable, Positions, Remembering, Succeeded
from tailrace.durable import Lock, obstacles
from tailrace.error import ConfigError, Fatal, HistoryLost, Retryable
from tailrace.model import Finding, Position, Severity, Table
from tailrace.pipeline.pipeline import Pipeline, lock_path, status_path
from tailrace.pipeline.plan import Plan, replay
from tailrace.pipeline.shaping import through
from tailrace.pipeline.status import read_status

__all__ = [
    "adopt",
    "alone",
    "check_state",
    "forget",
    "remove",
    "replay_alone",
    "saved",
    "transformed",
]


def transformed(pipeline: Pipeline, tables: Sequence[Table]) -> list[Table]:
    """What the transforms make of `tables`, in order; those that they leave out are not in it."""
    made = list(tables)
    for transform in pipeline.transforms:
        made = through(transform, made)
    return made


@contextlib.contextmanager
def alone(pipeline: Pipeline) -> Iterator[None]:
    """Hold the pipeline's lock; `Retryable` while a process runs it."""
    if pipeline.state_folder is None:
        yield
        return
    with Lock(lock_path(pipeline.state_folder, pipeline.name), f"pipeline {pipeline.name}"):
        yield


def forget(pipeline: Pipeline) -> None:
    """Remove every claim and position of the pipeline, wherever it keeps them. Call it within `alone`."""
    with _positions(pipeline.plan()) as positions:
        positions.forget()


def remove(pipeline: Pipeline) -> list[str]:
    """Remove what the pipeline made on its source, and its position; returns what went. Call it within `alone`.

    The server's part first: if that fails nothing has changed, and a position without a slot is refused loudly.
    """
    removed = pipeline.source.drop(pipeline.name)
    forget(pipeline)
    return removed


def check_state(pipeline: Pipeline) -> list[Finding]:
    """Whether the files can be written that the pipeline keeps beside source and sink; empty when there are none."""
    plan, folder = pipeline.plan(), pipeline.state_folder
    found = [] if folder is None else obstacles(lock_path(folder, plan.name))
    for keeper in (plan.checkpoint, plan.dead_letters):
        if isinstance(keeper, Checked):
            found += keeper.check()
    found = list(dict.fromkeys(found))
    if not found and folder is not None:
        found = [Finding(Severity.OK, str(folder), "it can be written")]
    if unused := pipeline.unused_checkpoint:
        found.append(Finding(Severity.WARNING, "checkpoint", unused, "remove it"))
    return found


def saved(pipeline: Pipeline) -> Mapping[str, Position | None] | None:
    """What the pipeline has saved, read without opening anything; None when nobody can tell."""
    plan = pipeline.plan()
    keeper = plan.sink if plan.checkpoint is None else plan.checkpoint
    return keeper.saved(plan.name) if isinstance(keeper, Remembering) else None


def adopt(pipeline: Pipeline, agree: Callable[[Position, Position], None]) -> tuple[Position, Position]:
    """Carry what is saved over to the upgraded server that the source leads to now; returns both places.

    `agree` is told them first, and raises if they are not to be. Call it within `alone`. `Fatal` in doubtful cases.
    """
    plan = pipeline.plan()
    source = plan.source
    if not isinstance(source, Succeeded):
        raise ConfigError(f"a position of a source {source.kind!r} cannot be carried over to another server")
    with _positions(plan) as positions:
        if not isinstance(positions, Movable):
            raise ConfigError(f"where pipeline {plan.name} keeps its position, it cannot be carried over")
        _require_no_letters(plan)
        before, after = source.successor(plan.name, positions.known())
        if before != after:
            _require_latest(pipeline, before)
            agree(before, after)
            if positions.claim(before.lineage) != before:
                raise Retryable(f"the position of pipeline {plan.name} moved meanwhile: another process uses it")
            positions.move(before.lineage, after)
    return before, after


@contextlib.contextmanager
def _positions(plan: Plan) -> Iterator[Positions]:
    """Where the pipeline keeps its positions, opened."""
    if plan.checkpoint is not None:
        with contextlib.closing(plan.checkpoint.open(plan.name)) as positions:
            yield positions
        return
    if not plan.sink.transactional:
        raise ConfigError(f"pipeline {plan.name} keeps its position nowhere")
    with contextlib.closing(plan.sink.open(plan.name, plan.limits)) as writer:
        yield cast(Positions, writer)


def _require_latest(pipeline: Pipeline, saved: Position) -> None:
    """An older copy of the position lies before the place where the last run ended, which its status tells."""
    status = None if pipeline.state_folder is None else read_status(status_path(pipeline.state_folder, pipeline.name))
    last = None if status is None else status.positions.get(saved.lineage)
    if last is not None and saved.text < last:
        raise HistoryLost(
            f"saved is {saved.text}, but the last run of pipeline {pipeline.name} ended at {last}: an older copy of the"
            " position was put back, and what lies between is gone with the old server",
            hint="put the latest copy back, or start again with a snapshot: tailrace reset",
        )


def _require_no_letters(plan: Plan) -> None:
    """Dead letters are ordered by positions of the old server, so they are dealt with before."""
    if plan.dead_letters is None:
        return
    with contextlib.closing(plan.dead_letters.open(plan.name, plan.limits)) as letters:
        if letters.count():
            raise Fatal(
                f"pipeline {plan.name} has {letters.count()} dead letter(s), whose order would be lost",
                hint="`tailrace dead-letters replay` or `drop` them first",
            )


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
