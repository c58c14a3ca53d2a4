"""Sees that a topic was deleted, or deleted and made anew, while it is read. Never waits for an answer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future

from confluent_kafka import KafkaException
from confluent_kafka.admin import TopicDescription

from tailrace.error import Fatal, HistoryLost
from tailrace.source.kafka.fault import error_of
from tailrace.source.kafka.topic import Topics, id_of, is_missing

__all__ = ["Watch"]

_EVERY_S = 5.0
_AGAIN_S = 1.0


class Watch:
    """Asks for the ids of topics now and then; offsets of a topic that was made anew are those of other records."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._asked: dict[str, Future[TopicDescription]] = {}
        self._missed: set[str] = set()
        """Topics that the last answers did not know."""
        self._ask_at = time.monotonic() + _EVERY_S
        self.answered_at = 0.0
        """When a broker has last answered, on the monotonic clock."""

    def look(self, ids: Mapping[str, str]) -> None:
        """Compare the last answers with `ids`, the topics that are read; `HistoryLost` for one that was made anew."""
        if self._asked and all(future.done() for future in self._asked.values()):
            asked, self._asked = self._asked, {}
            for name, future in asked.items():
                self._compare(name, future, ids.get(name))
            if self._missed:
                self._ask_at = min(self._ask_at, time.monotonic() + _AGAIN_S)
        if not self._asked and ids and time.monotonic() >= self._ask_at:
            self._ask_at = time.monotonic() + _EVERY_S
            self._asked = self._topics.ask(sorted(ids))

    def _compare(self, name: str, future: Future[TopicDescription], known: str | None) -> None:
        try:
            now = id_of(future.result())
        except KafkaException as error:
            if error_of(error).code() > 0:  # negative are the client's own
                self.answered_at = time.monotonic()
            if is_missing(error_of(error)):
                if name not in self._missed:  # a broker that has just started does not know of all topics yet
                    self._missed.add(name)
                    return
                raise Fatal(
                    f"the topic {name} was deleted", hint="make it anew and `tailrace reset`, or leave it out of topics"
                ) from None
            return  # brokers that are away: `Lag` tells of them
        self.answered_at = time.monotonic()
        self._missed.discard(name)
        if known is not None and now != known:
            raise HistoryLost(
                f"the topic {name} was deleted and made anew while it was read",
                hint="`tailrace reset` reads it from its beginning; what the old one held beyond our position is gone",
            )
