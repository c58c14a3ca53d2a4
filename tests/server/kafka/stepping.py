"""An open stream of a Kafka source, moved on call by call as the reader thread does it. Never writes anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from tailrace.contract import Positions
from tailrace.error import EndOfStream
from tailrace.model import Assigned, Batch, Limits, Position
from tailrace.source.kafka import Kafka
from tailrace.source.kafka.stream import KafkaStream
from tests.waiting import until


class Nothing:
    """Positions of a pipeline that has saved none."""

    def known(self) -> Mapping[str, Position | None]:
        return {}

    def claim(self, lineage: str) -> Position | None:
        """Claims are taken by hand."""

    def save(self, positions: object) -> None:
        """Nothing is kept."""

    def forget(self) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing is open."""


@dataclass
class Steps:
    """A stream, and what it has brought so far."""

    stream: KafkaStream
    offered: list[str] = field(default_factory=list)
    positions: list[Position] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    ended: bool = False

    def read(self) -> None:
        """One call of `read`."""
        try:
            item = self.stream.read(0.1)
        except EndOfStream:
            self.ended = True
            return
        if isinstance(item, Assigned):
            self.offered += item.lineages
        elif isinstance(item, Batch):
            self.positions += item.positions
            self.sizes.append(len(item))
            self.ids += [change.after["id"] for change in item if change.after is not None]

    def until_offered(self, count: int = 1) -> None:
        """Read until so many partitions were offered; none of them is claimed."""
        until(lambda: self.read() or len(self.offered) >= count, "for partitions")

    def begin(self) -> None:
        """Claim what was offered, as nothing was ever read of it."""
        self.stream.begin(dict.fromkeys(self.offered))

    def until_read(self, count: int) -> None:
        """Read until so many changes have come."""
        until(lambda: self.read() or len(self.ids) >= count or self.ended, "for changes")


@contextmanager
def stepping(source: Kafka, *, until_current: bool = False, limits: Limits | None = None) -> Iterator[Steps]:
    """An open stream of `source`, closed at the end."""
    nothing: Positions = Nothing()
    stream = source.open("p", nothing, limits or Limits(), until_current=until_current)
    stream.attach(lambda revoked, timeout_s: True)
    try:
        yield Steps(stream)
    finally:
        stream.close()
