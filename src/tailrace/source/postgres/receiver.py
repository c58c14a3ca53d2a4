"""Follows the log: drains the walsender, feeds the decoder, answers pings. Never knows where its stream should begin.

In a flood (more than 6 MB/s) it reads lazily: it lets the socket fill for some milliseconds, so that the walsender runs
without wake-ups. Below that it reacts at once. A status goes out at least each third of wal_sender_timeout,
whether the pipeline reads (`read`) or is stuck (`tend`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from tailrace._native import Chunk, PgOutput, Relation
from tailrace.dialect.postgres.witness import silence_s
from tailrace.error import Fatal, Retryable, TailraceError
from tailrace.model import Batch, Limits, Table
from tailrace.source.postgres.measure import Measure
from tailrace.source.postgres.place import Lineage, Place
from tailrace.source.postgres.walsender import Walsender

_log = logging.getLogger("tailrace.source.postgres")
_DRAIN_BYTES = 4 << 20
_FLOOD_BYTES = 128 << 10
_PAUSE_S = 0.020
_STATUS_S_MAX = 10.0
_CONFIRM_S = 1.0
_PING_S = 10.0
_HURRY_S = 0.05
_REPLY_S = 0.05
_ASK_S = 0.02
_AWAITED_S = 2.0
_STALE_S = 10.0
_FAREWELL_S = 1.0
_DESCRIBE_S = 1.0


@dataclass(frozen=True, slots=True)
class Course:
    """Which stream this is, from where to follow it, and to where, if it is bounded.

    `part` is a transaction and the LSN of its last row that a former reader of the slot had delivered. Without
    `streaming` no transaction comes before it has ended.
    """

    lineage: Lineage
    timeline: int
    begin: Place
    until: int | None
    part: tuple[int, int] | None = None
    streaming: bool = True


class Receiver:
    """The streaming half of a source. Used on the reader thread, save `confirm`, which may be called from any."""

    def __init__(
        self,
        walsender: Walsender,
        course: Course,
        *,
        describe: Callable[[Relation], tuple[Table, bool] | None],
        measure: Measure,
        limits: Limits,
        sender_timeout_s: float,
    ) -> None:
        self._walsender = walsender
        self._course = course
        self._describe = describe
        self._measure = measure
        self._extent_at: float | None = None
        self._wal_end_seen = self._received_seen = course.begin.end
        self._limits = limits
        self._status_s = min(sender_timeout_s / 3, _STATUS_S_MAX)
        # As long as the server waits for us we wait for it: it answers whatever it decodes.
        self._silence_s = silence_s(sender_timeout_s)
        # A server that hears of us often enough says nothing by itself: it must be asked well within that time.
        self._ping_s = min(_PING_S, limits.progress_interval_s, self._silence_s / 3)
        self._decoder = PgOutput(
            str(course.lineage),
            database=course.lineage.database,
            timeline=course.timeline,
            start_after=course.begin.position(str(course.lineage)).text,
            streaming=course.streaming,
            segment_bytes=limits.segment_bytes,
            transaction_bytes_max=limits.transaction_bytes_max,
            spill_bytes_max=limits.spill_bytes_max,
            spill_dir=limits.spill_dir,
        )
        if course.part is not None:
            self._decoder.hand_over(*course.part)
        now = time.monotonic()
        self._confirmed = self._confirmed_sent = self._delivered = course.begin.end
        self._status_at = self._heard_at = self._flowed_at = self._asked_at = now
        self._not_before = self._counted_since = 0.0
        self._counted = 0
        self._flooded = False
        self._owed = False
        self._awaited_until = 0.0
        self._undescribed: Relation | None = None
        """What waits for the catalog, and all behind it."""

    @property
    def finished(self) -> bool:
        """The stream is bounded, and everything before its bound was delivered."""
        return self._course.until is not None and self._delivered >= self._course.until

    def read(self, timeout_s: float) -> Batch | None:
        """Everything that has committed, up to about `batch_bytes_max`; None after `timeout_s` without anything."""
        deadline = time.monotonic() + timeout_s
        while True:
            chunk = self._receive()
            now = time.monotonic()
            self._beat(now)
            if not len(chunk):
                batch = self._take(now) or self._progress(now)
                if batch is not None or now >= deadline:
                    return batch
                if self._undescribed is None:
                    self._walsender.wait(min(deadline - now, self._next_beat(now)))
            elif now >= deadline or self._decoder.ready_nbytes >= self._enough():
                return self._take(now) or self._progress(now)

    def tend(self) -> None:
        """Keep the server content without reading."""
        now = time.monotonic()
        self._heard_at = now  # what we do not read cannot be held against the server
        self._beat(now)

    def confirm(self, lsn: int) -> None:
        """Everything before `lsn` is durable; the server learns it with a status soon."""
        self._confirmed = max(self._confirmed, lsn)

    def lag_bytes(self) -> int | None:
        """Bytes of log that the server had when last asked and that have not been read; from any thread.

        None before the first answer, and when the last one is too old to be told.
        """
        if self._extent_at is None or time.monotonic() - self._extent_at > _STALE_S:
            return None
        return max(self._wal_end_seen - self._received_seen, 0)

    @property
    def measured_at(self) -> float | None:
        """When the server was last asked how much log it has; from any thread."""
        return self._extent_at

    def close(self) -> None:
        """Send a last status and end the stream; closing twice is harmless (I12)."""
        if self._confirmed > self._confirmed_sent:
            self._send(time.monotonic(), reply=False)
        self._walsender.close()
        try:
            self._measure.settle(_FAREWELL_S)
        except TailraceError as error:
            _log.debug("closing the stream: %s", error.args[0])

    def _receive(self) -> Chunk:
        """Everything that waits, decoded; empty when the socket is. In a flood the socket is left alone for a while."""
        pause = self._not_before - time.monotonic()
        if pause > 0:
            time.sleep(pause)  # each read wakes the walsender, and the catalog tells nobody when it shows more
        if self._undescribed is not None:
            self._heard_at = time.monotonic()  # what we do not read cannot be held against the server
            self._decode(None)
            return Chunk.of(())
        chunk = self._walsender.drain(_DRAIN_BYTES)
        if len(chunk):
            self._heard_at = time.monotonic()
            self._flooded = self._floods(chunk.nbytes, self._heard_at)
            self._decode(chunk)
        return chunk

    def _floods(self, nbytes: int, now: float) -> bool:
        """Whether so much comes that it should collect: each read wakes the walsender, which costs as much as a row."""
        if now - self._counted_since > _PAUSE_S:
            self._counted, self._counted_since = 0, now
        self._counted += nbytes
        if self._counted < _FLOOD_BYTES:
            return False
        self._counted, self._counted_since = 0, now
        if nbytes < _DRAIN_BYTES:
            self._not_before = now + _PAUSE_S
        return True

    def _enough(self) -> int:
        """In a flood a segment's worth is collected; otherwise everything goes on at once."""
        return min(self._limits.segment_bytes, self._limits.batch_bytes_max) if self._flooded else 1

    def _decode(self, chunk: Chunk | None) -> None:
        """A chunk, or what is left of the one before. What the catalog does not show yet is asked for again soon."""
        began = time.monotonic()
        try:
            relation = self._undescribed or self._decoder.feed(chunk)
            self._undescribed = None
            while relation is not None:
                described = self._describe(relation)
                if described is None:
                    self._undescribed, self._not_before = relation, time.monotonic() + _ASK_S
                    return
                table, settled = described
                self._decoder.describe(relation.oid, table, settled=settled)
                relation = self._decoder.feed(None)
                if relation is not None and time.monotonic() - began > _DESCRIBE_S:
                    self._undescribed = relation  # the server wants to hear from us between so many tables
                    return
        except ValueError as error:
            theirs = "is takeover of this slot? Without its xid and row_lsn all of the transaction comes again"
            raise Fatal(
                f"the stream of slot {self._course.lineage.slot!r} holds something that is not understood: {error}",
                hint=theirs if self._course.part else "nothing was skipped; please report it with the server's version",
            ) from error
        except OSError as error:
            raise Fatal(
                f"a large transaction could not be spilled to {self._limits.spill_dir}: {error}",
                hint="make room there, choose another spill_dir, or raise spill_bytes_max",
            ) from error

    def _take(self, now: float) -> Batch | None:
        batch = self._decoder.take()
        if batch is not None:
            self._delivered = max(self._delivered, Place.of(batch.positions[-1]).end)
            self._flowed_at = now
        return batch

    def _progress(self, now: float) -> Batch | None:
        """An empty batch when the log grew without anything for us: the slot must move all the same."""
        idle, until = self._decoder.idle_lsn, self._course.until
        if idle is None or idle <= self._delivered:
            return None
        bounded = until is not None and self._delivered < until <= idle
        # A server that asks may be shutting down: it waits until all that it has sent is confirmed.
        due = now - self._flowed_at >= self._limits.progress_interval_s
        if not (bounded or due or now < self._awaited_until):
            return None
        self._delivered, self._flowed_at = idle, now
        return Batch.progress(Place.progress(idle, self._course.timeline).position(str(self._course.lineage)))

    def _beat(self, now: float) -> None:
        if now - self._heard_at > self._silence_s or self._measure.overdue(self._silence_s):
            raise Retryable(
                f"nothing was heard from the server of slot {self._course.lineage.slot!r} for {self._silence_s:.0f} s"
            )
        bounded = self._course.until is not None
        # Without an answer nobody knows how far an idle log has grown, nor whether the server lives.
        quiet = now - max(self._flowed_at, self._asked_at) > self._ping_s
        ask = quiet or (bounded and now - self._asked_at > _HURRY_S)
        if self._decoder.reply_requested:
            self._owed, self._awaited_until = True, now + _AWAITED_S
        since = now - self._status_at
        news = self._confirmed > self._confirmed_sent and since > (
            _REPLY_S if now < self._awaited_until else _CONFIRM_S
        )
        # A server that shuts down asks again with every answer, so answers have a pace.
        if ask or news or since > self._status_s or (self._owed and since > _REPLY_S):
            self._send(now, reply=ask)
        # Fails when the server shuts down: then a stuck sink must not hold up the server.
        self._measure.beat()
        if (extent := self._measure.last) is not None:
            self._wal_end_seen, self._extent_at = extent.wal_end, extent.at
        # Other threads must not ask a decoder that may be at work; it knows nothing of what it need not be sent.
        self._received_seen = max(self._received_seen, self._decoder.received_lsn)

    def _send(self, now: float, *, reply: bool) -> None:
        confirmed, received = self._confirmed, self._decoder.received_lsn
        self._walsender.send_status(received=received, confirmed=confirmed, reply=reply)
        self._confirmed_sent, self._status_at, self._owed = confirmed, now, False
        if reply:
            self._asked_at = now

    def _next_beat(self, now: float) -> float:
        if self._owed or now < self._awaited_until or self._measure.waits:
            return _REPLY_S
        due = min(_CONFIRM_S, self._status_s) if self._confirmed > self._confirmed_sent else self._status_s
        most = _HURRY_S if self._course.until is not None else self._ping_s
        return min(max(self._status_at + due - now, 0.001), most)
