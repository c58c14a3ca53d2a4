"""Parks changes in a store and offers them again, in the order of their keys. Never knows where the store is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

from tailrace.contract import BrokenOff
from tailrace.dead_letters.letter import Group, Letter, groups_of, letter_id, rebuild
from tailrace.dead_letters.order import Order
from tailrace.dead_letters.request import Action
from tailrace.error import Fatal, Fenced, Reject
from tailrace.model import Batch, Position

__all__ = ["Asked", "Parked", "Store"]

_REPLAY_CHANGES = 500

_Write = Callable[[Batch, str | None], None]
_Gone = Callable[[Sequence[Position]], None]


class Store(Protocol):
    """Letters, kept durably."""

    def __len__(self) -> int: ...

    def __contains__(self, letter_id: object) -> bool: ...

    def read(self, letter_id: str) -> Letter:
        """The letter, with its last reason."""
        ...

    def letters(self) -> Iterator[Letter]:
        """All that are parked, in the order in which they were."""
        ...

    def park(self, letters: Iterable[Letter]) -> None:
        """Add them, durably on return; `Fatal` when there is no room (I8)."""
        ...

    def fail(self, letter_id: str, reason: str) -> None:
        """Note that it was refused again."""
        ...

    def remove(self, letter_ids: Iterable[str], why: str) -> None:
        """Forget these, durably on return."""
        ...

    def close(self) -> None:
        """Release it; closing twice is harmless (I12)."""
        ...


class Asked(Protocol):
    """What is to be done with letters; `ids` None means all that are parked."""

    @property
    def action(self) -> Action:
        """What to do."""
        ...

    @property
    def ids(self) -> tuple[str, ...] | None:
        """The letters that are meant."""
        ...

    def done(self) -> None:
        """It is carried out, durably."""
        ...


@dataclass(frozen=True, slots=True)
class _Known:
    """What order needs of a letter."""

    groups: frozenset[Group]
    at: Position
    transform: str | None


class Parked:
    """See `Letters`. `asked` gives what is to be done, oldest first; `release` lets go of what the store stands on."""

    def __init__(self, store: Store, asked: Callable[[], Sequence[Asked]], release: Callable[[], None]) -> None:
        self._store = store
        self._asked = asked
        self._release = release
        self._known: dict[str, _Known] = {}
        self._orders: defaultdict[str | None, Order] = defaultdict(Order)
        for letter in store.letters():
            self.learn(letter.id)

    def park(self, batch: Batch, reasons: Mapping[int, str], *, transform: str | None = None) -> None:
        """See `Letters.park`."""
        fresh: list[tuple[Letter, frozenset[Group]]] = []
        order, ahead = self._orders[transform], Order()
        for index in sorted(reasons):
            change = batch[index]
            if letter_id(change.position) not in self._store:
                groups, position = groups_of(change), change.position
                behind = order.holds(groups, position) or ahead.holds(groups, position)  # it was not tried
                ahead.add(groups, position)
                letter = Letter.of(change, reasons[index], attempts=0 if behind else 1, transform=transform)
                fresh.append((letter, groups))
        self._store.park(letter for letter, _ in fresh)
        for letter, groups in fresh:
            self._enter(letter, groups)

    def parked(self, batch: Batch, *, transform: str | None = None) -> Mapping[int, str]:
        """See `Letters.parked`."""
        order = self._orders.get(transform)
        if order is None or not (order.messages or order.tables() & {str(table) for table in batch.tables}):
            return {}
        behind: dict[int, str] = {}
        ahead = Order()  # what this very batch adds: a change of key carries the block over to its new key
        for index, change in enumerate(batch):
            groups, position = groups_of(change), change.position
            known = letter_id(position) in self._store
            if known or order.holds(groups, position) or ahead.holds(groups, position):
                behind[index] = "an earlier change of this key is parked"
                ahead.add(groups, position)
        return behind

    def replay(
        self,
        write: _Write,
        at: Mapping[str, Position],
        gone: _Gone | None = None,
    ) -> int:
        """See `Letters.replay`."""
        gone = gone or (lambda positions: None)
        left = 0
        for asked in self._asked():
            before = len(self._store)
            try:
                wanted = self._wanted(asked.ids)
                if asked.action is Action.DROP:
                    self._remove(wanted, "dropped", gone=gone)
                else:
                    self._replay([letter.id for letter in wanted], write, at=at, gone=gone)
            except Fenced:  # nothing is wrong with it: whoever has the letters next carries it out
                raise
            except Fatal:
                asked.done()  # or it would stop every later run as well, and no other request could pass it
                raise
            asked.done()
            left += before - len(self._store)
        return left

    def count(self) -> int:
        """See `Letters.count`."""
        return len(self._store)

    def close(self) -> None:
        """See `Letters.close`."""
        self._store.close()
        self._release()

    def learn(self, letter_id: str) -> None:
        """Look at a letter that is parked: somebody else may have parked it."""
        letter = self._store.read(letter_id)
        if letter_id not in self._known or self._known[letter_id].transform != letter.transform:
            self._enter(letter, groups_of(rebuild([letter], letter.at)[0]))

    def leave(self, letter_id: str) -> None:
        """It is no longer parked, or somebody else's."""
        if (known := self._known.pop(letter_id, None)) is not None:
            self._orders[known.transform].remove(known.groups, known.at)

    def groups(self, letter: Letter) -> frozenset[Group]:
        """What a letter must stay in order with."""
        return self._known[letter.id].groups

    def _enter(self, letter: Letter, groups: frozenset[Group]) -> None:
        self.leave(letter.id)
        self._known[letter.id] = _Known(groups, letter.at, letter.transform)
        self._orders[letter.transform].add(groups, letter.at)

    def _remove(self, letters: Sequence[Letter], why: str, *, gone: _Gone) -> None:
        self._store.remove([letter.id for letter in letters], why)
        for letter in letters:
            self.leave(letter.id)
        gone([letter.at for letter in letters])

    def _wanted(self, ids: tuple[str, ...] | None) -> list[Letter]:
        """The letters that are meant, in stream order."""
        every = (
            self._store.letters() if ids is None else (self._store.read(each) for each in ids if each in self._store)
        )
        letters = [letter for letter in every if letter.id in self._known]
        return sorted(letters, key=lambda letter: (letter.lineage, letter.position))

    def _replay(self, ids: Sequence[str], write: _Write, *, at: Mapping[str, Position], gone: _Gone) -> None:
        """Offer these letters in stream order. One whose key has an earlier letter that stays, stays as well."""
        stuck = self._staying([self._known[each] for each in ids])
        for first in range(0, len(ids), _REPLAY_CHANGES):
            part = [self._store.read(each) for each in ids[first : first + _REPLAY_CHANGES]]
            for _, letters in groupby(part, key=lambda letter: letter.transform):
                taken = self._offer(list(letters), stuck, write=write, at=at, gone=gone)
                self._remove(taken, "replayed", gone=gone)

    def _staying(self, offered: Sequence[_Known]) -> Order:
        """What the offered letters may have to wait for, which are not offered themselves."""
        going = {known.at for known in offered}
        groups = {group for known in offered for group in known.groups}
        stuck = Order()
        for order in self._orders.values():
            for group, held in dict(order.beside(groups)).items():
                for at in held:
                    if at not in going:
                        stuck.add(frozenset({group}), at)
        return stuck

    def _offer(
        self, letters: list[Letter], stuck: Order, *, write: _Write, at: Mapping[str, Position], gone: _Gone
    ) -> list[Letter]:
        """Write what nobody refuses and what waits for nothing; returns what was written and is still parked.
        `BrokenOff` leaves what was not. What is refused without saying which of it is halved until it stands alone."""
        while letters := self._free(letters, stuck):
            end = at.get(letters[0].lineage) or next(iter(at.values()), letters[-1].at)
            try:
                write(rebuild(letters, end), letters[0].transform)
            except BrokenOff as broken:
                undone = broken.undone
                done = [each for each in letters if each.lineage not in undone or each.at < undone[each.lineage]]
                self._remove(done, "replayed", gone=gone)
                raise
            except Reject as reject:
                reasons = reject.suspected(len(letters), "the sink")
                if not reject.named and len(letters) > 1:
                    self._remove([letters[index] for index in sorted(reject.written)], "replayed", gone=gone)
                    suspects = [letters[index] for index in sorted(reasons)]
                    half = len(suspects) // 2
                    for part in (suspects[:half], suspects[half:]):
                        taken = self._offer(part, stuck, write=write, at=at, gone=gone)
                        self._remove(taken, "replayed", gone=gone)
                    return []
                for index in sorted(reasons):
                    groups, position = self.groups(letters[index]), letters[index].at
                    if not stuck.holds(groups, position):  # else it was refused for what is before it, not tried
                        self._store.fail(letters[index].id, reasons[index])
                    stuck.add(groups, position)
                self._remove([letters[index] for index in sorted(reject.written)], "replayed", gone=gone)
                going = {*reasons, *reject.written}
                letters = [letter for index, letter in enumerate(letters) if index not in going]
            else:
                break
        return letters

    def _free(self, letters: list[Letter], stuck: Order) -> list[Letter]:
        """Those that wait for nothing; the others become something to wait for."""
        free: list[Letter] = []
        for letter in letters:
            groups = self.groups(letter)
            if stuck.holds(groups, letter.at):
                stuck.add(groups, letter.at)
            else:
                free.append(letter)
        return free
