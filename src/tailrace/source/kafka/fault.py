"""What Kafka's errors mean for a reader, and what it can do about them. Never shows a key or a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from confluent_kafka import KafkaError, KafkaException

from tailrace.dialect.kafka import fault
from tailrace.dialect.kafka.fault import error_of
from tailrace.error import Fatal, HistoryLost, Retryable, TailraceError
from tailrace.source.kafka.part import HOLE

__all__ = ["DROPPING", "GONE", "MOVING", "RANGE", "READING", "error_of", "explain", "explained", "unread"]

_TOPIC = "create the topic, or leave it out of topics"
READING: Mapping[int, str] = MappingProxyType(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED: "an ACL must allow it: READ and DESCRIBE on the topic",
        KafkaError.GROUP_AUTHORIZATION_FAILED: "an ACL must allow it: READ on the group",
        KafkaError.UNKNOWN_TOPIC_OR_PART: _TOPIC,
        KafkaError._UNKNOWN_TOPIC: _TOPIC,
        KafkaError._UNKNOWN_PARTITION: _TOPIC,
    }
)
"""For whoever reads."""
DROPPING: Mapping[int, str] = MappingProxyType(
    {KafkaError.GROUP_AUTHORIZATION_FAILED: "an ACL must allow it: DELETE on the group"}
)
"""For whoever deletes a group."""
RANGE = frozenset((KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE))
"""What says that the records that come next are gone."""
MOVING = frozenset(
    (
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError._NO_OFFSET,
        KafkaError._ASSIGNMENT_LOST,
    )
)
"""What a group says while members come and go."""
GONE = frozenset(
    (
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.UNKNOWN_TOPIC_ID,
    )
)
"""What says that a broker does not know the topic."""
_NAMESAKE = frozenset((KafkaError.FENCED_INSTANCE_ID, KafkaError.UNRELEASED_INSTANCE_ID))
"""What says that the group has another static member of our name, or has not given it up yet."""
_LAST = (
    *_NAMESAKE,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.UNSUPPORTED_VERSION,
    KafkaError._UNSUPPORTED_FEATURE,
)
"""What a client gives up for, whose error has another code then, and this one's words."""


def explain(error: KafkaError, where: str, *, hints: Mapping[int, str] = READING) -> TailraceError:
    """The pipeline's error for `error` of a reader, which happened at `where`."""
    return fault.explain(error, where, hints=hints)


def unread(error: KafkaError, where: str) -> TailraceError:
    """As `explain`, of a partition that is being read: its topic, or what comes next in it, may be gone."""
    if error.code() == KafkaError._FATAL:
        error = next((cause for code in _LAST if (cause := KafkaError(code)).str() in error.str()), error)
    if error.code() in GONE:
        return Fatal(
            f"{where}: the topic does not exist any more", hint="make it anew and `tailrace reset`, or leave it out"
        )
    if error.code() in RANGE:
        return HistoryLost(f"{where}: the records that come next are no longer there", hint=HOLE)
    if error.code() in _NAMESAKE:
        return Retryable(
            f"{where}: the group has another member of our name",
            hint="one that was killed keeps it until its session ends; of two that run, one needs another `member`",
        )
    if error.code() == KafkaError.INCONSISTENT_GROUP_PROTOCOL:
        return Retryable(
            f"{where}: the members that the group has share its partitions in another way",
            hint="stop them, if they are not Tailrace's, or give this pipeline a group of its own",
        )
    return explain(error, where)


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Whatever the client raises inside is told as by `explain`."""
    try:
        yield
    except KafkaException as error:
        raise explain(error_of(error), where) from error
