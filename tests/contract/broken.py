"""Readers of a log in parts that each break one promise. What is right in them is what `PartStream` does."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tailrace.contract import Positions
from tailrace.error import HistoryLost
from tailrace.model import Batch, Limits, Position, Revoked, Unreadable
from tests.contract.parts import PartSource, PartStream, Settle
from tests.waiting import until


def _look_at_own(stream: PartStream) -> None:
    """`PartStream.look`, but that nothing is let go of that another has."""
    kept = {name: at for name, at in stream.places.items() if stream.parts.owners.get(name) is not stream}
    for name in kept:
        del stream.places[name]
    PartStream.look(stream)
    stream.places.update(kept)


class ReadsUnclaimed(PartStream):
    def offer(self, lineages: list[str]) -> None:
        super().offer(lineages)
        self.places.update(dict.fromkeys(lineages, 0))


class OffersTwice(PartStream):
    def offer(self, lineages: list[str]) -> None:
        super().offer(lineages)
        super().offer(lineages)


class StartsOver(PartStream):
    """Whatever is saved."""

    def start(self, name: str, saved: Position | None) -> int:
        return 0


class SkipsOne(PartStream):
    """Behind what is saved."""

    def start(self, name: str, saved: Position | None) -> int:
        return super().start(name, saved) + (saved is not None)


class GoesOnByItself(PartStream):
    """Where a reader has read to, saved or not."""

    def start(self, name: str, saved: Position | None) -> int:
        return self.parts.read.get(name, super().start(name, saved))

    def next(self) -> Batch | None:
        batch = super().next()
        self.parts.read.update((name, at) for name, at in self.places.items() if at is not None)
        return batch


class GoesOnWhereOthersWere(GoesOnByItself):
    """As a group does whose offsets are committed by themselves."""

    def start(self, name: str, saved: Position | None) -> int:
        return PartStream.start(self, name, saved) if self.bounds is not None else super().start(name, saved)


class StartsOverWhereItIsUnknown(PartStream):
    def start(self, name: str, saved: Position | None) -> int:
        try:
            return super().start(name, saved)
        except HistoryLost:
            return 0


class StumblesWhereItIsUnknown(PartStream):
    def start(self, name: str, saved: Position | None) -> int:
        try:
            return super().start(name, saved)
        except HistoryLost:
            raise ValueError(name) from None


class Doubles(PartStream):
    """Each batch."""

    held: Batch | None = None

    def next(self) -> Batch | None:
        batch, self.held = self.held, None
        if batch is None:
            batch = self.held = super().next()
        return batch


class Swaps(PartStream):
    """Two changes of a part that lie side by side."""

    def next(self) -> Batch | None:
        for name, at in self.places.items():
            log = self.parts.logs[name]
            if at is not None and at % 2 == 0 and at + 1 < len(log):
                self.places[name] = at + 1
                return log.next(at + 1, None, 0.0)  # type: ignore[return-value]
            if at is not None and at % 2 == 1:
                self.places[name] = at + 1
                return log.next(at - 1, None, 0.0)  # type: ignore[return-value]
        return super().next()


class DoesNotUnderstand(PartStream):
    def next(self) -> Batch | None:
        batch = super().next()
        return batch if batch is None else Unreadable(batch, "its bytes are none", "mend it")  # type: ignore[return-value]


class ReadsOn(PartStream):
    """What was taken away from it."""

    def forget(self, lineages: list[str]) -> None:
        self.disown(lineages)

    def look(self) -> None:
        _look_at_own(self)


class LetsGoInSilence(PartStream):
    def let_go(self, lineages: list[str]) -> None:
        self.forget(lineages)


class LetsGoEarly(PartStream):
    """The other reads it before it is settled here."""

    def let_go(self, lineages: list[str]) -> None:
        self.disown(lineages)
        until(lambda: any(self._is_read(reader, lineages) for reader in self.parts.readers if reader is not self))
        super().let_go(lineages)

    def _is_read(self, reader: PartStream, lineages: list[str]) -> bool:
        return all(reader.places.get(name) is not None for name in lineages)


class SettlesWhatNobodyKnows(PartStream):
    def let_go(self, lineages: list[str]) -> None:
        self.settle(Revoked((*lineages, "test/parts/none")), 60.0)
        self.forget(lineages)


class BeginsWhatWent(PartStream):
    def begin(self, claimed: Mapping[str, Position | None]) -> None:
        self.places.update({name: None for name in claimed if name not in self.places})
        super().begin(claimed)

    def look(self) -> None:
        _look_at_own(self)


class ReadsWhileItTends(PartStream):
    def tend(self) -> None:
        super().tend()
        self.next()


class TendsNothing(PartStream):
    def tend(self) -> None:
        """Not even the group."""


class GivesNothingAway(PartStream):
    def look(self) -> None:
        if not self.places:
            super().look()


class KeepsWhatIsNotBegun(PartStream):
    def let_go(self, lineages: list[str]) -> None:
        if begun := [name for name in lineages if self.places[name] is not None]:
            super().let_go(begun)


class GivesNothingBack(PartStream):
    def disown(self, lineages: list[str]) -> None:
        if not self.closed or self.bounds is not None:
            super().disown(lineages)


class TakesNothingTwice(PartStream):
    """Not even what comes back."""

    def attach(self, settle: Settle) -> None:
        self.had = set[str]()
        super().attach(settle)

    def offer(self, lineages: list[str]) -> None:
        if new := [name for name in lineages if name not in self.had]:
            super().offer(new)
        self.had.update(lineages)


class ConfirmsWithAFault(PartStream):
    def confirm(self, positions: Sequence[Position]) -> None:
        raise RuntimeError("the connection is busy")


class ConfirmsWhatIsItsOwn(PartStream):
    def confirm(self, positions: Sequence[Position]) -> None:
        for position in positions:
            self.places[position.lineage]


class WaitsToConfirm(PartStream):
    def confirm(self, positions: Sequence[Position]) -> None:
        threading.Event().wait()


class ClosesOnce(PartStream):
    def close(self) -> None:
        if self.closed and self.bounds is None:
            raise RuntimeError("it is closed")
        super().close()


class EndsEarly(PartStream):
    """Before it has brought anything."""

    def next(self) -> Batch | None:
        return None if self.bounds is not None else super().next()

    def is_done(self) -> bool:
        return self.bounds is not None


class EndsNever(PartStream):
    def is_done(self) -> bool:
        return False


@dataclass(frozen=True)
class ClaimsAtOnce(PartSource):
    """As a source does whose lineages are its own."""

    def open(self, name: str, positions: Positions, limits: Limits, **how: Any) -> PartStream:
        for lineage in self.parts.logs:
            positions.claim(lineage)
        return super().open(name, positions, limits, **how)


@dataclass(frozen=True)
class TakesForeign(PartSource):
    def refuse_foreign(self, positions: Positions) -> None:
        """Anything goes."""
