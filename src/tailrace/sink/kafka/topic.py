"""Which topic a record goes to, how topics are made, and how large a message each takes. Never sends a record."""

from __future__ import annotations

import fnmatch
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tailrace.error import ConfigError

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient, TopicDescription

__all__ = ["Topic", "Topics", "describe", "make", "option", "rules"]

_log = logging.getLogger("tailrace.sink.kafka")
_LIMIT = 1_048_588
"""What a broker takes unless it was told otherwise (`message.max.bytes`)."""
_WATCH_S = 5.0
_ASK_S = 30.0
"""The client itself ends what it asks for after this: a second clock for its answer might strike first."""


@dataclass(frozen=True, slots=True)
class Topic:
    """What topics are called and how they are made whose name, as Debezium would give it, matches the glob `match`.

    `name` may hold `{topic}` (that name), `{schema}` and `{table}` (its last two parts). What is not given here is as
    the sink says, and what that does not say is the broker's default.
    """

    match: str
    name: str = "{topic}"
    partitions: int | None = None
    replication: int | None = None
    cleanup_policy: str | None = None
    config: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            self.called("a.b.c")
        except (KeyError, IndexError, ValueError):
            raise ConfigError(
                f"the topic name {self.name!r} cannot be filled in", hint="it may hold {topic}, {schema} and {table}"
            ) from None
        if (self.partitions is not None and self.partitions < 1) or (
            self.replication is not None and self.replication < 1
        ):
            raise ConfigError("a topic needs 1 or more partitions and replicas")

    def called(self, topic: str) -> str:
        """The name in the cluster of what Debezium would call `topic`."""
        schema, _, table = topic.rpartition(".")
        return self.name.format(topic=topic, schema=schema.rpartition(".")[2], table=table)

    def options(self) -> dict[str, str]:
        """The options of a new topic."""
        policy = {} if self.cleanup_policy is None else {"cleanup.policy": self.cleanup_policy}
        return {**policy, **self.config}


class Topics:
    """The topics that records have gone to: known once, and then only watched for others of the same name."""

    def __init__(
        self,
        client: AdminClient,
        rules: Sequence[Topic],
        *,
        create: bool,
        stopped: Callable[[], bool] | None = None,
    ) -> None:
        self._client = client
        self._stopped = stopped
        self._rules = rules
        self._create = create
        self._names: dict[str, tuple[str, int]] = {}
        self._ids: dict[str, str] = {}
        self.lost: set[str] = set()
        """The names in the cluster of those that the brokers did not know when `watch` asked last."""
        self._asked: dict[str, Future[TopicDescription]] = {}
        self._ask_at = 0.0

    def find(self, topic: str) -> tuple[str, int]:
        """The name in the cluster for Debezium's name `topic`, and the largest message that it takes, in bytes.

        The topic is made when it is missing and the sink makes topics.
        """
        found = self._names.get(topic)
        if found is None:
            rule = self.rule(topic)
            name = rule.called(topic)
            if self._create:
                make(self._client, name, rule, stopped=self._stopped)
            found = self._names[topic] = name, _limit(self._client, name, stopped=self._stopped)
            self._asked |= self._ask([name])
        return found

    def ask_limits(self, topics: Iterable[str]) -> None:
        """Ask again how large a message each of these takes, by Debezium's names: `find` has asked once."""
        for topic in topics:
            name, _ = self.find(topic)
            self._names[topic] = name, _limit(self._client, name, stopped=self._stopped)

    def watch(self) -> None:
        """Warn of a topic that was deleted and made anew since it was first written to: it takes records as if nothing
        had happened. Asks now and then, and never waits for the answer."""
        if self._asked and all(future.done() for future in self._asked.values()):
            asked, self._asked = self._asked, {}
            for name, future in asked.items():
                self._hear(name, future)
        if not self._asked and self._names and time.monotonic() >= self._ask_at:
            self._ask_at = time.monotonic() + _WATCH_S
            self._asked = self._ask(list({name for name, _ in self._names.values()}))

    def _ask(self, names: Sequence[str]) -> dict[str, Future[TopicDescription]]:
        from confluent_kafka import TopicCollection

        asked: dict[str, Future[TopicDescription]] = self._client.describe_topics(
            TopicCollection(list(names)), request_timeout=_ASK_S
        )
        return asked

    def _hear(self, name: str, answer: Future[TopicDescription]) -> None:
        from confluent_kafka import KafkaError, KafkaException

        from tailrace.dialect.kafka.fault import error_of

        self.lost.discard(name)
        try:
            now = str(answer.result().topic_id)
        except KafkaException as error:  # it is gone, or the brokers are: writing to it tells
            _log.debug("the id of %s is not known: %s", name, error_of(error).str())
            if error_of(error).code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                self.lost.add(name)
            return
        if self._ids.setdefault(name, now) != now:
            self._ids[name] = now
            _log.warning(
                "the topic %s was deleted and made anew while it is written to: what it held is gone, and what comes"
                " goes on in the new one; `tailrace reset` fills it with a new snapshot",
                name,
            )

    def gone(self) -> list[str]:
        """The names in the cluster of those that are not there any more."""
        names = [name for name, _ in self._names.values()]
        return [name for name in names if describe(self._client, name, stopped=self._stopped) is None]

    def rule(self, topic: str) -> Topic:
        """The first rule for `topic`; the last one matches all."""
        return next(rule for rule in self._rules if fnmatch.fnmatchcase(topic, rule.match))


def make(client: AdminClient, name: str, rule: Topic, *, stopped: Callable[[], bool] | None = None) -> None:
    """Create topic `name` unless it is there; one that is there stays as it is. `Retryable` once `stopped`."""
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.admin import NewTopic

    from tailrace.dialect.kafka.client import answer
    from tailrace.dialect.kafka.fault import error_of, explain

    if describe(client, name, stopped=stopped) is not None:
        return  # who may not create topics may still use one that is there
    wanted = NewTopic(
        name,
        num_partitions=rule.partitions or -1,
        replication_factor=rule.replication or -1,
        config=dict(rule.options()),
    )
    try:
        answer(client.create_topics([wanted], request_timeout=_ASK_S)[name], stopped=stopped)
        _log.info("made the topic %s", name)
    except KafkaException as error:
        if error_of(error).code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise explain(error_of(error), f"creating the topic {name}") from None


def describe(client: AdminClient, name: str, *, stopped: Callable[[], bool] | None = None) -> TopicDescription | None:
    """What the brokers say of topic `name`, with what we may do there; None when there is no such topic."""
    from confluent_kafka import KafkaError, KafkaException, TopicCollection

    from tailrace.dialect.kafka.client import answer
    from tailrace.dialect.kafka.fault import error_of, explain

    asked = client.describe_topics(TopicCollection([name]), include_authorized_operations=True, request_timeout=_ASK_S)
    try:
        found: TopicDescription = answer(asked[name], stopped=stopped)
    except KafkaException as error:
        if error_of(error).code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return None
        raise explain(error_of(error), f"topic {name}") from None
    return found


def rules(given: Iterable[Topic], otherwise: Topic) -> list[Topic]:
    """The rules in order, filled up with what the sink says for all topics."""
    filled = [
        Topic(
            rule.match,
            rule.name,
            partitions=rule.partitions or otherwise.partitions,
            replication=rule.replication or otherwise.replication,
            cleanup_policy=rule.cleanup_policy or otherwise.cleanup_policy,
            config={**otherwise.config, **rule.config},
        )
        for rule in given
    ]
    return [*filled, otherwise]


def option(client: AdminClient, name: str, option: str, *, stopped: Callable[[], bool] | None = None) -> str | None:
    """An option of topic `name`; None when nobody may ask, or the topic is not there yet."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import ConfigResource, ResourceType

    from tailrace.dialect.kafka.client import answer

    resource = ConfigResource(ResourceType.TOPIC, name)
    try:
        found = answer(client.describe_configs([resource], request_timeout=_ASK_S)[resource], stopped=stopped)
    except KafkaException as error:
        _log.debug("%s of %s is not known: %s", option, name, error.args[0].str())
        return None
    entry = found.get(option)
    return None if entry is None or entry.value is None else str(entry.value)


def _limit(client: AdminClient, name: str, *, stopped: Callable[[], bool] | None) -> int:
    """The topic's `max.message.bytes`; the broker's usual one when that is not known."""
    return int(option(client, name, "max.message.bytes", stopped=stopped) or _LIMIT)
