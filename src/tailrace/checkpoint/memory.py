"""Positions that nobody wants to find again: temporary slots, tests. Never touches the disk."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from tailrace.error import Fenced, Retryable
from tailrace.model import Position

__all__ = ["Memory"]


@dataclass(frozen=True, slots=True)
class Memory:
    """Keep the positions as long as this object lives: every `open` of the same name sees what the last one saved."""

    kind: ClassVar[str] = "memory"
    _shelves: dict[str, _Shared] = field(default_factory=dict, init=False, repr=False, compare=False)

    def open(self, name: str) -> _Positions:
        """See `Checkpoint.open`."""
        shared = self._shelves.setdefault(name, _Shared())
        if not shared.owner.acquire(blocking=False):
            raise Retryable(f"the checkpoint of pipeline {name} is in use in this process")
        return _Positions(shared, name)


class _Shared:
    """What all openings of one name share."""

    def __init__(self) -> None:
        self.owner = threading.Lock()
        self.epochs: dict[str, int] = {}
        self.saved: dict[str, Position | None] = {}


class _Positions:
    """See `Positions`."""

    def __init__(self, shared: _Shared, name: str) -> None:
        self._shared = shared
        self._name = name
        self._epochs: dict[str, int] = {}
        self._open = True

    def known(self) -> Mapping[str, Position | None]:
        """See `Positions.known`."""
        return dict(self._shared.saved)

    def claim(self, lineage: str) -> Position | None:
        """See `Positions.claim`."""
        self._epochs[lineage] = self._shared.epochs[lineage] = self._shared.epochs.get(lineage, 0) + 1
        return self._shared.saved.setdefault(lineage, None)

    def save(self, positions: Sequence[Position]) -> None:
        """See `Positions.save`."""
        for position in positions:
            self._require(position.lineage)
        self._shared.saved.update({position.lineage: position for position in positions})

    def move(self, lineage: str, position: Position) -> None:
        """See `Movable.move`."""
        self._require(lineage)
        del self._shared.saved[lineage]
        self._epochs[position.lineage] = self._shared.epochs[position.lineage] = self._shared.epochs.pop(lineage)
        self._shared.saved[position.lineage] = position

    def forget(self) -> None:
        """See `Positions.forget`."""
        self._shared.saved.clear()
        self._shared.epochs.clear()
        self._epochs.clear()

    def _require(self, lineage: str) -> None:
        if self._shared.epochs.get(lineage, 0) != self._epochs.get(lineage):
            raise Fenced(f"pipeline {self._name} ({lineage}) was claimed again since")

    def close(self) -> None:
        """See `Positions.close`."""
        if self._open:
            self._open = False
            self._shared.owner.release()
