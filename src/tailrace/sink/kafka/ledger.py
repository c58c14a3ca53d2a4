"""Positions of one pipeline in a compacted topic of its own, read back as committed. Never writes: transactions do.

The topic is the pipeline's alone because `read_committed` stops at the oldest open transaction in a partition: another
pipeline's would hide our last position from us, and we would go on from an older one.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from tailrace.dialect.kafka import client
from tailrace.dialect.kafka.client import Told
from tailrace.dialect.kafka.fault import error_of, explain
from tailrace.error import Fatal, Retryable, TailraceError
from tailrace.model import Position

__all__ = ["Held", "Key", "holder_key", "holder_value", "key_of", "read", "replayed_key", "value_of"]

_PATIENCE_S = 60.0
_POLL_S = 0.05  # the client waits as long for more than there is
_MANY = 1_000


@dataclass(frozen=True, slots=True)
class Held:
    """One lineage: the epoch of its owner, and the text of the position that was committed last."""

    epoch: int
    position: str | None = None


class Key(msgspec.Struct, omit_defaults=True):
    """The key of a record: a lineage, a dead letter that was replayed and may still be parked, or (without a lineage)
    who took the transactional id over last."""

    pipeline: str
    lineage: str | None = None
    replayed: str | None = None


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the topic says."""

    held: Mapping[str, Held]
    replayed: frozenset[Position]
    holder: str | None = None

    def positions(self) -> dict[str, Position | None]:
        """Every lineage that was claimed, with its committed position."""
        return {
            lineage: None if held.position is None else Position(lineage, held.position)
            for lineage, held in self.held.items()
        }


def key_of(pipeline: str, lineage: str) -> bytes:
    """The key of a lineage's record."""
    return msgspec.json.encode(Key(pipeline, lineage))


def replayed_key(pipeline: str, position: Position) -> bytes:
    """The key of the record that says that the dead letter at `position` was written."""
    return msgspec.json.encode(Key(pipeline, position.lineage, position.text))


def holder_key(pipeline: str) -> bytes:
    """The key of the record that says who took the transactional id over last."""
    return msgspec.json.encode(Key(pipeline))


def holder_value(holder: str) -> bytes:
    """The value of that record."""
    return msgspec.json.encode(holder)


def value_of(held: Held) -> bytes:
    """The value of a lineage's record."""
    return msgspec.json.encode(held)


def read(
    settings: Mapping[str, Any],
    topic: str,
    pipeline: str,
    *,
    settled: bool = False,
    patience_s: float | None = None,
    stopped: Callable[[], bool] | None = None,
) -> Ledger:
    """Everything that is committed in `topic`; nothing when there is no such topic. `Fatal` when that is not ours.

    With `settled` it waits for the end of every transaction that is open now; `Retryable` when one stays open, and when
    the brokers do not answer, after `patience_s` (a minute) at the latest, or once `stopped`.
    """
    told = Told()
    asking = {
        **settings,
        "group.id": f"tailrace.{pipeline}",  # asked for, and never joined
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "allow.auto.create.topics": False,
    }
    with contextlib.ExitStack() as stack:
        reader = client.consumer({**asking, "isolation.level": "read_committed"}, told)
        stack.callback(reader.close)
        measure = reader
        if settled:  # one that reads what is committed is not told of an end beyond that
            measure = client.consumer({**asking, "isolation.level": "read_uncommitted"}, told)
            stack.callback(measure.close)
        reading = _Reading(reader, measure, told, topic=topic, patience_s=patience_s, stopped=stopped)
        return _replay(reading.messages(), topic, pipeline)


class _Reading:
    def __init__(
        self,
        reader: Any,
        measure: Any,
        told: Told,
        *,
        topic: str,
        patience_s: float | None,
        stopped: Callable[[], bool] | None,
    ) -> None:
        self._reader = reader
        self._measure = measure
        self._told = told
        self._topic = topic
        self._stopped = stopped
        self._deadline = time.monotonic() + (_PATIENCE_S if patience_s is None else patience_s)

    def _left_s(self) -> float:
        return max(self._deadline - time.monotonic(), _POLL_S)

    def messages(self) -> list[tuple[bytes, bytes | None]]:
        """Key and value of every committed record, up to the end that the topic has now."""
        try:
            found = self._ask(lambda timeout_s: self._reader.list_topics(self._topic, timeout=timeout_s))
            found = found.topics[self._topic]
            if found.error is not None:
                return self._absent(found.error)
            if len(found.partitions) != 1:
                raise Fatal(
                    f"topic {self._topic} has {len(found.partitions)} partitions, and positions need one order",
                    hint="name another one (positions_topic)",
                )
            return self._consume()
        except KafkaException as error:
            if error_of(error).code() in client.SILENT:
                raise self._told.fault(f"topic {self._topic} cannot be read") from None
            raise explain(error_of(error), f"reading topic {self._topic}") from None

    def _ask(self, question: Callable[[float], Any]) -> Any:
        return client.ask(question, timeout_s=self._left_s(), stopped=self._stopped)

    def _absent(self, error: KafkaError) -> list[tuple[bytes, bytes | None]]:
        if error.code() in {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}:
            return []
        raise explain(error, f"reading topic {self._topic}")

    def _consume(self) -> list[tuple[bytes, bytes | None]]:
        """Read until the client says that it is at the end, and that is the end that `measure` sees."""
        place = TopicPartition(self._topic, 0)
        _, high = self._ask(lambda timeout_s: self._measure.get_watermark_offsets(place, timeout=timeout_s))
        self._reader.assign([TopicPartition(self._topic, 0, OFFSET_BEGINNING)])
        read: list[tuple[bytes, bytes | None]] = []
        stuck: int | None = None
        while True:
            if time.monotonic() > self._deadline:
                raise self._unfinished(stuck, high)
            client.refuse_stopped(self._stopped)
            for message in self._reader.consume(_MANY, _POLL_S):
                error = message.error()
                if error is None:
                    read.append((message.key() or b"", message.value()))
                elif error.code() == KafkaError._PARTITION_EOF:
                    stuck = message.offset()
                    if stuck >= high:
                        return read
                elif not error.retriable() and error.code() != KafkaError._ALL_BROKERS_DOWN:
                    raise explain(error, f"reading topic {self._topic}")

    def _unfinished(self, stuck: int | None, high: int) -> TailraceError:
        """A reader that was told of an end before `high` stands at a transaction; one that was told of none is late."""
        if stuck is None:
            return self._told.fault(f"topic {self._topic} was not read up to offset {high} in time")
        return Retryable(
            f"topic {self._topic} has a transaction that is still open, at offset {stuck} of {high}",
            hint="it ends when its process does, or with the transaction's timeout",
        )


def _replay(messages: list[tuple[bytes, bytes | None]], topic: str, pipeline: str) -> Ledger:
    held: dict[str, Held] = {}
    replayed: set[Position] = set()
    holder: str | None = None
    for name, value in messages:
        try:
            key = msgspec.json.decode(name, type=Key)
            new = _value(key, value)
        except msgspec.DecodeError:
            raise Fatal(
                f"topic {topic} holds something else than positions of Tailrace",
                hint="name another one (positions_topic)",
            ) from None
        if key.pipeline != pipeline:
            raise Fatal(
                f"topic {topic} belongs to the pipeline {key.pipeline!r}, not to {pipeline!r}",
                hint="give each pipeline a positions_topic of its own",
            )
        if key.lineage is None:
            holder = new if isinstance(new, str) else None
        elif key.replayed is not None:
            (replayed.discard if value is None else replayed.add)(Position(key.lineage, key.replayed))
        elif isinstance(new, Held):
            held[key.lineage] = new
        else:
            held.pop(key.lineage, None)
    return Ledger(held, frozenset(replayed), holder)


def _value(key: Key, value: bytes | None) -> Held | str | None:
    if value is None or key.replayed is not None:
        return None
    return msgspec.json.decode(value, type=str) if key.lineage is None else msgspec.json.decode(value, type=Held)
