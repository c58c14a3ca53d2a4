"""The transforms of a pipeline: their names, a batch's way through one, a dead letter's way through the rest.

Never parks, retries or saves anything.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

from tailrace._native import BatchBuilder
from tailrace.contract import BrokenOff, Rereading, Selective, Source, Transform
from tailrace.durable import FULL
from tailrace.error import EndOfStream, Fatal, Reject, Retryable, TailraceError
from tailrace.model import Batch, Table

__all__ = ["UNREADABLE", "Step", "named", "replayed", "shaped", "steps_of", "through", "unmatched"]

Step = tuple[str, Transform]
"""A transform and its name, which no other of the pipeline has."""

UNREADABLE = "source"
"""In place of a transform's name: the source itself did not understand the record."""


@contextlib.contextmanager
def named(what: str) -> Iterator[None]:
    """Whatever is not ours becomes `Fatal` with the name of what raised it; values stay out of the message (I9)."""
    try:
        yield
    except (TailraceError, EndOfStream, BrokenOff):
        raise
    except OSError as error:
        if error.errno in FULL:
            raise Retryable(
                f"{what}: {error.strerror}", hint="free some space; the saved position has not moved"
            ) from error
        raise Fatal(f"{what} raised {type(error).__name__}: {error.strerror}") from error
    except Exception as error:
        raise Fatal(
            f"{what} raised {type(error).__name__}",
            hint="--log-level debug shows where; nothing of this batch was saved",
        ) from error


def steps_of(transforms: Sequence[Transform]) -> tuple[Step, ...]:
    """Each with its name: `module.function`, or the class of a callable object; `… #2` for the second of a name."""
    steps: dict[str, Transform] = {}
    for transform in transforms:
        name, count = _describe(transform), 2
        while (unique := name if count == 2 and name not in steps else f"{name} #{count}") in steps:
            count += 1
        steps[unique] = transform
    return tuple(steps.items())


def _describe(transform: object) -> str:
    function = getattr(transform, "__wrapped__", transform)
    name = getattr(function, "__qualname__", None)
    return f"{function.__module__}.{name}" if name else type(function).__qualname__


def shaped(batch: Batch, step: Step) -> Batch:
    """What the transform makes of the batch; `Reject`, its indexes checked, for changes that it refuses. One that names
    none of several is as it came."""
    name, transform = step
    who = f"transform {name}"
    try:
        with named(who):
            new = transform(batch)
    except Reject as reject:
        if not reject.named and len(batch) > 1:
            raise  # who can offer fewer does: see `Reject.checked`
        raise Reject(reject.refused(len(batch), who)) from None
    if not isinstance(new, Batch) or new.positions != batch.positions:
        raise Fatal(
            f"{who} returned a batch with other positions",
            hint="return what a method of the given Batch returned (select, without, with_changes, …)",
        )
    return new


def replayed(
    batch: Batch, transform: str | None, *, source: Source, steps: Sequence[Step], write: Callable[[Batch], None]
) -> None:
    """Write dead letters that `transform` refused (None: the sink) once it and those behind it have seen them.

    What the source did not understand it reads once more. A `Reject` of any of them names indexes of `batch`, or none.
    Without that transform the letters stay.
    """
    names = [name for name, _ in steps]
    if transform == UNREADABLE:
        _read_again(batch, source, steps=steps, write=write)
        return
    if transform is not None and transform not in names:
        reason = f"transform {transform}, which refused it, is no longer in the pipeline"
        raise Reject(dict.fromkeys(range(len(batch)), reason))
    now = batch
    try:
        for step in steps[names.index(transform) :] if transform is not None else ():
            if len(now):
                now = shaped(now, step)
        write(now)
    except Reject as reject:
        raise _translated(reject, now, batch) from None


def _read_again(batch: Batch, source: Source, *, steps: Sequence[Step], write: Callable[[Batch], None]) -> None:
    if not isinstance(source, Rereading):
        reason = f"source {source.kind} does not read a record again: write it anew, and drop this one"
        raise Reject(dict.fromkeys(range(len(batch)), reason))
    with named(f"source {source.kind}"):
        now = source.read_again(batch)
    try:
        replayed(now, steps[0][0] if steps else None, source=source, steps=steps, write=write)
    except Reject as reject:
        raise _translated(reject, now, batch) from None


def _translated(reject: Reject, now: Batch, before: Batch) -> Reject:
    """The same of the changes of `before`, of which transforms made `now`."""
    if now is before:
        return reject
    reasons = reject.suspected(len(now), "the sink")
    refused = {now[index].position: reason for index, reason in reasons.items()}
    written = {now[index].position for index in reject.written}
    places = [change.position for change in before]
    written_then = [index for index, at in enumerate(places) if at in written and at not in refused]
    if not reject.named and len(now) > 1:
        return Reject(reject.reasons[0], written=written_then)
    return Reject({index: refused[at] for index, at in enumerate(places) if at in refused}, written=written_then)


def unmatched(transforms: Sequence[Transform], tables: Sequence[Table]) -> list[tuple[str, str]]:
    """Names that transforms were given and that mean none of the `tables` which come to them, with the kind of the
    transform."""
    found: list[tuple[str, str]] = []
    there = list(tables)
    for transform in transforms:
        if isinstance(transform, Selective):
            found += [(transform.kind, name) for name in transform.unmatched(there)]
        there = through(transform, there)
    return found


def through(transform: Transform, tables: Sequence[Table]) -> list[Table]:
    """What one transform makes of `tables`, in order; those that it leaves out are not in it."""
    batches = (transform(BatchBuilder("none").take(snapshot=("none", table, True, True))) for table in tables)
    marks = [batch.snapshot for batch in batches]
    return [mark.table for mark in marks if mark is not None and mark.table is not None]
