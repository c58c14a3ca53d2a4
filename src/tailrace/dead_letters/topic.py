"""Dead letters in Kafka topics, which all members of a consumer group share. Never imports its client before it is
opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from tailrace.dialect.kafka.address import PRODUCING, Address, Security, parse
from tailrace.error import ConfigError
from tailrace.model import Limits

if TYPE_CHECKING:
    from tailrace.dead_letters.roaming import Letters
    from tailrace.dead_letters.store import TopicStore

__all__ = ["Kafka"]

_OURS = PRODUCING | {"enable.auto.commit", "enable.partition.eof", "group.id"}


@dataclass(frozen=True, slots=True)
class Kafka:
    """Park changes in the topic of `kafka://[user:password@]host:port[,host:port…][/topic]`.

    With `retry_delays_s` a change goes to `retry_topic` (default: the topic's name with `.retry`) first, and is offered
    again after each of these pauses, in seconds, while everything else goes on; then it is a dead letter. Later changes
    of its key wait behind it all the while. Topics that are missing are made: one partition, compacted, `replication`
    replicas (default: the broker's). What is parked is held in memory too: at most `bytes_max` bytes, or the
    `dead_letters_bytes_max` of the limits if that is less; beyond, the pipeline stops.

    `options`, and the query of the URL, are librdkafka's own settings, by their names; those that durability and order
    hang on are refused.
    """

    kind: ClassVar[str] = "kafka"
    url: str = field(repr=False)
    topic: str = ""
    retry_topic: str = ""
    retry_delays_s: Sequence[float] = ()
    replication: int | None = None
    bytes_max: int = 64 << 20
    security: Security = field(default_factory=Security)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        address = self.address
        if bool(address.path) == bool(self.topic):
            raise ConfigError(
                "the topic of dead letters stands in the URL or in topic, once", hint="kafka://host:9092/shop.dead"
            )
        object.__setattr__(self, "topic", address.path or self.topic)
        object.__setattr__(self, "retry_topic", self.retry_topic or f"{self.topic}.retry")
        object.__setattr__(self, "retry_delays_s", tuple(self.retry_delays_s))
        if self.retry_topic == self.topic:
            raise ConfigError("retry_topic is the topic of dead letters", hint="give it another name")
        if any(delay < 0 for delay in self.retry_delays_s):
            raise ConfigError("a delay is below 0", hint="retry_delays_s = [10, 60, 600]")
        address.refuse_own(self.options, _OURS)
        address.require_mechanism(self.security, self.options)

    @property
    def address(self) -> Address:
        """The URL, taken apart."""
        return parse(self.url)

    def settings(self) -> dict[str, Any]:
        """librdkafka's settings of every client."""
        address = self.address
        login = {"sasl.username": address.username, "sasl.password": address.password}
        return {
            "bootstrap.servers": address.servers,
            "client.id": "tailrace",
            **{name: value for name, value in login.items() if value is not None},
            **self.security.settings(),
            **address.query,
            **self.options,
        }

    def open(self, name: str, limits: Limits, *, stopped: Callable[[], bool] | None = None) -> Letters:
        """See `DeadLetters.open`; several processes may have them open, each with lineages of its own (`Roaming`)."""
        from tailrace.dead_letters.roaming import Letters

        nbytes_max = min(self.bytes_max, limits.dead_letters_bytes_max)
        return Letters(self.store(name, nbytes_max=nbytes_max, stopped=stopped))

    def store(
        self,
        name: str,
        *,
        nbytes_max: int = 1 << 40,
        make: bool = True,
        stopped: Callable[[], bool] | None = None,
    ) -> TopicStore:
        """The topics, opened: to look into them (into anyone's when `name` is empty), or for `open`. Unless they are to
        be made, nothing lies in those that are missing."""
        try:
            from tailrace.dead_letters.store import TopicStore
        except ImportError:
            raise ConfigError(
                "dead letters in Kafka need confluent-kafka, which is not installed",
                hint="pip install 'tailrace[kafka]'",
            ) from None
        return TopicStore(self, name, nbytes_max=nbytes_max, make=make, stopped=stopped)
