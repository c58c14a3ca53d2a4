"""What a line is built of, and what both a line and an operator's command do with dead letters. Opens nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tailrace.contract import Checkpoint, DeadLetters, Letters, Replaying, Sink, Source, Transform, Writer
from tailrace.model import Batch, Limits, Position
from tailrace.pipeline.failpoint import Place, reach
from tailrace.pipeline.shaping import named, replayed, steps_of

__all__ = ["Plan", "replay"]


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
