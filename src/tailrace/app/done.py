"""Remembers what is done of a batch that has not succeeded whole, so that no handler gets it twice. Never durable."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from tailrace.app.handler import Handler
from tailrace.model import Batch, Change, Position


@dataclass(slots=True)
class Done:
    """What is done although its batch has not succeeded yet: `spans` of positions, and single calls beyond them.

    `rejected` are the holes in the spans: changes that went to the dead letters, and may come back from there.
    """

    spans: dict[str, tuple[Position, Position]] = field(default_factory=dict)
    calls: set[tuple[Handler, Position]] = field(default_factory=set)
    rejected: set[Position] = field(default_factory=set)
    offered: tuple[Position, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.spans or self.calls)

    def start(self, batch: Batch) -> int:
        """Index of the first change of `batch` that may not be done, when this is the rest of a batch seen before."""
        if batch.positions != self.offered or len(self.offered) != 1 or not self.spans:
            return 0
        (_, last), *_ = self.spans.values()
        return bisect_right(range(len(batch)), last, key=lambda index: batch[index].position)

    def has(self, handler: Handler, change: Change) -> bool:
        """This call is done."""
        position = change.position
        span = self.spans.get(position.lineage)
        if span is not None and span[0] <= position <= span[1]:
            return position not in self.rejected
        return (handler, position) in self.calls

    def advance(self, batch: Batch, index: int, rejected: Collection[int] = ()) -> None:
        """Everything before `index` of `batch` is done, save what is rejected."""
        firsts = _first_positions(batch, range(index))
        for lineage, last in _first_positions(batch, range(index - 1, -1, -1)).items():
            self.spans[lineage] = (min(firsts[lineage], self.spans.get(lineage, (last,))[0]), last)
        self.rejected.update(batch[at].position for at in rejected)
        self.offered = batch.positions

    def settle(self, positions: Sequence[Position]) -> None:
        """A batch that ends at `positions` succeeded whole: forget what lies before them."""
        if not self:
            return
        for end in positions:
            if (span := self.spans.get(end.lineage)) is not None and span[1] <= end:
                del self.spans[end.lineage]
            self.calls = {call for call in self.calls if call[1].lineage != end.lineage or call[1] > end}
            self.rejected = {at for at in self.rejected if at.lineage != end.lineage or at > end}

    def forget(self, lineages: Collection[str]) -> None:
        """Others go on with these: what comes of them from here on is done anew, so that none is left out."""
        if not lineages:
            return
        for lineage in lineages:
            self.spans.pop(lineage, None)
        self.calls = {call for call in self.calls if call[1].lineage not in lineages}
        self.rejected = {at for at in self.rejected if at.lineage not in lineages}


def _first_positions(batch: Batch, indexes: Iterable[int]) -> dict[str, Position]:
    """The first position of each lineage along `indexes`."""
    missing = {position.lineage for position in batch.positions}
    found: dict[str, Position] = {}
    for index in indexes:
        if not missing:
            break
        position = batch[index].position
        if position.lineage in missing:
            found[position.lineage] = position
            missing.remove(position.lineage)
    return found
