"""`tailrace reset` and `tailrace drop`: give up a position and what holds it on the server. Never without a yes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from tailrace.cli.parked import letters_of, throw_away
from tailrace.cli.report import confirm
from tailrace.config import load
from tailrace.dead_letters import File, Kafka
from tailrace.error import ConfigError
from tailrace.pipeline import Pipeline, alone, remove

__all__ = ["drop", "reset"]


def reset(config: Path, name: str, *, dead_letters: Literal["keep", "drop"], yes: bool) -> int:
    """Forget the position; the next run starts with a snapshot, which has what most dead letters were about."""
    pipeline = load(config, [name]).pipelines[name]
    question = f"Forget the position of pipeline {name} and start again with a snapshot?"
    letters = _letters(pipeline, dropping=dead_letters == "drop")
    parked = len(letters_of(pipeline))
    if parked and dead_letters == "keep":
        question += f" {parked} dead letter(s) stay, and changes of their keys are parked behind them."
    elif parked:
        question += f" {parked} dead letter(s) are thrown away."
    confirm(question, yes=yes)
    with alone(pipeline):
        remove(pipeline)
        sys.stdout.write(f"{name}: the next run begins as a first one does\n")
        if letters and dead_letters == "drop":  # last: if the rest fails, nothing of it is lost
            sys.stdout.write(f"{name}: threw away {throw_away(letters, name)} dead letter(s)\n")
        elif parked:
            sys.stdout.write(
                f"{name}: {parked} dead letter(s) stay: changes of their keys, rows of the snapshot too, are parked "
                "behind them until they are replayed or dropped\n"
            )
    return 0


def drop(config: Path, name: str, *, yes: bool) -> int:
    """Remove slot, publication and position."""
    pipeline = load(config, [name]).pipelines[name]
    confirm(f"Remove what pipeline {name} made on its source, and its position?", yes=yes)
    for removed in pipeline.drop():
        sys.stdout.write(f"{name}: removed {removed}\n")
    sys.stdout.write(f"{name}: its position is forgotten; the sink's data and dead letters stay\n")
    return 0


def _letters(pipeline: Pipeline, *, dropping: bool) -> File | Kafka | None:
    """The pipeline's dead letters, if it has some that can be looked into."""
    if isinstance(pipeline.dead_letters, File | Kafka):
        return pipeline.dead_letters
    if dropping:
        raise ConfigError(f"pipeline {pipeline.name} has no dead letters to drop", hint="leave out --dead-letters")
    return None
