"""Prints changes as JSON Lines on standard output. Never keeps a position, never mixes logs into the data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from tailrace import output
from tailrace.error import Fatal
from tailrace.format import Format
from tailrace.model import Batch, Finding, Limits, Severity

__all__ = ["Stdout", "StdoutWriter"]

tailrace_contract = 1


@dataclass(frozen=True, slots=True)
class Stdout:
    """JSON Lines on standard output, one a record, as `File` writes them; at least once: a pipe holds no position."""

    format: Format = field(default_factory=Format)

    kind: ClassVar[str] = "stdout"
    transactional: ClassVar[bool] = False
    table_like: ClassVar[bool] = False
    truncate: ClassVar[bool] = True

    @property
    def beat_interval_s(self) -> float:
        """See `Beating.beat_interval_s`."""
        return self.format.heartbeat_interval_s

    def check(self) -> list[Finding]:
        """Whether standard output is open."""
        if not output.is_open():
            return [Finding(Severity.ERROR, "stdout", "standard output is closed")]
        return [Finding(Severity.OK, "stdout", "standard output is open")]

    def open(self, name: str, limits: Limits) -> StdoutWriter:
        """Start to print for pipeline `name`, behind what Python still buffers; `Fatal` when closed."""
        output.require()
        return StdoutWriter(name, self.format)


class StdoutWriter:
    """Writes whole buffers to file descriptor 1, past Python's own buffering. Used by the writer thread only."""

    def __init__(self, name: str, format: Format) -> None:
        self._profile = format.profile(name)

    def write(self, batch: Batch) -> None:
        """Hand the batch to the reader of standard output; `Fatal` when that reader is gone."""
        for encoded in batch.json(self._profile):
            try:
                output.write(memoryview(encoded))
            except BrokenPipeError:
                raise Fatal(
                    "the reader of standard output is gone", hint="what it did not take comes again at the next start"
                ) from None

    def close(self) -> None:
        """Nothing is held; closing twice is harmless (I12)."""
