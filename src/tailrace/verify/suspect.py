"""Decides about one key that looked different, from alternating reads of target and source. Never does I/O.

The reads alternate T, S, T, S, …; a target is read only when it has everything that the source's read before it saw.
A difference counts once it is proven at one place in the log:

- the target's row was the same version before and after a read of the source that shows something else, or
- the source's row was the same version before and after a read of the target that shows something else.

A version that one side holds over both reads was there at the place of the read in between. One thing can deceive: a
transaction that is committed in the log (so the target may have it) and not yet visible at the source. It is among the
pending transactions of the source's read. So a proof holds when the source's row is free of writers, or when every
transaction that was pending at the first read has ended by a later one that still finds the same version.
"""

from __future__ import annotations

from dataclasses import dataclass

from tailrace.comparison import Seen
from tailrace.verify.report import Verdict

__all__ = ["Suspect"]


@dataclass(slots=True)
class Suspect:
    """What is known of one key."""

    _target: Seen | None = None
    _source: Seen | None = None
    _looked: bool = False
    _target_pending: frozenset[int] | None = None
    """Transactions pending in every source read since the target's version was first seen; None before the first."""
    _source_pending: frozenset[int] | None = None
    """Transactions pending in every source read since the first target read under the source's version."""

    def read_target(self, seen: Seen | None) -> Verdict | None:
        """The next read of the target, which has everything that the last read of the source saw."""
        before, self._target = self._target, seen
        if not self._looked:
            return None
        if (verdict := self._same()) is not None:
            return verdict
        if before is None or seen is None or before.version != seen.version:
            self._target_pending = None
            return None
        free = self._source is not None and self._source.free
        return self._difference() if free or not self._target_pending else None

    def read_source(self, seen: Seen | None, pending: frozenset[int]) -> Verdict | None:
        """The next read of the source, in a snapshot that is younger than the last read of the target."""
        before, self._source = self._source, seen
        first, self._looked = not self._looked, True
        if (verdict := self._same()) is not None:
            return verdict
        self._target_pending = pending if self._target_pending is None else self._target_pending & pending
        if first or before is None or seen is None or before.version != seen.version:
            self._source_pending = None
            return None
        self._source_pending = pending if self._source_pending is None else self._source_pending & pending
        return self._difference() if seen.free or not self._source_pending else None

    def _same(self) -> Verdict | None:
        if self._source is None or self._target is None:
            return Verdict.GONE if self._source is self._target else None
        return Verdict.EQUAL if self._source.digest == self._target.digest else None

    def _difference(self) -> Verdict:
        if self._source is None:
            return Verdict.EXTRA
        return Verdict.MISSING if self._target is None else Verdict.DIFFERENT
