"""A member that always holds as much as it may, in a process of its own: `tests.server.kafka.holding ADDRESS TOPIC`.

Its sink takes a batch only once the shelf behind it is full, or nothing is left to be read. At the end it prints how
many changes have come, and the highest resident memory that it ever had, in bytes.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import ClassVar

from benchmarks.meter import peak_mb
from tailrace.checkpoint import Memory
from tailrace.contract import Writer
from tailrace.model import Batch, Finding, Limits
from tailrace.pipeline import Pipeline
from tailrace.source.kafka import Kafka
from tests.waiting import until

LIMITS = Limits()


@dataclass
class Slow:
    """The sink, and its writer."""

    kind: ClassVar[str] = "slow"
    transactional: ClassVar[bool] = False
    table_like: ClassVar[bool] = False
    truncate: ClassVar[bool] = True
    pipelines: list[Pipeline] = field(default_factory=list)

    def check(self) -> list[Finding]:
        return []

    def open(self, name: str, limits: Limits) -> Writer:
        return self

    def write(self, batch: Batch) -> None:
        """Wait until nothing more is read."""
        until(self._is_full, "for a full shelf")

    def close(self) -> None:
        """Nothing is open."""

    def _is_full(self) -> bool:
        status = self.pipelines[0].status()
        return status.shelf_nbytes >= LIMITS.shelf_bytes_max or status.lag_bytes == 0


def main(address: str, topic: str) -> None:
    """Read all that is there."""
    sink, source = Slow(), Kafka(f"kafka://{address}/{topic}?group={topic}")
    pipeline = Pipeline(source, sink, name="p", checkpoint=Memory(), state_dir=None, limits=LIMITS)
    sink.pipelines.append(pipeline)
    pipeline.run(until_current=True)
    print(pipeline.status().changes, int(peak_mb() * (1 << 20)))


if __name__ == "__main__":
    main(*sys.argv[1:])
