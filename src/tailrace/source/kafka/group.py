"""What a consumer group says of its members. Lets no question grow old; only `wait` waits for an answer.

librdkafka ends the whole process when a coordinator comes back to a question that has timed out meanwhile
(https://github.com/confluentinc/librdkafka/issues/4605). So none is given a time: it goes with its client.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConsumerGroupDescription

from tailrace.error import Retryable
from tailrace.source.kafka.fault import READING, error_of, explain

__all__ = ["Group"]

_PATIENCE_S = 15.0
_AGAIN_S = 0.2
_LASTS = "a broker that has just started needs a moment; where it lasts, see its log, and the topic __consumer_offsets"
_LONGEST_S = 3600.0
"""The longest time that the client can be told, which must never be over: `_PATIENCE_S` is first."""
_SILENT_S = 60.0
"""A coordinator that is gone is followed by another within that time, if there can be one."""


class Group:
    """Asks one question at a time, with a client for nothing else; with `rights`, also what we may do with the group.
    Used on one thread."""

    def __init__(self, name: str, make: Callable[[], AdminClient], *, rights: bool = False) -> None:
        self.name = name
        """Its id."""
        self._make = make
        self._rights = rights
        self._client: AdminClient | None = None
        self._asked: Future[ConsumerGroupDescription] | None = None
        self._asked_at = -_LONGEST_S
        self._failed_at: float | None = None
        """When the first question got no answer of those that have got none since the last one that did."""

    def found(self, *, every_s: float) -> ConsumerGroupDescription | None:
        """What has been answered since the last call, if anything; asks again so often.

        `Retryable` once nobody has answered for too long: a coordinator that is away says so, or nothing at all.
        """
        if self._asked is None:
            if time.monotonic() - self._asked_at >= every_s:
                self._ask()
            return None
        if not self._asked.done():
            return None
        asked, self._asked = self._asked, None
        try:
            found = asked.result()
        except KafkaException as error:
            self._refused(error_of(error))
            return None
        self._failed_at = None
        return found

    def silent_s(self) -> float:
        """For how long nobody has answered what was asked."""
        return 0.0 if self._failed_at is None else time.monotonic() - self._failed_at

    def wait(self, timeout_s: float, *, hints: Mapping[int, str] = READING) -> ConsumerGroupDescription | None:
        """What is answered, None when there is no such group; asks again while the answer is an error that passes, for
        `timeout_s`. `hints` are `explain`'s."""
        until = time.monotonic() + timeout_s
        while True:
            try:
                return self._ask().result(max(until - time.monotonic(), 0.0))
            except TimeoutError:
                raise Retryable(f"no broker has said within {timeout_s:g} s who is in it", hint=_LASTS) from None
            except KafkaException as error:
                if error_of(error).code() == KafkaError.GROUP_ID_NOT_FOUND:
                    return None
                fault = explain(error_of(error), "asking who is in it", hints=hints)
                if not isinstance(fault, Retryable):
                    raise fault from error
                if time.monotonic() >= until:
                    raise Retryable(f"{fault.args[0]}, for {timeout_s:g} s", hint=_LASTS) from error
            time.sleep(_AGAIN_S)  # a coordinator tells nobody that it has come, or has loaded what it knew

    def tend(self) -> None:
        """Let go of a question that nobody answers, and of a client that is asked nothing more. To be called often."""
        now = time.monotonic()
        if now - self._asked_at < _PATIENCE_S:
            return
        unanswered = self._asked is not None and not self._asked.done()
        self.close()
        if unanswered:
            self._asked_at = now  # it is about to be asked again
            self._missed("")
        else:
            self._failed_at = None

    def close(self) -> None:
        """Ask no more; closing twice is harmless (I12)."""
        self._client = self._asked = None

    def _ask(self) -> Future[ConsumerGroupDescription]:
        self._asked_at = time.monotonic()
        if self._client is None:
            self._client = self._make()
        asked: dict[str, Future[ConsumerGroupDescription]] = self._client.describe_consumer_groups(
            [self.name], include_authorized_operations=self._rights, request_timeout=_LONGEST_S
        )
        self._asked = asked[self.name]
        return self._asked

    def _refused(self, error: KafkaError) -> None:
        if error.code() == KafkaError.GROUP_ID_NOT_FOUND:  # its coordinator says so: nobody has joined yet
            self._failed_at = None
            return
        fault = explain(error, f"asking who is in the group {self.name}")
        if not isinstance(fault, Retryable):
            raise fault
        self._missed(f": {error.str()}")

    def _missed(self, reason: str) -> None:
        """Only what is missed again and again is a silence: time alone would be one too when it was us who were
        paused."""
        if self._failed_at is None:
            self._failed_at = time.monotonic()
        if (silent_s := self.silent_s()) >= _SILENT_S:
            raise Retryable(
                f"nobody has told for {silent_s:.0f} s who is in the group {self.name}{reason}",
                hint="see whether it has a coordinator: kafka-consumer-groups --describe --state"
                f" --group {self.name}, and whether each partition of __consumer_offsets has a leader",
            )
