"""Constraints that somebody added to a target, and values that DuckDB does not read: which change of a batch it is.

DuckDB takes rows as a set, and its error names none of them but by values. So the shortest beginning of the batch that
is refused is looked for, in transactions that are rolled back: its last change is the one.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable

from tailrace.error import Fatal, Reject
from tailrace.model import Batch

__all__ = ["Broken", "describe", "find"]

_NAMELESS = "a unique or foreign key of the target"
"""What DuckDB says of these names values of rows."""


class Broken(Fatal):
    """A constraint, or the type of a column, refuses some row of what was written."""


def describe(line: str) -> str:
    """The constraint in DuckDB's words, where those hold no value of a row."""
    told = line.removeprefix("Constraint Error: ")
    return told if told.startswith(("CHECK constraint failed on", "NOT NULL constraint failed:")) else _NAMELESS


def find(batch: Batch, broken: Broken, *, breaks: Callable[[Batch], bool]) -> Reject:
    """The first change of `batch` that is refused, as a `Reject`; costs log2 of its length in tries.

    Raises `broken` itself where no change does it, but what the first batch behind a snapshot sets in motion.
    """
    if not batch or breaks(batch.only([])):
        raise broken
    index = bisect.bisect_left(range(len(batch) - 1), True, key=lambda last: breaks(batch.only(range(last + 1))))
    return Reject({index: f"{broken.args[0]}, in {batch[index].table}"})
