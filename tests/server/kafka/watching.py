"""A Kafka source whose streams are watched: which lineages they bring and take away, and how much they hand over."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from tailrace.contract import Positions
from tailrace.model import Assigned, Batch, Finding, Limits, Revoked, Unreadable
from tailrace.source.kafka import Kafka
from tailrace.source.kafka.stream import KafkaStream


@dataclass
class Watched:
    """The source, and what its streams have told the pipeline."""

    kind: ClassVar[str] = "kafka"
    source: Kafka
    came: Counter[str] = field(default_factory=Counter)
    went: Counter[str] = field(default_factory=Counter)
    changes: int = 0
    """On the shelf, or taken from it."""

    def check(self) -> list[Finding]:
        return self.source.check()

    def open(
        self,
        name: str,
        positions: Positions,
        limits: Limits,
        *,
        until_current: bool = False,
        stop: threading.Event | None = None,
    ) -> KafkaStream:
        stream = self.source.open(name, positions, limits, until_current=until_current, stop=stop)
        read, attach = stream.read, stream.attach
        handed = 0

        def reading(timeout_s: float) -> Batch | Assigned | Unreadable | None:
            nonlocal handed
            self.changes += handed  # whoever asks for more has put away what it got
            item = read(timeout_s)
            handed = len(item) if isinstance(item, Batch) else 0
            if isinstance(item, Assigned):
                self.came.update(item.lineages)
            return item

        def attaching(settle: Callable[[Revoked, float], bool]) -> None:
            def settling(revoked: Revoked, timeout_s: float) -> bool:
                self.went.update(revoked.lineages)
                return settle(revoked, timeout_s)

            attach(settling)

        stream.read, stream.attach = reading, attaching  # type: ignore[method-assign]
        return stream

    def drop(self, name: str) -> list[str]:
        return self.source.drop(name)
