"""One partition that is ours: how far it is read, and where reading it begins. Never talks to a server."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from tailrace._native import EventReader
from tailrace.error import Fatal, HistoryLost
from tailrace.model import Position
from tailrace.source.kafka.header import Headed

__all__ = ["HOLE", "Part", "Place", "State", "start"]

log = logging.getLogger("tailrace.source.kafka")

HOLE = '`tailrace reset` begins anew; out_of_range = "earliest" goes on with what is there, over the hole'
"""What to do about records that are gone."""

_TEXT = re.compile(r"[0-9]{20}")
_LOOK_BACK = 100
Record = tuple[bytes | None, bytes | None, int, int]


class State(Enum):
    """How far a partition is on its way to us."""

    NEW = 1
    """The group gave it to us; the pipeline does not know yet."""
    OFFERED = 2
    """The pipeline was told, and is to claim it."""
    SEEKING = 3
    """It is claimed, and reading is to begin."""
    READING = 4
    OVERTAKEN = 5
    """What was to be read next is gone, and reading is to go on beyond it."""


@dataclass(frozen=True, slots=True)
class Place:
    """What decides where reading begins."""

    kept: Literal["group", "sink"]
    first: Literal["earliest", "latest"]
    out_of_range: Literal["stop", "earliest", "latest"]
    until_current: bool

    def beyond(self, low: int, high: int) -> int:
        """Where to go on when what came next is gone; the log is from `low` to `high`."""
        return low if self.out_of_range == "earliest" else high


@dataclass(eq=False, slots=True)
class Part:
    """One partition that is ours."""

    topic: str
    partition: int
    lineage: str
    state: State = State.NEW
    young: bool = False
    """It was made while others of its topic were read: `latest` leaves nothing of it out."""
    reader: EventReader | None = None
    next: int = 0
    """Offset of the next record to be read."""
    look: int = 0
    """Where the records begin that are looked at before `next`: see `reading.learn`."""
    told: int = 0
    """Offset at which the pipeline would go on after what it was told: what lies between is no record that it gets."""
    until: int | None = None
    """Where a bounded stream ends in it."""
    ended: bool = False
    high: int = 0
    """Offset behind the last record, as far as was heard."""
    asked_at: float = 0.0
    """When its leader was asked for `high`, which has answered; on the monotonic clock."""
    nbytes: int = 0
    count: int = 0
    is_alone: Callable[[], bool] | None = None
    """Asks whether it is the only partition of its topic now, where that decides whether a TRUNCATE is taken."""
    headed: dict[int, Headed] = field(default_factory=dict)
    """Of what is being read: what headers say, by offset."""

    def begin(self, at: int, *, low: int, high: int, bounded: bool) -> None:
        """Reading begins at `at`; the log is from `low` to `high`, where it ends if it is `bounded`."""
        self.next, self.high = at, high
        self.look = max(low, at - _LOOK_BACK)
        self.until = high if bounded else None
        self.ended = bounded and at >= high

    def looks_back(self) -> bool:
        """Only records that are looked at were sought so far: that those are gone is no loss."""
        return self.look < self.next and not self.count

    def saw(self, records: Sequence[Record]) -> None:
        """These are being read, and none of them again."""
        self.count += len(records)
        self.nbytes += sum(len(key or b"") + len(value or b"") for key, value, _, _ in records)
        self.reached(records[-1][3] + 1)
        self.told = max(self.told, records[-1][3] + 1)

    def reached(self, offset: int) -> None:
        """No record before `offset` is left to be read: where the log ends, marks of transactions lie before it."""
        self.next = max(self.next, offset)
        self.ended |= self.until is not None and self.next >= self.until

    def progress(self) -> Position:
        """All before `next` is read, or is nothing that is read; from now on the pipeline knows."""
        self.told = self.next
        return Position(self.lineage, f"{self.next - 1:020d}")

    def lag(self) -> int:
        """Records that the broker has and we have not read."""
        return max(0, self.high - self.next)


def start(part: Part, place: Place, *, saved: Position | None, committed: int | None, low: int, high: int) -> int:
    """The offset to begin at. `HistoryLost` when it is not, or no longer, in the log: `low` to `high` is; `Fatal` when
    what is saved is no offset."""
    after = None if saved is None else _behind(saved)
    in_sink = place.kept == "sink" and after is not None
    wanted = after if in_sink else max((at for at in (after, committed) if at is not None), default=None)
    if wanted is None and (place.first == "earliest" or part.young):
        part.told = low
        return low
    if not in_sink and after is not None and committed is not None and committed < after:
        log.info(
            "topic %s, partition %d: offset %d comes next by what was saved here, and %d by the group: going on at %d;"
            " to read again, `tailrace reset`, and set the group's offset then",
            *(part.topic, part.partition, after, committed, after),
        )
    part.told = wanted or 0
    if wanted is None:
        return high
    if low <= wanted <= high:
        return wanted
    torn = after is not None and after > high  # as by an election of a replica that lacked the end: other records come
    if place.out_of_range == "stop" or torn:
        lost = f"begins at {low}" if wanted < low else f"ends at {high}"
        raise HistoryLost(
            f"topic {part.topic}, partition {part.partition}: offset {wanted} comes next, and the log {lost}",
            hint="`tailrace reset` begins anew" if torn else HOLE,
        )
    at = low if place.out_of_range == "earliest" else high
    log.warning(
        "topic %s, partition %d: offset %d comes next and is not there: going on at %d, as out_of_range says",
        *(part.topic, part.partition, wanted, at),
    )
    return at


def _behind(saved: Position) -> int:
    if _TEXT.fullmatch(saved.text) is None:
        raise Fatal(
            f"the saved position {saved.text!r} of {saved.lineage} is not one of Kafka's",
            hint="the checkpoint was damaged or written by something else: restore it, or run `tailrace reset`",
        )
    return int(saved.text) + 1
