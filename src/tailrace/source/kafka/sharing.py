"""How many partitions the members of a group have between them. Asked only at the end of a bounded stream."""

from __future__ import annotations

import time

from confluent_kafka.admin import AdminClient

from tailrace.error import Retryable
from tailrace.source.kafka.fault import explained
from tailrace.source.kafka.topic import Topics

__all__ = ["Sharing"]

_ASK_S = 15.0
_ROUND_S = 20.0
_LOOK_S = 0.2


class Sharing:
    """Whether a group has dealt out all its partitions. Used on the reader thread."""

    def __init__(self, admin: AdminClient, group: str, topics: Topics, *, settle_s: float) -> None:
        self._admin = admin
        self._group = group
        self.topics = topics
        """Of its cluster."""
        self._patience_s = settle_s + _ROUND_S
        """What others may take to let go, and the group to deal out what they let go of."""
        self._look_at = 0.0
        self._ours: int | None = None
        self._until = 0.0

    @property
    def existing(self) -> int:
        """Partitions of all topics that are wanted."""
        return sum(count for name, count in self.topics.existing.items() if self.topics.wants(name))

    def complete(self, ours: int) -> bool:
        """Whether nothing more comes to a member that has `ours` partitions: each has an owner, or nobody gets it.

        A member that joins others is given none at first, and its own once they have let go of them (KIP-429).
        """
        now = time.monotonic()
        if ours >= self.existing:
            return True
        if ours != self._ours:
            self._ours, self._until = ours, now + self._patience_s
        if now < self._look_at:
            return False
        self._look_at = now + _LOOK_S
        return now >= self._until or self._owned() >= self.existing

    def _owned(self) -> int:
        """Partitions that some member has; none while nobody can say, as in a group whose coordinator moves."""
        try:
            with explained(f"asking who is in the group {self._group}"):
                asked = self._admin.describe_consumer_groups([self._group], request_timeout=_ASK_S)
                members = asked[self._group].result().members
        except Retryable:
            return 0
        owned = {
            (place.topic, place.partition)
            for member in members
            for place in (member.assignment.topic_partitions if member.assignment else ())
            if self.topics.wants(place.topic)
        }
        return len(owned)
