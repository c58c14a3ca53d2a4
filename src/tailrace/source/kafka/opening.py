"""Joins the consumer group, after a look at what was read before. Never reads a record."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException

from tailrace.contract import Positions
from tailrace.dialect.kafka import client
from tailrace.error import HistoryLost, Retryable
from tailrace.model import Limits, Position
from tailrace.source.kafka.fault import DROPPING, error_of, explain
from tailrace.source.kafka.group import Group
from tailrace.source.kafka.part import Place
from tailrace.source.kafka.pattern import is_glob, subscription
from tailrace.source.kafka.sharing import Sharing
from tailrace.source.kafka.stream import KafkaStream
from tailrace.source.kafka.topic import Topics

if TYPE_CHECKING:
    from tailrace.source.kafka import Kafka

__all__ = ["drop_group", "open_stream"]

_ASK_S = 15.0
_LEADER_MS = 4_000
_READ_BYTES_MAX = 4 << 20
"""Of one batch: the shelf puts them together again, and records lie in memory twice while they are read."""


def open_stream(
    source: Kafka,
    name: str,
    positions: Positions,
    *,
    limits: Limits,
    until_current: bool,
    stop: threading.Event | None = None,
) -> KafkaStream:
    """A stream that has subscribed; its partitions come with its first reads. `Retryable` once `stop` is set."""
    told = client.Told()
    # Whoever leads a partition is asked where it ends, and the client remembers for this long who that is.
    admin = client.admin({"metadata.max.age.ms": _LEADER_MS, **source.settings()}, told)
    stopped = None if stop is None else stop.is_set
    client.reach(admin, told, stopped=stopped)
    topics = Topics(admin, source.topics, stop)
    ids = topics.ids(topics.matching())
    known = positions.known()
    _refuse_foreign(topics.cluster, known)
    _refuse_recreated(source, topics, ids, known=known)
    client.refuse_stopped(stopped)
    place = Place(
        kept="sink" if _in_sink(source, positions) else "group",
        first=source.auto_offset_reset,
        out_of_range=source.out_of_range,
        until_current=until_current,
    )
    stream: KafkaStream
    with contextlib.ExitStack() as opened:
        schemas = source.schemas()
        registry = None if schemas is None else schemas.open()
        if registry is not None:
            opened.callback(registry.close)
        group = Group(source.group_of(name), lambda: client.admin(source.settings(), told))
        noting = {"on_commit": lambda error, places: stream.offsets.note(error, places)}
        consumer = client.consumer({**source.consuming(name), **noting}, told)
        opened.callback(consumer.close)
        stream = KafkaStream(
            source,
            consumer,
            place=place,
            sharing=Sharing(consumer, group, topics, settle_s=source.settle_s()),
            told=told,
            registry=registry,
            nbytes_max=min(limits.batch_bytes_max, _READ_BYTES_MAX),
        )
        stream.subscribe(subscription(source.topics), ids, known=known)
        opened.pop_all()  # the stream closes them
    return stream


def _in_sink(source: Kafka, positions: Positions) -> bool:
    """Whether the position lies in the sink, with the rows: then the sink's Writer is what keeps it."""
    return source.positions == "sink" or (source.positions == "auto" and hasattr(positions, "write"))


def _refuse_foreign(cluster: str, known: Mapping[str, Position | None]) -> None:
    """Where nothing of this cluster was ever read and something of another was, this one would be read from its
    beginning, or from where somebody else has left the group."""
    others = sorted(lineage for lineage, at in known.items() if at is not None)
    if others and not any(lineage.startswith(f"kafka/{cluster}/") for lineage in known):
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise HistoryLost(
            f"the saved position is of {others[0]}{more}, but this is the cluster {cluster}",
            hint="lead the source to that one again; `tailrace reset` begins anew with this one, and deletes what a"
            " mirror has set as the group's offsets: note them before, set them again after",
        )


def _refuse_recreated(
    source: Kafka, topics: Topics, ids: Mapping[str, str], *, known: Mapping[str, Position | None]
) -> None:
    """A named topic that is new while one that was read is gone was deleted and made anew: its old offsets mean nothing
    now. With globs topics may come and go."""
    read = {parts[2] for parts in (lineage.split("/") for lineage in known) if parts[:2] == ["kafka", topics.cluster]}
    if not read or any(is_glob(topic) for topic in source.topics) or read <= set(ids.values()):
        return
    for topic, topic_id in ids.items():
        if topic_id not in read:
            raise HistoryLost(
                f"the topic {topic} was deleted and made anew since it was read",
                hint="`tailrace reset` reads it from its beginning; what the old one held beyond our position is gone",
            )


def drop_group(source: Kafka, name: str) -> list[str]:
    """Delete the group of pipeline `name`; returns what was removed, in words."""
    told = client.Told()
    admin = client.admin(source.settings(), told)
    client.reach(admin, told)
    group = source.group_of(name)
    try:
        admin.delete_consumer_groups([group], request_timeout=_ASK_S)[group].result()
    except KafkaException as error:
        code = error_of(error).code()
        if code == KafkaError.GROUP_ID_NOT_FOUND:
            return []
        if code == KafkaError.NON_EMPTY_GROUP:
            raise Retryable(f"the group {group} has members", hint="stop every process that reads with it") from None
        raise explain(error_of(error), f"group {group}", hints=DROPPING) from error
    return [f"the consumer group {group} with its offsets"]
