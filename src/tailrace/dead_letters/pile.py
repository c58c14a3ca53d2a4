"""What both topics of dead letters hold, by id, with running totals: one letter more costs the same, however many there
are. Never reads or writes a topic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from tailrace.dead_letters.letter import Letter

__all__ = ["Entry", "Pile"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A letter that is parked; `due` is when it is offered again, in seconds since the Unix epoch, None for never."""

    letter: Letter
    nbytes: int
    due: float | None

    def says(self, other: Entry) -> bool:
        """Whether it says the same of the letter as `other`."""
        one, two = self.letter, other.letter
        return (one.attempts, one.reason, one.transform, self.due) == (
            two.attempts, two.reason, two.transform, other.due,
        )  # fmt: skip


class Pile:
    """Letters that are dead, and letters that wait for their next try; one that is in both is dead."""

    def __init__(self) -> None:
        self.nbytes = 0
        self.doubled: set[str] = set()
        """Those that are in both."""
        self._dead: dict[str, Entry] = {}
        self._waiting: dict[str, Entry] = {}
        self._counts: Counter[str] = Counter()
        """By lineage."""
        self._touched: dict[str, None] = {}

    def __contains__(self, letter_id: object) -> bool:
        return letter_id in self._dead or letter_id in self._waiting

    def __getitem__(self, letter_id: str) -> Entry:
        return self._dead.get(letter_id) or self._waiting[letter_id]

    def get(self, letter_id: str) -> Entry | None:
        """The letter; None when it is not parked."""
        return self._dead.get(letter_id) or self._waiting.get(letter_id)

    def __iter__(self) -> Iterator[Entry]:
        yield from self._dead.values()
        yield from (entry for each, entry in self._waiting.items() if each not in self._dead)

    def count(self, lineages: Collection[str] | None) -> int:
        """How many are of these lineages; None: of all."""
        return self._counts.total() if lineages is None else sum(self._counts[lineage] for lineage in lineages)

    def holds(self, letter_id: str, *, dead: bool) -> bool:
        """Whether it is among those that are dead, or among those that wait."""
        return letter_id in self._of(dead)

    def put(self, entry: Entry) -> None:
        """It is dead when it is never due."""
        each, held = entry.letter.id, self._of(entry.due is None)
        old = held.get(each)
        if old is not None and old.says(entry):
            return  # news of our own
        self._counts[entry.letter.lineage] += each not in self
        self.nbytes += entry.nbytes - (0 if old is None else old.nbytes)
        held[each] = entry
        if each in self._of(entry.due is not None):
            self.doubled.add(each)
        self._touched[each] = None

    def drop(self, letter_id: str, *, dead: bool) -> None:
        """It is not among those that are dead, or among those that wait, any more."""
        if (old := self._of(dead).pop(letter_id, None)) is not None:
            self._counts[old.letter.lineage] -= letter_id not in self
            self.nbytes -= old.nbytes
            self.doubled.discard(letter_id)
            self._touched[letter_id] = None

    def touch(self, letter_ids: Iterable[str]) -> None:
        """As if these had changed."""
        self._touched.update(dict.fromkeys(letter_ids))

    def touched(self) -> list[str]:
        """Letters that have come, gone or changed since the last time."""
        touched, self._touched = self._touched, {}
        return list(touched)

    def _of(self, dead: bool) -> dict[str, Entry]:
        return self._dead if dead else self._waiting
