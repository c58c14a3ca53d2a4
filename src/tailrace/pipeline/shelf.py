"""The one bounded hand-over between the reader thread and the writer thread. Never looks into a batch.

The writer takes all that waits, so batches grow exactly when the sink is slow: group commit without a linger knob.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import datetime

from tailrace.model import Assigned, Batch, Revoked, Unreadable

__all__ = ["End", "Shelf"]

_CHANGE_NBYTES = 32
_BATCH_NBYTES = 1024
_NAP_S = 0.5
"""Longest uninterrupted wait: a signal handler that calls `wake` between the check and the wait would go unheard."""


@dataclass(frozen=True, slots=True)
class End:
    """Nothing comes after this: the stream ended (None) or broke."""

    error: BaseException | None = None


_Mark = Assigned | Revoked | Unreadable | End


def _began(batch: Batch) -> datetime | None:
    """When the first change of a batch was committed; a spilled batch is not read for it, its last commit must do."""
    whole = len(batch) and batch.resident_nbytes >= batch.nbytes
    return batch[0].committed_at if whole else batch.committed_at


def _cost(item: Batch | _Mark) -> int:
    """Bytes of memory that an item holds: spilled cells are on disk and do not count."""
    if isinstance(item, Batch):
        return item.resident_nbytes + len(item) * _CHANGE_NBYTES + _BATCH_NBYTES
    if isinstance(item, Unreadable):
        return item.batch.resident_nbytes + _BATCH_NBYTES
    return 0


class Shelf:
    """Holds at most `nbytes_max` and one batch more: a batch is never cut, and what was read is never refused."""

    def __init__(self, *, nbytes_max: int, take_nbytes_max: int) -> None:
        self._nbytes_max = nbytes_max
        self._take_nbytes_max = take_nbytes_max
        self._items: deque[tuple[Batch | _Mark, int]] = deque()
        self._taken: list[Batch] = []
        self._nbytes = 0
        self._woken = False
        self.visited_at = time.monotonic()
        """When the writer last came or left; it comes at least twice a second, unless it is at work."""
        # Reentrant (Condition's own lock is): a signal handler may call `wake` while its thread is in here.
        self._changed = threading.Condition()

    @property
    def nbytes(self) -> int:
        """What is held now."""
        return self._nbytes

    @property
    def full(self) -> bool:
        """The reader must not read now."""
        return self._nbytes >= self._nbytes_max

    def oldest(self) -> datetime | None:
        """When the oldest change was committed that waits here or that the writer is at work on; None without one."""
        with self._changed:
            held = (item for item, _ in self._items if isinstance(item, Batch))
            first = next((batch for batch in itertools.chain(self._taken, held) if len(batch)), None)
        return None if first is None else _began(first)

    @property
    def holding(self) -> bool:
        """Something waits here, or the writer is at work on what it took."""
        return bool(self._taken or self._items)

    def put(self, item: Batch | _Mark) -> None:
        """Hand over; never blocks. The reader asks `full` before it reads."""
        cost = _cost(item)
        with self._changed:
            self._items.append((item, cost))
            self._nbytes += cost
            self._changed.notify_all()

    def wait_room(self, timeout_s: float) -> bool:
        """Wait until the shelf is not full; False after `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: not self.full, timeout_s)

    def take(self, timeout_s: float) -> list[Batch] | _Mark | None:
        """All batches that wait, up to `take_nbytes_max` (at least one), or the one mark that stands first. What was
        spilled counts whole.

        None after `timeout_s` or when woken. The order is the order of `put`; marks are never passed by batches.
        """
        self._taken = []  # whoever comes again is done with what it took
        self.visited_at = time.monotonic()
        deadline = self.visited_at + timeout_s
        with self._changed:
            while not self._items:
                left = deadline - time.monotonic()
                if self._woken or left <= 0:
                    self._woken = False
                    return None
                self._changed.wait(min(left, _NAP_S))
            taken = self._pop()
            self._changed.notify_all()
        self.visited_at = time.monotonic()
        return taken

    def _pop(self) -> list[Batch] | _Mark:
        first, nbytes = self._items.popleft()
        self._nbytes -= nbytes
        if not isinstance(first, Batch):
            return first
        batches, together = [first], max(nbytes, first.nbytes)
        while self._items and isinstance(item := self._items[0][0], Batch):
            together += max(self._items[0][1], item.nbytes)
            if together > self._take_nbytes_max:
                break
            self._nbytes -= self._items.popleft()[1]
            batches.append(item)
        self._taken = batches
        return batches

    def wake(self) -> None:
        """Make a waiting `take` return now; callable from a signal handler."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()
