"""Dead letters that members of a group share: each offers those of its own lineages. Never reads a topic itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tailrace.dead_letters.letter import Letter
from tailrace.dead_letters.order import Order
from tailrace.dead_letters.parked import Asked, Parked
from tailrace.dead_letters.request import Action
from tailrace.model import Batch, Position

if TYPE_CHECKING:
    from tailrace.dead_letters.store import TopicStore

__all__ = ["Letters"]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be done now; `answer` says that it was."""

    action: Action
    ids: tuple[str, ...]
    answer: Callable[[Sequence[str]], None]

    def done(self) -> None:
        """See `Asked`."""
        self.answer(self.ids)


class Letters:
    """See `Letters` and `Roaming` of the contract."""

    def __init__(self, store: TopicStore) -> None:
        self._store = store
        self._parked = Parked(store, self._asked, lambda: None)

    def park(self, batch: Batch, reasons: Mapping[int, str], *, transform: str | None = None) -> None:
        """See `Letters.park`."""
        self._parked.park(batch, reasons, transform=transform)

    def parked(self, batch: Batch, *, transform: str | None = None) -> Mapping[int, str]:
        """See `Letters.parked`."""
        return self._parked.parked(batch, transform=transform)

    def replay(
        self,
        write: Callable[[Batch, str | None], None],
        at: Mapping[str, Position],
        gone: Callable[[Sequence[Position]], None] | None = None,
    ) -> int:
        """See `Letters.replay`; also what is due without being asked for."""
        return self._parked.replay(write, at, gone)

    def count(self) -> int:
        """See `Letters.count`: those of our lineages."""
        return self._parked.count()

    def close(self) -> None:
        """See `Letters.close`."""
        self._parked.close()

    def take_over(self, lineages: Sequence[str]) -> None:
        """See `Roaming.take_over`."""
        self._store.own(lineages, add=True)
        self._store.refresh()
        self._parked.index()

    def hand_over(self, lineages: Sequence[str]) -> None:
        """See `Roaming.hand_over`."""
        self._store.own(lineages, add=False)
        self._parked.index()

    def _asked(self) -> list[Asked]:
        if self._store.refresh():
            self._parked.index()
        asked: list[Asked] = [
            _Asked(action, tuple(ids), self._store.answer) for action, ids in self._store.asked().items()
        ]
        if due := self._due(time.time()):
            asked.append(_Asked(Action.REPLAY, tuple(due), lambda _: None))
        return asked

    def _due(self, now: float) -> list[str]:
        """Letters whose pause is over and that wait for none before them; those that wait for a dead one are dead."""
        dead, waiting = Order(), Order()
        due: list[str] = []
        lost: list[Letter] = []
        entries = sorted(self._store.entries(), key=lambda each: (each[1].letter.lineage, each[1].letter.position))
        for is_dead, entry in entries:
            letter, groups = entry.letter, self._parked.groups(entry.letter)
            if is_dead:
                dead.add(groups, letter.at)
            elif dead.holds(groups, letter.at):
                dead.add(groups, letter.at)
                lost.append(letter)
            elif (entry.due or 0.0) > now or waiting.holds(groups, letter.at):
                waiting.add(groups, letter.at)
            else:
                due.append(letter.id)
        if lost:
            self._store.bury(lost)
        return due
