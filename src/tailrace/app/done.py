"""Remembers what is done of a batch that has not succeeded whole, so that no handler gets it twice. Never durable."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from tailrace.app.handler import Handler
from tailrace.model import Batch, Change, Position


@dataclass(slots=True)
class Done:
    """What is done although its batch has not succeeded yet: all up to `low`, and single calls beyond it."""

    low: dict[str, Position] = field(default_factory=dict)
    calls: set[tuple[Handler, Position]] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.low or self.calls)

    def start(self, batch: Batch) -> int:
        """Index of the first change of `batch` that may not be done."""
        if len(batch.positions) != 1 or (low := self.low.get(batch.positions[0].lineage)) is None:
            return 0
        return bisect_right(batch, low, key=lambda change: change.position)

    def has(self, handler: Handler, change: Change) -> bool:
        """This call is done."""
        position = change.position
        low = self.low.get(position.lineage)
        return (low is not None and position <= low) or (handler, position) in self.calls

    def advance(self, batch: Batch, index: int) -> None:
        """Everything before `index` of `batch` is done."""
        lineages = {position.lineage for position in batch.positions}
        for at in range(index - 1, -1, -1):
            position = batch[at].position
            if position.lineage in lineages:
                self.low[position.lineage] = position
                lineages.remove(position.lineage)
            if not lineages:
                return

    def settle(self, positions: Sequence[Position]) -> None:
        """A batch that ends at `positions` succeeded whole: forget what lies before them."""
        for end in positions:
            if (low := self.low.get(end.lineage)) is not None and low <= end:
                del self.low[end.lineage]
            self.calls -= {call for call in self.calls if call[1].lineage == end.lineage and call[1] <= end}
