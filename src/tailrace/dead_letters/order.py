"""What is parked, by keys: what comes after it in its key must stay behind. Never holds a letter."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator

from tailrace.dead_letters.letter import Group
from tailrace.model import Position

__all__ = ["Order", "place"]


def place(position: Position) -> tuple[str, str]:
    """Where it stands among all that are parked: stream order within a lineage."""
    return position.lineage, position.text


class Order:
    """The parked positions of every group: what comes after them in the group must stay behind."""

    def __init__(self) -> None:
        self._held: dict[str, dict[Group, list[Position]]] = {}
        """By table, then by group; in the order of `place`."""
        self._loose = 0

    @property
    def messages(self) -> bool:
        """Changes without a group are parked too."""
        return self._loose > 0

    def tables(self) -> set[str]:
        """Tables of which something is parked."""
        return set(self._held)

    def add(self, groups: frozenset[Group], position: Position) -> None:
        """A change at `position` is parked."""
        self._loose += not groups
        for group in groups:
            insort(self._held.setdefault(group[0], {}).setdefault(group, []), position, key=place)

    def remove(self, groups: frozenset[Group], position: Position) -> None:
        """It no longer is."""
        self._loose -= not groups
        for table, key in groups:
            held = self._held[table][table, key]
            del held[bisect_left(held, place(position), key=place)]
            if not held:
                del self._held[table][table, key]
            if not self._held[table]:
                del self._held[table]

    def holds(self, groups: frozenset[Group], position: Position) -> bool:
        """A change of these groups at `position` comes after one that is parked, or one of another lineage is."""
        return any(
            held[0].lineage != position.lineage or held[-1].lineage != position.lineage or held[0] < position
            for _, held in self.beside(groups)
        )

    def before(self, groups: frozenset[Group], position: Position) -> Position | None:
        """The first that is parked in these groups, unless its place is behind that of `position`."""
        firsts = (held[0] for _, held in self.beside(groups) if place(held[0]) < place(position))
        return min(firsts, key=place, default=None)

    def behind(self, groups: frozenset[Group], position: Position) -> Iterator[Position]:
        """All that are parked in these groups behind `position`."""
        for _, held in self.beside(groups):
            yield from held[bisect_right(held, place(position), key=place) :]

    def beside(self, groups: Iterable[Group]) -> Iterator[tuple[Group, list[Position]]]:
        """The groups that stay in order with these, and what is parked of each."""
        for table, key in groups:
            held = self._held.get(table, {})
            if key is None:
                yield from held.items()  # a TRUNCATE waits for every key
                continue
            for group in ((table, key), (table, None)):
                if group in held:
                    yield group, held[group]
