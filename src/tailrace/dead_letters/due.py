"""Which of the letters that wait for their next try may have it now. Looks at those that are due, not at all."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from heapq import heappop, heappush

from tailrace.dead_letters.letter import Group, letter_id
from tailrace.dead_letters.order import Order, place
from tailrace.model import Position

__all__ = ["Due", "Waiting"]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A letter; `due` is in seconds since the Unix epoch, None for one that is dead."""

    id: str
    at: Position
    groups: frozenset[Group]
    due: float | None


class Due:
    """Letters by the time of their next try: none passes an earlier one of its key, and behind a dead one all are."""

    def __init__(self) -> None:
        self._all: dict[str, Waiting] = {}
        self._dead = Order()
        self._waiting = Order()
        self._heap: list[tuple[float, str]] = []
        """When to look at which letter; what has changed since is passed over."""
        self._behind: defaultdict[str, list[str]] = defaultdict(list)
        """Whose pause is over, by the letter that they wait for."""

    def put(self, letter: Waiting) -> None:
        """It is parked, or parked otherwise than before."""
        self.pop(letter.id)
        self._all[letter.id] = letter
        self._order(letter).add(letter.groups, letter.at)
        if letter.due is not None:
            lost = self._dead.before(letter.groups, letter.at) is not None
            heappush(self._heap, (0.0 if lost else letter.due, letter.id))
            return
        for at in self._waiting.behind(letter.groups, letter.at):
            self._look_at(letter_id(at))

    def pop(self, each: str) -> None:
        """It is no longer parked, or not ours."""
        if (letter := self._all.pop(each, None)) is not None:
            self._order(letter).remove(letter.groups, letter.at)
        for behind in self._behind.pop(each, ()):
            self._look_at(behind)

    def take(self, now: float) -> tuple[list[str], list[str]]:
        """Letters whose pause is over and that wait for none before them; and those that wait for a dead one."""
        due: list[Waiting] = []
        lost: list[Waiting] = []
        ripe: list[tuple[tuple[str, str], str]] = []
        while self._heap and self._heap[0][0] <= now:
            self._ripen(heappop(self._heap)[1], ripe)
        while ripe:
            letter = self._all[heappop(ripe)[1]]
            if letter in (*lost[-1:], *due[-1:]):
                continue  # it was named twice
            if self._dead.before(letter.groups, letter.at) is not None:
                self._waiting.remove(letter.groups, letter.at)
                self._dead.add(letter.groups, letter.at)
                lost.append(letter)
            elif (letter.due or 0.0) > now:  # the dead one has gone
                heappush(self._heap, (letter.due or 0.0, letter.id))
            elif (first := self._waiting.before(letter.groups, letter.at)) is not None:
                self._behind[letter_id(first)].append(letter.id)
            else:
                self._waiting.remove(letter.groups, letter.at)  # the next of its key goes with it
                due.append(letter)
                for each in self._behind.pop(letter.id, ()):
                    self._ripen(each, ripe)
        for letter in lost:
            self._dead.remove(letter.groups, letter.at)
        for letter in (*lost, *due):
            self._waiting.add(letter.groups, letter.at)
        return [letter.id for letter in due], [letter.id for letter in lost]

    def _ripen(self, each: str, ripe: list[tuple[tuple[str, str], str]]) -> None:
        """It is to be looked at, behind what is before it in stream order."""
        if (letter := self._all.get(each)) is not None and letter.due is not None:
            heappush(ripe, (place(letter.at), each))

    def _order(self, letter: Waiting) -> Order:
        return self._dead if letter.due is None else self._waiting

    def _look_at(self, each: str) -> None:
        heappush(self._heap, (0.0, each))
