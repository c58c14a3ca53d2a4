"""Gives records to librdkafka and knows when all of them are acknowledged. Never keeps a position.

Accounts cost nothing a record: the client counts what it holds, and calls back only for what failed. Its queue is
bounded, so a slow broker makes `send` wait. No message ever times out by itself: a later one of its key would overtake
it; when nothing is acknowledged for too long, all that is left is dropped together, and comes again.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message

from tailrace.dialect.kafka import client
from tailrace.dialect.kafka.client import Told
from tailrace.dialect.kafka.fault import error_of, explain, is_fenced, is_outdated, is_refusal
from tailrace.error import Fatal, Reject, Retryable, TailraceError
from tailrace.model import Batch
from tailrace.sink.kafka.claim import ClaimCheck
from tailrace.sink.kafka.patience import Patience
from tailrace.sink.kafka.topic import Topics
from tailrace.sink.kafka.wire import Record, Records, Wire

__all__ = ["Refit", "Sender"]

_PAUSE_S = 0.2
_ABORT_S = 10.0
_NAMED_MAX = 3
_OVERHEAD = 100
"""Bytes of a record batch around its only record, generously."""
_PURGED = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})
_BESIDE = KafkaError._INVALID_DIFFERENT_RECORD
"""Refused only because another record of its batch was."""
Failed = Callable[[KafkaError | None, Message], None]


class Refit(Exception):
    """A topic takes less than the batches that the client makes: in a transaction all begins again, with `remake`."""


class Sender:
    """A producer, used by the writer thread."""

    def __init__(
        self,
        settings: dict[str, Any],
        told: Told,
        *,
        wire: Wire,
        topics: Topics,
        claim_check: ClaimCheck | None,
        timestamps: bool,
        patience: Patience,
    ) -> None:
        self._failed: list[tuple[str, KafkaError]] = []
        self._settings = {**settings, "on_delivery": self._note, "delivery.report.only.error": True}
        self._told = told
        self._wire = wire
        self._topics = topics
        self._claim_check = claim_check
        self._timestamps = timestamps
        self._batch_nbytes = int(settings.get("batch.size", 1_000_000))
        # One that is larger than the queue would wait for room without end.
        queue_kb, message = settings["queue.buffering.max.kbytes"], settings["message.max.bytes"]
        self._nbytes_max = min(int(queue_kb) << 10, int(message))
        self.patience = patience
        self._silent = False
        """The brokers were waited for in vain."""
        self._untold = False
        """They have not been told that a transaction of the producer's is to be aborted."""
        self._sent: set[str] = set()
        """Topics of what was handed over since the last `settle`: only if there are any its end is an answer."""
        self._closed = False
        self.fenced = False
        self.outdated = False
        """The brokers know of a later producer of our transactional id, or have given our transaction up."""
        self.producer = client.producer(self._settings, told)

    def send(self, batch: Batch, *, told: Callable[[int], Failed] | None = None) -> None:
        """Hand every record of `batch` over; `Reject` for what is too large or has no form, once the rest is settled.

        `told` makes a callback for the failure of each change, by its index: that is exact, and slow.
        """
        refused: dict[int, str] = {}
        try:
            for records in self._wire.encode(batch):
                self._send_part(records, refused, batch=batch, told=told)
        except Reject as unencodable:  # of a later segment: those before it are on their way
            refused.update(unencodable.reasons)
        if refused:
            self._drain()
            self._failed.clear()  # all of it comes again
            raise Reject(refused)

    def watch(self) -> None:
        """See `Topics.watch`."""
        self._topics.watch()

    def put(self, topic: str, key: bytes, value: bytes | None) -> None:
        """Hand over one record of our own."""
        self._sent.add(topic)
        self._retry(topic, value, key, headers=None)

    @property
    def refused(self) -> bool:
        """The brokers have refused a record since the last `settle`."""
        return any(_of_the_record(error) for _, error in self._failed)

    def abort(self) -> None:
        """End the open transaction, if the brokers can still be told; otherwise the id's next holder, or time, does."""
        try:
            self.producer.abort_transaction(_PAUSE_S if self._silent else _ABORT_S)
        except KafkaException:
            self._untold = True
        self._failed.clear()  # it is of what was aborted

    def fault(self, doing: str, error: KafkaError) -> TailraceError:
        """The pipeline's error for one of the client's; remembers in `fenced` when it may be another's claim."""
        if is_fenced(error) or error.fatal() or error.code() == KafkaError._FATAL:
            self.fenced = True
        if error.code() == KafkaError._FATAL:
            try:
                self.producer.poll(0)  # tells the callback what was fatal, or raises it, and then never again
            except KafkaException as raised:
                if error_of(raised).code() != KafkaError._FATAL:
                    self._told(error_of(raised))
            error = self._told.fatal or error
        self.outdated |= is_outdated(error)
        if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART and (gone := self._topics.gone()):
            doing = f"topic {', '.join(gone)}"  # the end of a transaction names none
        if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            with contextlib.suppress(KafkaException):  # of a producer that is beyond help
                self.producer.poll(0)  # brings what the client logs
            if self._told.denied:
                doing = (
                    f"topic {', '.join(sorted(self._told.denied))}"  # the end of a transaction names none here either
                )
        if error.code() == KafkaError._DESTROY and (gone := self._topics.gone()):
            return _gone(gone)
        return explain(error, doing)

    def settle(self) -> bool:
        """Wait until nothing is outstanding; True when all was acknowledged, False when the brokers refused records.

        Raises what is behind any other failure, `Retryable` when the brokers have said nothing for too long.
        """
        self._drain()
        failed, self._failed = self._failed, []
        faults = [self.fault(f"topic {topic}", error) for topic, error in failed if not _of_the_record(error)]
        if faults:
            raise next((fault for fault in faults if isinstance(fault, Fatal)), faults[0])
        if self._sent:
            self._told.answered()
        self._sent.clear()
        return not failed

    def remake(self) -> None:
        """Go on with a new producer, which nothing is asked of the old one for; call it when nothing is outstanding."""
        self._let_go()
        self.producer = client.producer({**self._settings, "batch.size": self._batch_nbytes}, self._told)

    def refusals(self, batch: Batch) -> Reject:
        """Send `batch` again to learn which of its changes the brokers refuse; what they take is doubled."""
        refused: dict[int, str] = {}

        def noting(change: int) -> Failed:
            def failed(error: KafkaError | None, message: Message) -> None:
                self._note(error, message)
                if error is not None and is_refusal(error):
                    refused[change] = f"topic {message.topic()}: {error.str()}"

            return failed

        topics = set[str]()
        try:
            self.send(batch, told=noting)
            topics |= self._sent
            self.settle()
        except Retryable:
            if not refused:  # a transaction takes nothing more once a record was refused
                raise
        self._failed.clear()
        if not refused:
            again = "the brokers refused records, and took the same ones when they came again"
            raise Retryable(f"{_some(topics)}: {again}")
        return Reject(refused)

    def check_patience(self, moved_at: float) -> None:
        """Drop what is left and raise `Retryable` when nothing has moved for too long, or a stop is overdue; `Fatal`
        when a topic is gone, which the client waits for without end in a transaction."""
        now = time.monotonic()
        self._topics.watch()
        where = f"{_some(self._sent)}: " if self._sent else ""
        if self.patience.over():
            self._silent = True
            self.drop()
            raise Retryable(f"{where}stopped before Kafka acknowledged all records; they come again at the next start")
        if now - moved_at > self.patience.silence_s:
            fault = self._told.fault(f"{where}Kafka has acknowledged nothing for {self.patience.silence_s:g} s")
            self._silent = True
            self.drop()
            raise _gone(self._topics.lost) if self._topics.lost else fault

    def drop(self) -> None:
        """Forget what is not acknowledged, together: what a broker has got of it is the beginning of each partition."""
        with contextlib.suppress(KafkaException):  # of a producer that is beyond help
            self.producer.purge()
            self.producer.flush(_PAUSE_S)
        self._failed.clear()
        self._sent.clear()

    def close(self) -> None:
        """Drop what is left and end the connections; closing twice is harmless (I12)."""
        if self._closed:
            return
        self._closed = True
        self._wire.close()
        if len(self.producer):
            self.drop()
        self._let_go()

    def _let_go(self) -> None:
        """End the producer. Its own close would wait without end for brokers that are away to abort a transaction:
        then it ends with the last reference to it."""
        producer = self.producer
        del self.producer
        if self._untold:
            self._untold = False
            return
        with warnings.catch_warnings():  # that a fenced producer cannot abort is no news
            warnings.simplefilter("ignore", RuntimeWarning)
            producer.close()

    def _drain(self) -> None:
        moved_at, before = time.monotonic(), -1
        try:
            while (left := self.producer.flush(_PAUSE_S)) > 0:
                if left != before:
                    moved_at, before = time.monotonic(), left
                self.check_patience(moved_at)
        except KafkaException as error:
            raise self.fault(_some(self._sent) if self._sent else "sending", error_of(error)) from None

    def _send_part(
        self, records: Records, refused: dict[int, str], *, batch: Batch, told: Callable[[int], Failed] | None
    ) -> None:
        """Hand one segment over, unless something of the batch was refused; what is too large is added to `refused`."""
        messages = records.messages()
        found = [self._find(topic) for topic in {message[0] for message in messages}]
        smallest = min((limit for _, limit in found), default=0)
        self._fit(smallest)
        if records.largest + _OVERHEAD > smallest:
            if self._claim_check is None:  # what is refused must not be what fits by now
                self._topics.ask_limits({m[0] for m in messages if _nbytes(m) > self._find(m[0])[1]})
            messages = [
                self._fitting(message, records.change(index), refused) for index, message in enumerate(messages)
            ]
        if not refused:
            self._sent.update(name for name, _ in found)
            self._hand_over(messages, records, batch=batch, told=told)

    def _hand_over(
        self, messages: Any, records: Records, *, batch: Batch, told: Callable[[int], Failed] | None
    ) -> None:
        if told is not None or self._timestamps or records.routed:
            self._hand_over_each(messages, records, batch=batch, told=told)
            return
        produce, find = self.producer.produce, self._topics.find
        seen, topic = "", ""
        for name, value, key, headers in messages:
            if name is not seen:  # neighbours share the very object
                seen, topic = name, find(name)[0]
            try:
                produce(topic, value, key, -1, None, None, 0, headers)
            except BufferError:
                self._retry(topic, value, key, headers=headers)
            except KafkaException as error:
                raise self.fault(f"topic {topic}", error_of(error)) from None

    def _hand_over_each(
        self, messages: Any, records: Records, *, batch: Batch, told: Callable[[int], Failed] | None
    ) -> None:
        """As above, with a callback, a time or a partition for each record."""
        for index, (name, value, key, headers) in enumerate(messages):
            change, topic = records.change(index), self._topics.find(name)[0]
            told_at = self._timestamps and len(batch)  # a heartbeat of an idle source has no change: it is of now
            at_ms = int(batch[change].committed_at.timestamp() * 1000) if told_at else 0
            failed, partition = None if told is None else told(change), records.partition(index)
            chosen = -1 if partition is None else partition
            self._retry(topic, value, key, headers=headers, at_ms=at_ms, failed=failed, partition=chosen)

    def _retry(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        *,
        headers: list[tuple[str, bytes]] | None,
        at_ms: int = 0,
        failed: Failed | None = None,
        partition: int = -1,
    ) -> None:
        """Produce as soon as the client's queue has room."""
        moved_at, before = time.monotonic(), -1
        while True:
            try:
                with contextlib.suppress(BufferError):
                    self.producer.produce(topic, value, key, partition, failed, None, at_ms, headers)  # type: ignore[arg-type]
                    return
                self.producer.poll(_PAUSE_S)  # a producer that was fenced says so here too
            except KafkaException as error:
                raise self.fault(f"topic {topic}", error_of(error)) from None
            if (left := len(self.producer)) != before:
                moved_at, before = time.monotonic(), left
            self.check_patience(moved_at)

    def _fit(self, limit: int) -> None:
        """Let the client make no batch of records that is larger than the smallest topic takes: it would be refused."""
        if not limit or limit - _OVERHEAD >= self._batch_nbytes:
            return
        self._batch_nbytes = max(limit - _OVERHEAD, 1)
        if "transactional.id" in self._settings:
            raise Refit
        self._drain()
        self.remake()

    def _fitting(self, message: Record, change: int, refused: dict[int, str]) -> Record:
        """The record, or its claim check when it is too large for its topic; without one it is refused."""
        topic, value, key, headers = message
        name, limit = self._find(topic)
        nbytes = _nbytes(message)
        if nbytes <= limit:
            return message
        beside = nbytes - len(value or b"") - _OVERHEAD
        if self._claim_check is not None and value is not None and beside < limit // 2:
            value, headers = self._claim_check.store(value, headers)
            return topic, value, key, headers
        who = "the client" if limit == self._nbytes_max else f"topic {name}"
        refused[change] = f"a message of {nbytes} bytes, and {who} takes {limit}"
        return message

    def _find(self, topic: str) -> tuple[str, int]:
        """The name of a topic in the cluster, and the largest message that it and the client take."""
        name, limit = self._topics.find(topic)
        return name, min(limit, self._nbytes_max)

    def _note(self, error: KafkaError | None, message: Message) -> None:
        """The client's callback for a record that failed."""
        if error is not None and error.code() not in _PURGED:
            self._failed.append((message.topic() or "?", error))


def _nbytes(message: Record) -> int:
    """What a topic must take for it."""
    _, value, key, headers = message
    return len(key or b"") + len(value or b"") + sum(len(head) + len(cell) for head, cell in headers or ()) + _OVERHEAD


def _some(topics: set[str]) -> str:
    """The first topics by name, and how many more."""
    first = ", ".join(sorted(topics)[:_NAMED_MAX])
    more = len(topics) - _NAMED_MAX
    return f"topic {first}{f' and {more} more' if more > 0 else ''}"


def _gone(topics: Iterable[str]) -> Fatal:
    """What stands behind a silence, or behind records that the client has dropped with their partition."""
    return Fatal(
        f"topic {', '.join(sorted(topics))}: the brokers do not know it any more",
        hint="the next start makes it as configured (create_topics = true) and goes on behind what was acknowledged;"
        " `tailrace reset` fills it with a new snapshot",
    )


def _of_the_record(error: KafkaError) -> bool:
    return is_refusal(error) or error.code() == _BESIDE
