"""Dead letters in one file of JSON Lines, fsynced, mode 0600. Never drops a letter that nobody asked to drop.

Beside it lie `<file>.lock` and `<file>.requests/`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import ClassVar

from tailrace.dead_letters import request
from tailrace.dead_letters.journal import Journal
from tailrace.dead_letters.letter import Group, Letter, groups_of, letter_id, rebuild
from tailrace.dead_letters.request import Action
from tailrace.durable import Lock
from tailrace.error import Fatal, Reject, Retryable
from tailrace.model import Batch, Limits, Position

__all__ = ["File", "discard", "is_owned"]

_REPLAY_CHANGES = 500

_Write = Callable[[Batch, str | None], None]
_Gone = Callable[[Sequence[Position]], None]


@dataclass(frozen=True, slots=True)
class File:
    """Park changes in the file `path`."""

    kind: ClassVar[str] = "file"
    path: Path

    def open(self, name: str, limits: Limits) -> _Letters:
        """See `DeadLetters.open`."""
        return _Letters(Path(self.path), name, limits.dead_letters_bytes_max)


def is_owned(path: Path) -> bool:
    """Whether a process has these letters open: it looks at requests between two batches."""
    try:
        _lock(path, "").close()
    except Retryable:
        return True
    return False


def discard(path: Path, ids: Collection[str] | None = None) -> int:
    """Throw letters away (None: all) while no process has them open; returns how many. `Retryable` while one has."""
    with _lock(path, f"the file of dead letters {path}"):
        journal = Journal(path, 0)
        try:
            wanted = [letter.id for letter in journal.letters() if ids is None or letter.id in ids]
            journal.remove(wanted, "dropped")
        finally:
            journal.close()
    return len(wanted)


def _lock(path: Path, what: str) -> Lock:
    return Lock(path.with_name(path.name + ".lock"), what)


class _Order:
    """The first parked position of every group: what comes after it in the group must stay behind."""

    def __init__(self) -> None:
        self._first: dict[str, dict[Group, Position]] = {}
        """By table, then by group."""
        self.messages = False
        """Changes without a group are parked too."""

    def tables(self) -> set[str]:
        """Tables of which something is parked."""
        return set(self._first)

    def add(self, groups: frozenset[Group], position: Position) -> None:
        """A change at `position` is parked."""
        self.messages |= not groups
        for group in groups:
            firsts = self._first.setdefault(group[0], {})
            if group not in firsts or position < firsts[group]:
                firsts[group] = position

    def holds(self, groups: frozenset[Group], position: Position) -> bool:
        """A change of these groups at `position` comes after one that is parked."""
        return any(
            first.lineage != position.lineage or first < position for group in groups for first in self._blockers(group)
        )

    def _blockers(self, group: Group) -> Iterator[Position]:
        table, key = group
        firsts = self._first.get(table, {})
        if key is None:
            yield from firsts.values()  # a TRUNCATE waits for every key
            return
        for blocker in (group, (table, None)):
            if blocker in firsts:
                yield firsts[blocker]


class _Letters:
    """See `Letters`."""

    def __init__(self, path: Path, name: str, nbytes_max: int) -> None:
        self._path = path
        self._lock = _lock(path, f"the dead letters of pipeline {name}")
        try:
            self._journal = Journal(path, nbytes_max)
            self._index()
        except BaseException:
            self._lock.close()
            raise

    def park(self, batch: Batch, reasons: Mapping[int, str], *, transform: str | None = None) -> None:
        """See `Letters.park`."""
        fresh: list[tuple[Letter, frozenset[Group]]] = []
        for index in sorted(reasons):
            change = batch[index]
            if letter_id(change.position) not in self._journal:
                letter = Letter.of(change, reasons[index], attempts=1, transform=transform)
                fresh.append((letter, groups_of(change)))
        self._journal.park(letter for letter, _ in fresh)
        for letter, groups in fresh:
            self._orders[transform].add(groups, letter.at)

    def parked(self, batch: Batch, *, transform: str | None = None) -> Mapping[int, str]:
        """See `Letters.parked`."""
        order = self._orders.get(transform)
        if order is None or not (order.messages or order.tables() & {str(table) for table in batch.tables}):
            return {}
        behind: dict[int, str] = {}
        ahead = _Order()  # what this very batch adds: a change of key carries the block over to its new key
        for index, change in enumerate(batch):
            groups, position = groups_of(change), change.position
            known = letter_id(position) in self._journal
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
        for asked in request.pending(self._path):
            before = len(self._journal)
            try:
                wanted = self._wanted(asked.ids)
                if asked.action is Action.DROP:
                    self._journal.remove([letter.id for letter in wanted], "dropped")
                    gone([letter.at for letter in wanted])
                else:
                    self._replay([letter.id for letter in wanted], write, at=at, gone=gone)
            except Fatal:
                asked.done()  # or it would stop every later run as well, and no other request could pass it
                raise
            asked.done()
            left += before - len(self._journal)
        if left:
            self._index()
        return left

    def count(self) -> int:
        """See `Letters.count`."""
        return len(self._journal)

    def close(self) -> None:
        """See `Letters.close`."""
        self._journal.close()
        self._lock.close()

    def _index(self) -> None:
        """Learn anew what is parked."""
        self._orders: defaultdict[str | None, _Order] = defaultdict(_Order)
        for letter in self._journal.letters():
            self._orders[letter.transform].add(self._groups(letter), letter.at)

    def _groups(self, letter: Letter) -> frozenset[Group]:
        return groups_of(rebuild([letter], letter.at)[0])

    def _wanted(self, ids: tuple[str, ...] | None) -> list[Letter]:
        """The letters that are meant, in stream order."""
        letters = [letter for letter in self._journal.letters() if ids is None or letter.id in ids]
        return sorted(letters, key=lambda letter: (letter.lineage, letter.position))

    def _replay(self, ids: Sequence[str], write: _Write, *, at: Mapping[str, Position], gone: _Gone) -> None:
        """Offer these letters in stream order. One whose key has an earlier letter that stays, stays as well."""
        stuck = _Order()
        asked = set(ids)
        for letter in self._journal.letters():
            if letter.id not in asked:
                stuck.add(self._groups(letter), letter.at)
        for first in range(0, len(ids), _REPLAY_CHANGES):
            part = [self._journal.read(each) for each in ids[first : first + _REPLAY_CHANGES]]
            for _, letters in groupby(part, key=lambda letter: letter.transform):
                taken = self._offer(list(letters), stuck, write=write, at=at)
                self._journal.remove([letter.id for letter in taken], "replayed")
                gone([letter.at for letter in taken])

    def _offer(
        self, letters: list[Letter], stuck: _Order, *, write: _Write, at: Mapping[str, Position]
    ) -> list[Letter]:
        """Write what nobody refuses and what waits for nothing; returns what was written."""
        while letters := self._free(letters, stuck):
            end = at.get(letters[0].lineage) or next(iter(at.values()), letters[-1].at)
            try:
                write(rebuild(letters, end), letters[0].transform)
            except Reject as reject:
                reasons = reject.checked(len(letters), "the sink")
                for index, reason in reasons.items():
                    self._journal.fail(letters[index].id, reason)
                    stuck.add(self._groups(letters[index]), letters[index].at)
                letters = [letter for index, letter in enumerate(letters) if index not in reasons]
            else:
                break
        return letters

    def _free(self, letters: list[Letter], stuck: _Order) -> list[Letter]:
        """Those that wait for nothing; the others become something to wait for."""
        free: list[Letter] = []
        for letter in letters:
            groups = self._groups(letter)
            if stuck.holds(groups, letter.at):
                stuck.add(groups, letter.at)
            else:
                free.append(letter)
        return free
