"""How far a member is behind, by what the brokers have answered lately: what they do not answer is not known.

librdkafka waits for brokers that are away without end and without a word, so they are asked now and then where our
partitions end, or just who they are while we have none. Never waits for an answer.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import ListOffsetsResultInfo, TopicDescription

from tailrace.dialect.kafka.client import Told
from tailrace.source.kafka.fault import error_of
from tailrace.source.kafka.part import Part, State
from tailrace.source.kafka.sharing import Sharing
from tailrace.source.kafka.watch import Watch

__all__ = ["Lag"]

_LOOK_S = 0.25
_EVERY_S = 2.0
_ASK_S = 5.0
_JOINING_S = 5.0
"""Within that time most members hear of their share, and need no client to ask for it."""
_STALE_S = 10.0
"""An answer that is older says nothing of now. A leader that is restarted is followed by another within that time."""
_SILENT_S = 45.0
"""As long as a group waits for its members, if nothing else was told: then we are out of it anyway."""
Key = tuple[str, int]


class Lag:
    """What a member knows of the ends of its partitions. Used on the reader thread; what it last knew is for any."""

    def __init__(
        self,
        consumer: Consumer,
        parts: Mapping[Key, Part],
        *,
        sharing: Sharing,
        watch: Watch,
        told: Told,
        servers: str,
        isolation: str,
    ) -> None:
        self._consumer = consumer
        self._parts = parts
        self._sharing = sharing
        self._watch = watch
        self._told = told
        self._servers = servers
        self._isolation = isolation
        self._ends: dict[TopicPartition, Future[ListOffsetsResultInfo]] = {}
        self._anything: Future[TopicDescription] | None = None
        self._asked_at = self._ask_at = self._look_at = 0.0
        self._answered_at = self._heard_at = time.monotonic()
        """When a broker that has answered was last asked; when anything was last heard."""
        self.joined = False
        """The group has told us what our share is."""
        self._joining_at = time.monotonic()
        """Since when we wait for that."""
        self._failed_at: float | None = None
        """When the first of the questions failed that all have failed since."""
        self.records: Mapping[Key, int] = {}
        """Records that are not read yet, of each partition of which that is known."""
        self.unheard: str | None = None
        """What the brokers do not tell, in words."""

    def heard(self) -> None:
        """Records have come: a broker is there."""
        self._heard_at = time.monotonic()

    def nbytes(self) -> int | None:
        """See `Measured`: records that are not read yet, as large as those that were."""
        parts, records = self._parts, self.records
        if not parts:
            return 0 if self.joined and _is_fresh(self._answered_at) else None  # we would have heard of one
        if any(part.state is not State.READING or key not in records for key, part in parts.items()):
            return None
        behind = [(part, records[key]) for key, part in parts.items()]
        return sum(lag * (part.nbytes // part.count if part.count else 1) for part, lag in behind)

    def measured_at(self) -> float | None:
        """See `Dated`."""
        return min((part.asked_at for part in self._parts.values()), default=self._answered_at)

    def look(self) -> None:
        """Take what was answered, and ask anew; `Retryable` once all brokers have been silent for too long."""
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_S
        if self._ends and all(future.done() for future in self._ends.values()):
            ends, self._ends = self._ends, {}
            self._answered([self._end(place, future) for place, future in ends.items()])
        if self._anything is not None and self._anything.done():
            anything, self._anything = self._anything, None
            fault = anything.exception()
            self._answered([not isinstance(fault, KafkaException) or error_of(fault).code() > 0])
        if self.joined:
            self._joining_at = now
        elif now - self._joining_at >= _JOINING_S:
            self._look_for_share()
        if not self._ends and self._anything is None and now >= self._ask_at:
            self._ask(now)
        self._measure()

    def _ask(self, now: float) -> None:
        self._asked_at, self._ask_at = now, now + _EVERY_S
        places = [TopicPartition(*key) for key, part in self._parts.items() if part.state is State.READING]
        if places:
            self._ends = self._sharing.topics.ask_ends(places, isolation=self._isolation, timeout_s=_ASK_S)
            return
        self._anything = self._sharing.topics.ask_anything(timeout_s=_ASK_S)

    def _end(self, place: TopicPartition, future: Future[ListOffsetsResultInfo]) -> bool:
        """Note where a partition ends, if its leader has said so; whether any broker has answered."""
        try:
            offset = future.result().offset
        except KafkaException as error:
            return error_of(error).code() > 0  # negative are the client's own
        part = self._parts.get((place.topic, place.partition))
        if part is not None and offset >= 0:
            part.high, part.asked_at = max(part.high, offset), self._asked_at
        return offset >= 0

    def _look_for_share(self) -> None:
        """With KIP-848 a member hears nothing of a share without partitions, and none does of a group that has no
        coordinator: the group knows, or does not answer."""
        share = self._sharing.group.found(every_s=_EVERY_S)
        if share is not None:
            self.joined = self._sharing.has_dealt_out(share, frozenset())

    def _answered(self, answers: Iterable[bool]) -> None:
        """Count how long nothing at all was heard. Only what fails again and again is a silence: time alone would be
        one too when it was us who were paused."""
        now = time.monotonic()
        if any(answers):
            self._failed_at, self._answered_at = None, self._asked_at
            return
        if self._failed_at is None:
            self._failed_at = now
        silent_s = now - max(self._failed_at, self._heard_at, self._watch.answered_at)
        if silent_s >= _SILENT_S:
            raise self._told.fault(f"no broker of {self._servers} has answered for {silent_s:.0f} s")

    def _measure(self) -> None:
        """How far we are behind what the brokers have answered, or the consumer has heard since."""
        records, stale = dict[Key, int](), dict[Key, float]()
        for key, part in self._parts.items():
            if part.state is not State.READING:
                continue
            if not _is_fresh(part.asked_at):
                stale[key] = part.asked_at
                continue
            with contextlib.suppress(KafkaException):  # never heard of: then what was asked is the latest
                _, high = self._consumer.get_watermark_offsets(TopicPartition(*key), cached=True)
                part.high = max(part.high, high)
            records[key] = part.lag()
        self.records = records
        self.unheard = self._missed(stale)

    def _missed(self, stale: Mapping[Key, float]) -> str | None:
        if stale:
            (topic, partition), *others = sorted(stale)
            more = f" and {len(others)} more" if others else ""
            since, what = min(stale.values()), f"where {topic}/{partition}{more} ends"
        elif not self._parts and not _is_fresh(self._answered_at):
            since, what = self._answered_at, "that it is there"
        elif (silent_s := self._sharing.group.silent_s()) > _STALE_S:
            return f"nobody has told for {silent_s:.0f} s who is in the group {self._sharing.group.name}"
        else:
            return None
        return f"no broker of {self._servers} has told for {time.monotonic() - since:.0f} s {what}"


def _is_fresh(at: float) -> bool:
    return time.monotonic() - at <= _STALE_S
