"""What a consumer group says of its members. Never waits for an answer, and lets no question grow old.

librdkafka ends the whole process when a coordinator comes back to a question that has timed out meanwhile
(https://github.com/confluentinc/librdkafka/issues/4605). So none is given a time: it goes with its client.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future

from confluent_kafka.admin import AdminClient, ConsumerGroupDescription

__all__ = ["Group"]

_PATIENCE_S = 15.0
_LONGEST_S = 3600.0
"""The longest time that the client can be told, which must never be over: `_PATIENCE_S` is first."""


class Group:
    """Asks one question at a time, with a client for nothing else. Used on the reader thread."""

    def __init__(self, name: str, make: Callable[[], AdminClient]) -> None:
        self.name = name
        """Its id."""
        self._make = make
        self._client: AdminClient | None = None
        self._asked: Future[ConsumerGroupDescription] | None = None
        self._asked_at = -_LONGEST_S

    def answer(self, *, every_s: float) -> Future[ConsumerGroupDescription] | None:
        """What has been answered since the last call, if anything; asks again so often."""
        if self._asked is None:
            if time.monotonic() - self._asked_at >= every_s:
                self._ask()
            return None
        if not self._asked.done():
            return None
        asked, self._asked = self._asked, None
        return asked

    def tend(self) -> None:
        """Let go of a question that nobody answers, and of a client that is asked nothing more. To be called often."""
        if self._client is not None and time.monotonic() - self._asked_at >= _PATIENCE_S:
            self.close()

    def close(self) -> None:
        """Ask no more; closing twice is harmless (I12)."""
        self._client = self._asked = None

    def _ask(self) -> None:
        self._asked_at = time.monotonic()
        if self._client is None:
            self._client = self._make()
        asked: dict[str, Future[ConsumerGroupDescription]] = self._client.describe_consumer_groups(
            [self.name], request_timeout=_LONGEST_S
        )
        self._asked = asked[self.name]
