"""Dead letters that members of a group share: each offers those of its own lineages. Never reads a topic itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tailrace.contract import BrokenOff
from tailrace.dead_letters.due import Due, Waiting
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
        self._due = Due()
        self._offered: Sequence[str] = ()
        """What was last found to be due."""
        self._sync()

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
        try:
            return self._parked.replay(write, at, gone)
        except BrokenOff:  # what is still due must be found again, whoever has it then
            self._store.touch(self._offered)
            raise

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
        self._sync()

    def hand_over(self, lineages: Sequence[str]) -> None:
        """See `Roaming.hand_over`."""
        self._store.own(lineages, add=False)
        self._sync()

    def _asked(self) -> list[Asked]:
        self._store.refresh()
        self._sync()
        self._store.tidy()
        asked: list[Asked] = [
            _Asked(action, tuple(ids), self._store.answer) for action, ids in self._store.asked().items()
        ]
        due, lost = self._due.take(time.time())
        self._offered = due
        if lost:
            self._store.bury([self._store.read(each) for each in lost])
        if due:
            asked.append(_Asked(Action.REPLAY, tuple(due), self._store.touch))
        return asked

    def _sync(self) -> None:
        """Learn what has changed since the last time, whoever changed it."""
        for each in self._store.touched():
            if (entry := self._store.ours(each)) is None:
                self._parked.leave(each)
                self._due.pop(each)
            else:
                self._parked.learn(each)
                self._due.put(Waiting(each, entry.letter.at, self._parked.groups(entry.letter), entry.due))
