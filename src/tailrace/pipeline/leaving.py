"""Lineages that another reader takes over while changes of them are held here. Never saves, writes or releases.

A Writer that is `Divisible` breaks off, and what is held of them is dropped: they go at once, as far as they are done.
Any other one writes what was read before they go, and nothing is asked here.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence

from tailrace.contract import Divisible, Writer
from tailrace.model import Batch, Position, Revoked

__all__ = ["Leaving"]


class Leaving:
    """What was revoked, from the call of the stream until its mark has come off the shelf."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer if isinstance(writer, Divisible) else None
        self._asked: deque[Revoked] = deque()
        self._gone: Counter[str] = Counter()
        """Lineages that went ahead of their marks: of how many."""
        self._done: dict[str, Position] = {}
        """How far those are done that went within a batch."""

    def ask(self, revoked: Revoked) -> None:
        """On the reader thread, before the mark is put on the shelf."""
        if self._writer is not None:
            self._asked.append(revoked)
            self._writer.break_off()

    def take(self, done: Sequence[Position] = ()) -> list[Revoked]:
        """What was asked since the last call: to be let go now. What is held of it is dropped from here on, but for
        what is `done` of the batch that was broken off for it."""
        if self._writer is None:
            return []
        taken = [self._asked.popleft() for _ in range(len(self._asked))]
        lineages = [lineage for revoked in taken for lineage in revoked.lineages]
        self._gone.update(lineages)
        self._done.update((position.lineage, position) for position in done if position.lineage in self._gone)
        self.renew(lineages)
        return taken

    def renew(self, lineages: Sequence[str]) -> None:
        """Others may have had these: what was done of them here before counts no more."""
        if self._writer is None:
            return
        self._writer.go_on(lineages)
        if self._asked:  # `go_on` may have come behind its break
            self._writer.break_off()

    def end(self, revoked: Revoked) -> bool:
        """Its mark has come off the shelf: nothing of that time is left there. True when it went ahead of it."""
        if self._writer is None:
            return False
        self._gone.subtract(revoked.lineages)
        self._gone = +self._gone
        self._done = {lineage: at for lineage, at in self._done.items() if lineage in self._gone}
        return True

    def __contains__(self, lineage: str) -> bool:
        """It went, and what comes off the shelf is of before."""
        return lineage in self._gone

    def kept(self, batch: Batch) -> Batch:
        """The batch without changes of lineages that went; it still ends where it did."""
        return self._without(batch, {})

    def handled(self, batch: Batch) -> Batch:
        """What was handled of a batch that is finished: lineages that went meanwhile only as far as they are done."""
        return self._without(batch, self._done)

    def _without(self, batch: Batch, done: Mapping[str, Position]) -> Batch:
        if not any(position.lineage in self._gone for position in batch.positions):
            return batch
        places = [change.position for change in batch]
        gone = (index for index, at in enumerate(places) if at.lineage in self._gone)
        return batch.without([index for index in gone if _is_behind(places[index], done.get(places[index].lineage))])

    def reached(self, batch: Batch, undone: Mapping[str, Position] | None = None) -> list[Position]:
        """How far each lineage of a batch is done that was not written whole, of those that have not gone: the last
        change of which it and all before it are. Without `undone` the writer is asked."""
        if self._writer is None:
            return []
        undone = self._writer.undone() if undone is None else undone
        ends = [position for position in batch.positions if position.lineage not in self._gone]
        done = {position.lineage: position for position in ends if position.lineage not in undone}
        for change in batch if len(done) < len(ends) else ():
            position = change.position
            if position.lineage in undone and position < undone[position.lineage]:
                done[position.lineage] = position
        return list(done.values())


def _is_behind(position: Position, done: Position | None) -> bool:
    return done is None or done < position
