"""What the suites for sources go by: what streams have brought, and what of it is saved. Never opens a stream."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping, Sequence

from tailrace.contract import Stream
from tailrace.model import Batch, Change, Position
from tailrace.testing.expect import expect

__all__ = ["NAME", "Identity", "KeptPositions", "check_order", "confirm_aside", "identities", "identity"]

NAME = "check_source"
"""What the suite calls its pipeline."""
_ADVICE_S = 30.0
"""A confirmation notes something and returns; that much a machine that stands still may make of it."""
Identity = tuple[str, str, object]
"""What a change must be when it comes again: its position's text, its op, its row."""


class KeptPositions:
    """`contract.Positions` in memory, as text: what a pipeline would find again after a restart."""

    def __init__(self) -> None:
        self._saved: dict[str, str | None] = {}

    def known(self) -> Mapping[str, Position | None]:
        """See `Positions.known`."""
        return {lineage: _read(text) for lineage, text in list(self._saved.items())}

    def claim(self, lineage: str) -> Position | None:
        """See `Positions.claim`."""
        return _read(self._saved.setdefault(lineage, None))

    def save(self, positions: Sequence[Position]) -> None:
        """See `Positions.save`."""
        for position in positions:
            expect(
                bool(position.text) and position.text.isprintable() and position.lineage.isprintable(),
                "a position is printable text: it is kept in files, in tables and in JSON",
            )
            self._saved[position.lineage] = json.dumps([position.lineage, position.text])

    def forget(self) -> None:
        """See `Positions.forget`."""
        self._saved.clear()

    def close(self) -> None:
        """See `Positions.close`."""


def _read(text: str | None) -> Position | None:
    return None if text is None else Position(*json.loads(text))


def confirm_aside(stream: Stream, ends: Sequence[Position]) -> None:
    """Confirm from a thread of its own, and look at how that ended."""
    faults: list[BaseException] = []

    def confirm() -> None:
        try:
            stream.confirm(ends)
        except BaseException as error:  # noqa: BLE001 - told below, whatever it is
            faults.append(error)

    confirming = threading.Thread(target=confirm, daemon=True)
    confirming.start()
    confirming.join(_ADVICE_S)
    expect(not confirming.is_alive(), f"I2 confirm() is cheap: it returns within {_ADVICE_S:.0f} s")
    expect(not faults, f"I2 confirm() is advice, it raises nothing; it raised {faults}")


def check_order(batches: Iterable[Batch]) -> None:
    """I3 and I7: positions grow within a lineage, and a batch ends at or behind its last change."""
    last: dict[str, Position] = {}
    for batch in batches:
        ends = {position.lineage: position for position in batch.positions}
        for change in batch:
            before = last.get(change.position.lineage)
            expect(before is None or before < change.position, "I7 every change has its own position, in stream order")
            end = ends.get(change.position.lineage)
            expect(end is not None and change.position <= end, "I3 a batch ends at or behind its last change")
            last[change.position.lineage] = change.position
        for lineage, end in ends.items():
            expect(lineage not in last or last[lineage] <= end, "I3 a position is cumulative within its lineage")
            last[lineage] = end


def identities(batches: Iterable[Batch]) -> list[Identity]:
    """Of all changes, in their order."""
    return [identity(change) for batch in batches for change in batch]


def identity(change: Change) -> Identity:
    """Of one change."""
    row = change.after
    return change.position.text, change.op, None if row is None else tuple(row.texts().items())
