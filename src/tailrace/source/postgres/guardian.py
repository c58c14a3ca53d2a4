"""Watches how much log the slot keeps on the server, whether the pipeline reads or is stuck, and acts at a limit.

The answers come from `Measure`, which never waits. Never looks at a change, and never decides where a stream begins.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tailrace.dialect.postgres.session import Connection
from tailrace.error import Fatal, HistoryLost, TailraceError
from tailrace.source.postgres import gap
from tailrace.source.postgres import slot as slots
from tailrace.source.postgres.fault import RESET_HINT
from tailrace.source.postgres.gap import Gap
from tailrace.source.postgres.measure import Extent, Measure
from tailrace.source.postgres.place import format_lsn

_log = logging.getLogger("tailrace.source.postgres")
_REPEAT_S = 300.0
_CATCH_UP = 1.25
AtRetainedMax = Literal["warn", "stop", "drop"]


@dataclass(frozen=True, slots=True)
class Allowance:
    """Bytes of log that the slot may keep: from `alarm` on it is told, at `most` something is done."""

    alarm: int | None
    most: int | None
    action: AtRetainedMax
    gaps: Path | None


class Guardian:
    """Holds one slot to its allowance. Used on the reader thread only."""

    def __init__(self, measure: Measure, allowance: Allowance, *, lineage: str, slot: str, side: Connection) -> None:
        self._measure = measure
        self._allowance = allowance
        self._lineage = lineage
        self._slot = slot
        self._side = side
        self._most: int | None = None
        self._seen: Extent | None = None
        self._told_at = 0.0
        self._alarmed = False

    def exceeded(self) -> bool:
        """Whether the stream must end now; says on the way what deserves a human's attention."""
        self._measure.beat()
        extent = self._measure.last
        if extent is None or extent is self._seen or extent.retained is None:
            return False
        self._seen = extent
        if self._most is None and self._allowance.most is not None:
            # Whoever starts with too much gets a chance to catch up, and no more room than that.
            beyond = extent.retained > self._allowance.most
            self._most = int(extent.retained * _CATCH_UP) if beyond else self._allowance.most
        over = self._most is not None and extent.retained > self._most
        if over and self._allowance.action != "warn":
            return True
        self._tell(extent.retained)
        return False

    def end(self) -> TailraceError:
        """Act at the limit, once the stream let go of the slot. Returns what ends the stream."""
        extent = self._measure.last or Extent(0, None, 0.0)
        kept = f"replication slot {self._slot!r} keeps {_size(extent.retained or 0)} of log on the server"
        limit = f"more than retained_bytes_max = {_size(self._allowance.most or 0)}"
        if self._allowance.action == "stop" or self._allowance.gaps is None:
            error: TailraceError = Fatal(
                f"{kept}, {limit}: stopped, and the slot stays",
                hint="mend the sink and start again, which gives it a quarter more to catch up; or `tailrace drop`",
            )
        else:
            self._measure.settle()
            there = slots.load(self._side, self._slot)
            begin = format_lsn(there.confirmed or 0) if there is not None else "0/0"
            end = format_lsn(extent.wal_end)
            gap.record(
                self._allowance.gaps,
                Gap(
                    lineage=self._lineage,
                    confirmed=begin,
                    wal_end=end,
                    retained_bytes=extent.retained or 0,
                    retained_bytes_max=self._allowance.most or 0,
                    dropped_at=gap.now(),
                ),
            )
            slots.drop(self._side, self._slot)
            error = HistoryLost(
                f"{kept}, {limit}: it was dropped, and what was not delivered between {begin} and {end} is lost,"
                f" as {self._allowance.gaps} records",
                hint=RESET_HINT,
            )
        _log.error("%s", error.args[0])  # the pipeline may learn it late: its sink is stuck
        return error

    def _tell(self, retained: int) -> None:
        levels = [level for level in (self._allowance.alarm, self._allowance.most) if level is not None]
        passed = max((level for level in levels if retained > level), default=None)
        now = time.monotonic()
        if passed is None:
            if self._alarmed:
                _log.info("replication slot %s keeps only %s of log again", self._slot, _size(retained))
            self._alarmed, self._told_at = False, 0.0
        elif not self._alarmed or now - self._told_at > _REPEAT_S:
            _log.log(
                logging.ERROR if passed == self._allowance.most else logging.WARNING,
                "replication slot %s keeps %s of log on the server, more than %s: the sink does not keep up",
                self._slot,
                _size(retained),
                _size(passed),
            )
            self._alarmed, self._told_at = True, now


def _size(nbytes: int) -> str:
    return f"{nbytes / 2**20:,.0f} MiB"
