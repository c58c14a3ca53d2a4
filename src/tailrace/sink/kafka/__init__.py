"""Writes events to Kafka as a Debezium connector would: same topics, keys, values, partitions. Never imports its client
before it is opened.

At least once without `transactions`, exactly once for `read_committed` readers with them (`transaction.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tailrace.dialect.kafka.address import PRODUCING, Address, Security, parse
from tailrace.dialect.kafka.objects import refuse_wrong
from tailrace.error import ConfigError
from tailrace.format import Format
from tailrace.model import Finding, Limits, Position, Table
from tailrace.sink.kafka.fence import Takeovers
from tailrace.sink.kafka.topic import Topic

if TYPE_CHECKING:
    from tailrace.sink.kafka.transaction import TransactionalWriter
    from tailrace.sink.kafka.writer import KafkaWriter

__all__ = ["Kafka", "Security", "Topic"]

tailrace_contract = 1
_QUEUE_KB = 16 << 10
_MESSAGE_NBYTES = 1_000_000_000
"""The most that the client allows: each topic says what it takes, and what does not fit into the queue is refused."""
_SIZES = ("batch.size", "message.max.bytes", "queue.buffering.max.kbytes")


@dataclass(frozen=True, slots=True)
class Kafka:
    """A Kafka cluster at `kafka://[user:password@]host:port[,host:port…][?option=value]`.

    `options`, and the query of the URL, are librdkafka's own settings, by their names. `topics` says what topics are
    called and how they are made when `create_topics` is set; `partitions`, `replication` and `cleanup_policy` are for
    those that it does not name. `timestamp="commit"` stamps records with the source's commit time, as slowly as it
    takes, instead of the time of sending, which is Debezium's way. A message that is larger than its topic takes goes
    to the dead letters, or into `claim_check`, a folder or `s3://bucket/prefix`, and the message says where.

    With `transactions`, readers with `isolation.level=read_committed` see each change once: the position is committed
    with the records, in `positions_topic` (default `tailrace.<pipeline>.positions`, compacted, of this pipeline alone,
    with `replication` replicas when it is made).
    What is above `transaction_bytes_max`, counted in bytes of its cells as the source sent them, is cut between the
    source's transactions. One of those that is above it is an error, or is split, and at-least-once, with
    `split_transactions`: one of Kafka's for each of its segments, or for each part of one that is above the limit too;
    a single change is never cut. `limits.batch_bytes_max`, to which
    smaller ones are joined, must not be above it.
    """

    kind: ClassVar[str] = "kafka"
    table_like: ClassVar[bool] = False
    truncate: ClassVar[bool] = True

    url: str = field(repr=False)
    format: Format = field(default_factory=Format)
    topics: Sequence[Topic] = ()
    create_topics: bool = False
    partitions: int | None = None
    replication: int | None = None
    cleanup_policy: Literal["delete", "compact", "compact,delete"] | None = None
    compression: Literal["lz4", "zstd", "snappy", "gzip", "none"] = "lz4"
    timestamp: Literal["send", "commit"] = "send"
    claim_check: Path | str | None = None
    transactions: bool = False
    transactional_id: str | None = None
    positions_topic: str | None = None
    transaction_timeout_s: float = 60.0
    transaction_bytes_max: int = 1 << 30
    split_transactions: bool = False
    delivery_timeout_s: float = 120.0
    security: Security = field(default_factory=Security)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    takeovers: Takeovers = field(default_factory=Takeovers, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        address = self.address
        if address.path:
            raise ConfigError(
                "the URL of a Kafka sink names no topic", hint="topics are named by topic_prefix and by sink.topics"
            )
        address.refuse_own(self.options, PRODUCING)
        refuse_wrong(self.claim_check)
        for name, text in {**address.query, **self.options}.items():
            if name in _SIZES and not text.isdecimal():
                raise ConfigError(f"the option {name!r} is a whole number", hint=f'"{name}" = "1000000"')
        address.require_mechanism(self.security, self.options)
        self._otherwise()

    @property
    def transactional(self) -> bool:
        """The Writer keeps the position: see `contract.Sink`."""
        return self.transactions

    @property
    def beat_interval_s(self) -> float:
        """See `Beating.beat_interval_s`."""
        return self.format.heartbeat_interval_s

    @property
    def address(self) -> Address:
        """The URL, taken apart."""
        return parse(self.url)

    def check(self) -> list[Finding]:
        """Whether the brokers answer and let us in, and what they let us do."""
        from tailrace.sink.kafka.check import check

        return check(self)

    def check_tables(self, name: str, tables: Sequence[Table]) -> list[Finding]:
        """Whether the topics of `tables` are there, or can be made, and may be written to."""
        from tailrace.sink.kafka.check import check_tables

        return check_tables(self, name, tables)

    def saved(self, name: str) -> Mapping[str, Position | None]:
        """See `Remembering.saved`; nothing without transactions."""
        if not self.transactions:
            return {}
        _require_client()
        from tailrace.sink.kafka import ledger

        return ledger.read(self.settings(), self.positions(name), name).positions()

    def open(self, name: str, limits: Limits) -> KafkaWriter | TransactionalWriter:
        """Connect as pipeline `name`; `Retryable` when no broker answers, `Fatal` when they refuse us."""
        _require_client()
        from tailrace.sink.kafka.opening import open_writer

        return open_writer(self, name, limits, stopped=None)

    def open_unless(self, stopped: Callable[[], bool], name: str, limits: Limits) -> KafkaWriter | TransactionalWriter:
        """See `Awaiting.open_unless`."""
        _require_client()
        from tailrace.sink.kafka.opening import open_writer

        return open_writer(self, name, limits, stopped=stopped)

    def settings(self) -> dict[str, Any]:
        """librdkafka's settings of every client of this sink."""
        address = self.address
        login = {"sasl.username": address.username, "sasl.password": address.password}
        return {
            "bootstrap.servers": address.servers,
            "client.id": "tailrace",
            # A batch is not held back for the acknowledgement of the one before it.
            "socket.nagle.disable": True,
            **{name: value for name, value in login.items() if value is not None},
            **self.security.settings(),
            **_common({**address.query, **self.options}),
        }

    def producing(self, name: str) -> dict[str, Any]:
        """librdkafka's settings of the producer for pipeline `name`."""
        transactions: dict[str, Any] = {
            "transactional.id": self.transactional_id or f"tailrace.{name}",
            "transaction.timeout.ms": int(self.transaction_timeout_s * 1000),
        }
        return {
            "compression.type": self.compression,
            "queue.buffering.max.kbytes": _QUEUE_KB,
            "message.max.bytes": _MESSAGE_NBYTES,
            # One that was deleted under us would come back as the brokers' defaults want it.
            "allow.auto.create.topics": not self.create_topics,
            **self.settings(),
            **self.address.query,
            **self.options,
            "enable.idempotence": True,
            "acks": "all",
            # Java's: a key goes to the partition that a Debezium connector would choose.
            "partitioner": "murmur2_random",
            "message.timeout.ms": 0,
            **(transactions if self.transactions else {}),
        }

    def rules(self) -> list[Topic]:
        """What topics are called and how they are made; the last rule matches all."""
        from tailrace.sink.kafka.topic import rules

        return rules(self.topics, self._otherwise())

    def positions(self, name: str) -> str:
        """The topic of positions of pipeline `name`."""
        return self.positions_topic or f"tailrace.{name}.positions"

    def _otherwise(self) -> Topic:
        return Topic("*", partitions=self.partitions, replication=self.replication, cleanup_policy=self.cleanup_policy)


_PRODUCER_ONLY = (
    "queue.",
    "linger.",
    "batch.",
    "compression.",
    "message.",
    "request.",
    "delivery.",
    "sticky.",
)


def _common(options: Mapping[str, str]) -> dict[str, str]:
    """Options that a client which is no producer takes without a warning too."""
    return {name: value for name, value in options.items() if not name.startswith(_PRODUCER_ONLY)}


def _require_client() -> None:
    import importlib.util

    if importlib.util.find_spec("confluent_kafka") is None:
        raise ConfigError(
            "sink 'kafka' needs confluent_kafka, which is not installed", hint="pip install 'tailrace[kafka]'"
        )
