"""The offsets of a group: advice of how far its members are, to whoever reads next. Never decides where to begin."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from tailrace.error import TailraceError
from tailrace.model import Position
from tailrace.source.kafka.fault import MOVING, error_of, explain
from tailrace.source.kafka.part import Part, State

__all__ = ["Offsets"]

_ASK_S = 15.0
_LEAVE_S, _LEAVE_MAX_S = 5.0, 20.0
_CLAIMED = frozenset((State.SEEKING, State.READING))
"""Before that, what was confirmed is of an earlier time that it was ours."""
Key = tuple[str, int]

log = logging.getLogger("tailrace.source.kafka")


class Offsets:
    """What was confirmed of partitions that are ours and what the group has taken of it; `confirm` from any thread."""

    def __init__(self, consumer: Consumer, parts: Mapping[Key, Part]) -> None:
        self._consumer = consumer
        self._parts = parts
        self._confirmed: dict[str, int] = {}
        self._lock = threading.Lock()
        self._refused = False
        """It was told that the group does not take offsets."""

    def confirm(self, positions: Sequence[Position]) -> None:
        """These are durable: to be committed."""
        with self._lock:
            self._confirmed.update((position.lineage, int(position.text) + 1) for position in positions)

    def begin(self, part: Part) -> None:
        """It was never read, and reading it begins at its end: to be committed, or the next start would begin at
        another, behind what has come in between."""
        with self._lock:
            self._confirmed[part.lineage] = part.next

    def forget(self, part: Part) -> None:
        """Commit nothing more of what was confirmed of it."""
        with self._lock:
            self._confirmed.pop(part.lineage, None)

    def note(self, error: KafkaError | None, places: list[TopicPartition]) -> None:
        """The client's callback for a commit: what the group did not take is committed again. While members come and
        go that is as usual; anything else is told once, until the group takes offsets again."""
        for place in places:
            part = self._parts.get((place.topic, place.partition))
            refused = error or place.error
            if refused is None:
                self._refused = False
                if part is not None:
                    with self._lock:
                        if self._confirmed.get(part.lineage) == place.offset:
                            del self._confirmed[part.lineage]
            elif refused.code() not in MOVING and not self._refused:
                self._refused = True
                where = (
                    f"topic {place.topic}, partition {place.partition}: the group did not take offset {place.offset}"
                )
                told = explain(refused, where)
                again = "it is sent again; until it is taken, a restart reads the same records again"
                log.warning("%s; %s%s", told.args[0], again, f"; {told.hint}" if told.hint else "")

    def commit(self, parts: Sequence[Part], *, wait: bool) -> None:
        """Commit what was confirmed of `parts` that are claimed: advice (I2), so that a group that has moved on is no
        fault."""
        with self._lock:
            found = [(part, self._confirmed.get(part.lineage)) for part in parts if part.state in _CLAIMED]
        offsets = [TopicPartition(part.topic, part.partition, at) for part, at in found if at is not None]
        if not offsets:
            return
        try:
            if wait:
                self.note(None, self._consumer.commit(offsets=offsets, asynchronous=False))
            else:
                self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            self.note(error_of(error), offsets)

    def committed(self, places: list[TopicPartition]) -> dict[Key, int]:
        """What the group knows of these partitions; `TailraceError` when one cannot be had."""
        found = self._consumer.committed(places, timeout=_ASK_S)
        for place in found:
            if place.error is not None:  # not to be taken for a partition that was never read
                raise explain(place.error, f"the offset of topic {place.topic}, partition {place.partition}")
        return {(place.topic, place.partition): place.offset for place in found if place.offset >= 0}

    def commit_last(self, poll: Callable[[], object]) -> None:
        """Commit what is left: while members come and go the group takes nothing, and goes on as its members poll.

        The answer waits behind that to our joining, for as long as others take to join, and is of a generation that is
        over then: that time does not count, but for all of `_LEAVE_MAX_S`.
        """
        self.commit(list(self._parts.values()), wait=True)
        answered = time.monotonic()
        end, left_s = answered + _LEAVE_MAX_S, _LEAVE_S
        while self._owes() and not self._refused and left_s > 0 and answered < end:
            try:
                poll()
            except TailraceError:  # of reading, which is over
                return
            left_s -= time.monotonic() - answered
            self.commit(list(self._parts.values()), wait=True)
            answered = time.monotonic()

    def _owes(self) -> bool:
        """The group has not taken all that was confirmed."""
        with self._lock:
            return any(part.lineage in self._confirmed for part in self._parts.values() if part.state in _CLAIMED)
