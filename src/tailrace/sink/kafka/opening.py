"""From the configuration of a Kafka sink to its open writer. Never writes a change."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tailrace.dialect.kafka import client
from tailrace.dialect.kafka.client import Told
from tailrace.dialect.kafka.objects import place_of
from tailrace.error import CheckFailed, ConfigError
from tailrace.model import Limits
from tailrace.sink.kafka.check import forgetting
from tailrace.sink.kafka.claim import ClaimCheck
from tailrace.sink.kafka.patience import Patience
from tailrace.sink.kafka.sender import Sender
from tailrace.sink.kafka.topic import Topic, Topics, make
from tailrace.sink.kafka.transaction import Plan, TransactionalWriter
from tailrace.sink.kafka.writer import KafkaWriter

if TYPE_CHECKING:
    from tailrace.sink.kafka import Kafka

__all__ = ["open_writer"]

_SMALL = {"segment.bytes": str(16 << 20), "min.cleanable.dirty.ratio": "0.1"}
"""Compaction leaves a topic's last segment alone: it must not hold the positions of weeks."""


def open_writer(
    sink: Kafka, name: str, limits: Limits, *, stopped: Callable[[], bool] | None
) -> KafkaWriter | TransactionalWriter:
    """Connect as pipeline `name`. See `Kafka.open`; `Retryable` once `stopped`."""
    if sink.transactions and sink.transaction_bytes_max < limits.batch_bytes_max:
        raise ConfigError(
            f"transaction_bytes_max = {sink.transaction_bytes_max}, and transactions of the source that wait together"
            f" are written as one of up to limits.batch_bytes_max = {limits.batch_bytes_max} bytes",
            hint="raise transaction_bytes_max, or lower limits.batch_bytes_max",
        )
    told, patience = Told(), Patience(sink.delivery_timeout_s, stopped)
    admin = client.admin(sink.settings(), told)
    topics = Topics(admin, sink.rules(), create=sink.create_topics, stopped=patience.over)
    sender = Sender(
        sink.producing(name),
        told,
        wire=sink.format.encoder(name, called=lambda topic: topics.rule(topic).called(topic)),
        topics=topics,
        claim_check=None if (place := place_of(sink.claim_check)) is None else ClaimCheck(place),
        timestamps=sink.timestamp == "commit",
        patience=patience,
    )
    try:
        client.reach(admin, told, stopped=patience.over)
        if not sink.transactions:
            patience.opened()
            return KafkaWriter(sender, stop_timeout_s=limits.stop_timeout_s)
        rule = Topic("*", partitions=1, replication=sink.replication, cleanup_policy="compact", config=_SMALL)
        make(admin, sink.positions(name), rule, stopped=patience.over)
        if (finding := forgetting(admin, sink.positions(name), stopped=patience.over)) is not None:
            raise CheckFailed(f"{finding.subject}: {finding.message}", hint=finding.fix)
        plan = Plan(
            name,
            sink.producing(name)["transactional.id"],
            sink.takeovers,
            sink.positions(name),
            reading=sink.settings(),
            nbytes_max=sink.transaction_bytes_max,
            split=sink.split_transactions,
            timeout_s=sink.transaction_timeout_s,
            stop_timeout_s=limits.stop_timeout_s,
        )
        writer = TransactionalWriter(sender, plan)
        patience.opened()
        return writer
    except BaseException:
        sender.close()
        raise
