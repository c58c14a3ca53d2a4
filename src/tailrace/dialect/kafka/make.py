"""Makes topics that are logs of states. Never changes one that is there."""

from __future__ import annotations

from collections.abc import Callable

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from tailrace.dialect.kafka.client import answer, ask
from tailrace.dialect.kafka.fault import error_of, explain

__all__ = ["make_compacted", "names"]

_ASK_S = 30.0


def names(admin: AdminClient, *, stopped: Callable[[], bool] | None = None) -> set[str]:
    """Of all topics that we may see; `Retryable` when the brokers have gone, or once `stopped`."""
    try:
        found = ask(lambda timeout_s: admin.list_topics(timeout=timeout_s), timeout_s=_ASK_S, stopped=stopped)
        return set(found.topics)
    except KafkaException as error:
        raise explain(error_of(error), "listing the topics") from error


def make_compacted(
    admin: AdminClient, name: str, *, replication: int | None, stopped: Callable[[], bool] | None = None
) -> None:
    """A topic of one partition that keeps each key's last value, where it is missing; `replication` None: as the broker
    has it. `Retryable` once `stopped`."""
    if name in names(admin, stopped=stopped):
        return
    replicas = -1 if replication is None else replication
    topic = NewTopic(name, num_partitions=1, replication_factor=replicas, config={"cleanup.policy": "compact"})
    try:
        answer(admin.create_topics([topic], request_timeout=_ASK_S)[name], stopped=stopped)
    except KafkaException as error:
        if error_of(error).code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise explain(error_of(error), f"making the topic {name}") from error
