"""What is parked, by keys: what comes after it in its key must stay behind. Never holds a letter."""

from __future__ import annotations

from collections.abc import Iterator

from tailrace.dead_letters.letter import Group
from tailrace.model import Position

__all__ = ["Order"]


class Order:
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
