"""What a line is built of, and what both a line and an operator's command do with dead letters. Opens nothing."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from tailrace.contract import (
    Checkpoint,
    DeadLetters,
    Describing,
    Letters,
    Replaying,
    Selective,
    Sink,
    Source,
    Transform,
    Writer,
)
from tailrace.model import Batch, Limits, Position
from tailrace.pipeline.failpoint import Place, reach
from tailrace.pipeline.shaping import named, replayed, steps_of, unmatched

__all__ = ["FailFast", "Plan", "replay", "tell_unmatched"]

log = logging.getLogger("tailrace.pipeline")


@runtime_checkable
class FailFast(Protocol):
    """A Sink too whose work on a change may take several tries, and that need not go through with them in vain."""

    def failing_fast(self) -> Sink:
        """The same for a pipeline that parks nothing: the first change that is given up ends its `write`."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a line is built of; `checkpoint` is None only for a transactional sink."""

    name: str
    source: Source
    sink: Sink
    transforms: tuple[Transform, ...]
    checkpoint: Checkpoint | None
    dead_letters: DeadLetters | None
    limits: Limits
    told: set[tuple[str, str]] = field(default_factory=set, init=False)
    """What `tell_unmatched` has told; each life of the pipeline would tell it again."""


def tell_unmatched(plan: Plan) -> None:
    """A name with a slip of the pen masks nothing: the log tells before a change is read.

    Functions of the user's own are not called for that, so names of the transforms behind one are not looked at.
    """
    ours = list(itertools.takewhile(lambda transform: isinstance(transform, Selective), plan.transforms))
    if not ours or not isinstance(plan.source, Describing):
        return
    for kind, name in unmatched(ours, plan.source.tables_now(plan.name)):
        if (kind, name) not in plan.told:
            plan.told.add((kind, name))
            log.warning("%s: transform %s: %s matches nothing that comes to it", plan.name, kind, name)


def replay(letters: Letters, writer: Writer, *, at: Mapping[str, Position], plan: Plan) -> int:
    """Carry out what was asked of the dead letters; returns how many left."""
    steps = steps_of(plan.transforms)

    def taken(batch: Batch) -> None:
        with named(f"sink {plan.sink.kind}"):
            writer.write(batch)
        reach(Place.REPLAY_AFTER)

    return letters.replay(
        lambda batch, transform: replayed(batch, transform, source=plan.source, steps=steps, write=taken),
        at,
        writer.forget_replayed if isinstance(writer, Replaying) else None,
    )
