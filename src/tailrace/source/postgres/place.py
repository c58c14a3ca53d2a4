"""Log sequence numbers and the text of this source's positions. Never does I/O; nobody else reads a position."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

from tailrace.error import Fatal
from tailrace.model import Position

SNAPSHOT, PROGRESS, ROW = 0, 1, 2
_TEXT = re.compile(r"([0-9A-Fa-f]{16})\.([0-2])\.(\d{12})/([0-9A-Fa-f]{8})/([0-9A-Fa-f]{16})")


@dataclass(frozen=True, slots=True)
class Place:
    """A position, read: `lsn`, `phase` and `ordinal` order it; `end` is what the server may forget up to."""

    lsn: int
    phase: int
    ordinal: int
    timeline: int
    end: int

    @classmethod
    def of(cls, position: Position) -> Place:
        """Read a saved position; `Fatal` when this source did not write it."""
        match = _TEXT.fullmatch(position.text)
        if match is None:
            raise Fatal(
                f"the saved position {position.text!r} of {position.lineage} is not one of PostgreSQL's",
                hint="the checkpoint was damaged or written by something else: restore it, or run `tailrace reset`",
            )
        lsn, phase, ordinal, timeline, end = match.groups()
        return cls(int(lsn, 16), int(phase), int(ordinal), int(timeline, 16), int(end, 16))

    @classmethod
    def progress(cls, lsn: int, timeline: int) -> Place:
        """Everything before `lsn` was delivered; at a snapshot's consistent point: the snapshot is complete."""
        return cls(lsn, PROGRESS, 0, timeline, lsn)

    def position(self, lineage: str) -> Position:
        """The same as an opaque position of `lineage`."""
        text = f"{self.lsn:016X}.{self.phase}.{self.ordinal:012}/{self.timeline:08X}/{self.end:016X}"
        return Position(lineage, text)

    @property
    def snapshot_complete(self) -> bool:
        """False while only rows of a snapshot, which cannot be continued, were saved."""
        return self.phase != SNAPSHOT


@dataclass(frozen=True, slots=True)
class Lineage:
    """The one totally ordered stream that a slot is: which server, which database, which slot."""

    system: str
    database: str
    slot: str

    @classmethod
    def parse(cls, text: str) -> Lineage:
        """Read the text of a saved lineage; `Fatal` when this source did not write it."""
        parts = text.split("/")
        if len(parts) != 4 or parts[0] != "postgres":
            raise Fatal(
                f"the saved position is of {text}, which is no slot of PostgreSQL", hint="is this the right pipeline?"
            )
        return cls(parts[1], unquote(parts[2]), parts[3])

    def __str__(self) -> str:
        return f"postgres/{self.system}/{quote(self.database, safe='')}/{self.slot}"


def parse_lsn(text: str) -> int:
    """`16/B374D848` as an integer."""
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


def format_lsn(lsn: int) -> str:
    """An integer as the server writes it."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"
