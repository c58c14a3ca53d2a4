"""How far the demo's copies are, asked of the servers. Never waits for a copy."""

from __future__ import annotations

from collections.abc import Iterable

import psycopg

__all__ = ["confirmed", "read_by"]

_ASK_S = 30.0


def confirmed(url: str, lsn: str) -> int:
    """How many replication slots have been told that everything before `lsn`, and a little beyond, is durable."""
    query = "SELECT count(*) FROM pg_replication_slots WHERE confirmed_flush_lsn > %s"
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query, [lsn]).fetchone()
    return int(row[0]) if row is not None else 0


def read_by(address: str, group: str, topics: Iterable[str]) -> bool:
    """Whether a consumer group has committed every offset up to the end of these topics."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": address, "group.id": group})
    try:
        known = consumer.list_topics(timeout=_ASK_S).topics
        places = [TopicPartition(topic, part) for topic in topics for part in known[topic].partitions]
        committed = consumer.committed(places, timeout=_ASK_S)
        ends = [consumer.get_watermark_offsets(place, timeout=_ASK_S)[1] for place in places]
    finally:
        consumer.close()
    return all(max(place.offset, 0) == end for place, end in zip(committed, ends, strict=True))
