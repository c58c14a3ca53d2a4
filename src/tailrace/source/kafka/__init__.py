"""Reads topics that Tailrace or a real Debezium wrote, or plain JSON, as a member of a consumer group. Never imports
its client before it is opened.

At least once with the group's own offsets; exactly once into a sink that keeps the position with its rows.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tailrace._native import EventReader
from tailrace.contract import Positions
from tailrace.dialect.kafka.address import Address, Security, parse
from tailrace.dialect.kafka.objects import Objects, place_of, refuse_wrong
from tailrace.error import ConfigError
from tailrace.model import Batch, Finding, Limits
from tailrace.registry import Registry
from tailrace.source.kafka.pattern import refuse_broken
from tailrace.source.kafka.registry import SchemaRegistry

if TYPE_CHECKING:
    from tailrace.source.kafka.stream import KafkaStream

__all__ = ["Kafka", "SchemaRegistry", "Security"]

tailrace_contract = 1
_OURS = (
    "auto.offset.reset",
    "bootstrap.servers",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "partition.assignment.strategy",
)
"""Settings that promises hang on: their values are ours."""
_NUMBERS = {"max.poll.interval.ms": "300000", "message.max.bytes": "1000000"}
"""Settings that we calculate with, and what they may look like."""
_FIELDS = ("group", "schema_registry_url", "claim_check")
"""What the query of a URL may say beside librdkafka's settings."""
_COMMON = (
    "ssl.",
    "enable.ssl.",
    "sasl.",
    "enable.sasl.",
    "security.",
    "socket.",
    "broker.",
    "client.",
    "reconnect.",
    "metadata.",
)
_QUEUE_KB = 8 << 10
_PARTITION_BYTES = 256 << 10
"""Of one answer, as it was compressed: events with schemas are twenty times as large when they are unpacked."""

_ANSWER_BYTES = 1 << 20
"""Of one answer for all partitions together: what lies in memory must not grow with their number. It may be twenty
times as large when it is unpacked, and the client keeps as much again beside small records."""


@dataclass(frozen=True, slots=True)
class Kafka:
    """Topics of a cluster at `kafka://[user:password@]host:port[,host:port…][/topic[,topic…]][?group=…]`.

    `topics` are names, or globs (`shop.public.*`) that also take topics that are made later. All processes of one
    `group` (default `tailrace.<pipeline>`) share their partitions; `group_protocol="consumer"` is KIP-848's, and
    `member` a static member's name, which keeps its partitions over a restart. Values are events in Debezium's JSON,
    with or without schemas, or in Avro, JSON or Protobuf that is framed for a schema registry, which `registry` leads
    to, or `schema_registry_url` in the query; or plain JSON or Protobuf: rows that are appended (op c), or with
    `plain="upsert"` what keys hold.

    `positions` says where reading goes on: `group` after the offsets that the group committed (at least once), `sink`
    after the position that the sink has stored with its rows (exactly once), `auto` chooses by whether it has.
    `auto_offset_reset` is for partitions that were never read; of what was read and is no longer there `out_of_range`
    decides: `stop`, or go on at the `earliest` or `latest` record that is.

    A TRUNCATE stands in one partition, and nothing tells before which rows of the others it was: of a topic with
    several it is taken as a record that cannot be read, unless `truncate="apply"` says to take it where it stands.

    `claim_check`, which the query may name too, is the folder, or `s3://bucket/prefix`, in which the Kafka sink has
    stored values that were too large for their topics; no other file is read, and a record that stands for such a
    value is refused without it.

    `unavailable_value_placeholder` is that of whoever writes: a text, or bytes in hex behind `hex:`. So is
    `binary_handling_mode`: no event says that the content of its message is hex. `options`, and the query of the URL,
    are librdkafka's own settings, by their names.
    """

    kind: ClassVar[str] = "kafka"

    url: str = field(repr=False)
    topics: Sequence[str] = ()
    group: str | None = None
    group_protocol: Literal["classic", "consumer"] = "classic"
    member: str | None = None
    positions: Literal["auto", "group", "sink"] = "auto"
    auto_offset_reset: Literal["earliest", "latest"] = "earliest"
    out_of_range: Literal["stop", "earliest", "latest"] = "stop"
    plain: Literal["append", "upsert"] = "append"
    truncate: Literal["stop", "apply"] = "stop"
    unavailable_value_placeholder: str = "__debezium_unavailable_value"
    binary_handling_mode: Literal["bytes", "base64", "base64-url-safe", "hex"] = "bytes"
    claim_check: Path | str | None = None
    registry: SchemaRegistry | None = None
    security: Security = field(default_factory=Security)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.topics, str):
            raise ConfigError("topics is one text", hint=f"write it as a list: [{self.topics!r}]")
        address = self.address
        named = tuple(topic for topic in address.path.split(",") if topic)
        if named and self.topics:
            raise ConfigError("topics stand in the URL and in topics", hint="leave one of the two out")
        object.__setattr__(self, "topics", named or tuple(self.topics))
        if not self.topics or not all(self.topics):
            raise ConfigError("no topic is named", hint='for example topics = ["shop.public.*"]')
        refuse_broken(self.topics)
        address.refuse_own(self.options, _OURS)
        for name, example in _NUMBERS.items():
            number = str(self._given().get(name, example))
            if not number.isdecimal() or not int(number):
                raise ConfigError(f"the option {name!r} is no whole number above 0", hint=f"for example {example}")
        try:
            EventReader("", topic="", unavailable_value_placeholder=self.unavailable_value_placeholder)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        if self.claim_check is not None and "claim_check" in address.query:
            raise ConfigError("claim_check stands in the URL and beside it", hint="leave one of the two out")
        if self.registry is not None and "schema_registry_url" in address.query:
            raise ConfigError("a schema registry stands in the URL and in registry", hint="leave one of the two out")
        refuse_wrong(self._claim_check())
        address.require_mechanism(self.security, self.options)

    @property
    def address(self) -> Address:
        """The URL, taken apart."""
        return parse(self.url)

    def check(self) -> list[Finding]:
        """Whether the brokers answer and let us in, the topics are there, and the group is ours to join."""
        _require_client()
        from tailrace.source.kafka.check import check

        return check(self)

    def open(
        self,
        name: str,
        positions: Positions,
        limits: Limits,
        *,
        until_current: bool = False,
        stop: threading.Event | None = None,
    ) -> KafkaStream:
        """Join the group; see `Source.open`. Lineages come with the partitions (`Shared`)."""
        _require_client()
        from tailrace.source.kafka.opening import open_stream

        return open_stream(self, name, positions, limits=limits, until_current=until_current, stop=stop)

    def read_again(self, batch: Batch) -> Batch:
        """Read records that were not understood once more, schemas that the registry knows by now included; see
        `Rereading`."""
        _require_client()
        from tailrace.source.kafka.unreadable import read_again

        return read_again(self, batch)

    def drop(self, name: str) -> list[str]:
        """Delete the consumer group with its offsets; `Retryable` while members are in it."""
        _require_client()
        from tailrace.source.kafka.opening import drop_group

        return drop_group(self, name)

    def group_of(self, name: str) -> str:
        """The group that pipeline `name` joins."""
        return self.group or self.address.query.get("group") or f"tailrace.{name}"

    def schemas(self) -> Registry | None:
        """The registry that knows the schemas of records; None when none was named."""
        url = self.address.query.get("schema_registry_url")
        named = self.registry if url is None else SchemaRegistry(url)
        return None if named is None else named.settings()

    def claims(self) -> Path | Objects | None:
        """Where the values are that are too large for their topics; None when no place was named."""
        return place_of(self._claim_check())

    def settings(self) -> dict[str, Any]:
        """librdkafka's settings of every client of this source."""
        address = self.address
        login = {"sasl.username": address.username, "sasl.password": address.password}
        return {
            "bootstrap.servers": address.servers,
            "client.id": "tailrace",
            # What is asked for while an answer is on its way is not held back for it.
            "socket.nagle.disable": True,
            **{name: value for name, value in login.items() if value is not None},
            **self.security.settings(),
            **{name: value for name, value in self._given().items() if _is_common(name)},
        }

    def settle_s(self) -> float:
        """How long a member may take to let go of partitions before they are given up: half of max.poll.interval.ms."""
        return int(self._given().get("max.poll.interval.ms", 300_000)) / 1000 / 2

    def consuming(self, name: str) -> dict[str, Any]:
        """librdkafka's settings of the consumer of pipeline `name`; what it holds is bounded."""
        classic = {"partition.assignment.strategy": "cooperative-sticky"} if self.group_protocol == "classic" else {}
        ignored = {} if any(topic.startswith("__") for topic in self.topics) else {"topic.blacklist": "^__"}
        static = {"group.instance.id": self.member} if self.member else {}
        return {
            "queued.max.messages.kbytes": _QUEUE_KB,
            "fetch.message.max.bytes": _PARTITION_BYTES,
            "fetch.max.bytes": max(_ANSWER_BYTES, int(self._given().get("message.max.bytes", 0))),
            "fetch.queue.backoff.ms": 10,
            "isolation.level": "read_committed",
            **ignored,
            **self.settings(),
            **self._given(),
            "group.id": self.group_of(name),
            "group.protocol": self.group_protocol,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            # Only news of the end tells of marks of transactions behind the last record: no record, and no lag.
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            **classic,
            **static,
        }

    def _claim_check(self) -> Path | str | None:
        return self.claim_check or self.address.query.get("claim_check")

    def _given(self) -> dict[str, str]:
        query = {name: value for name, value in self.address.query.items() if name not in _FIELDS}
        return {**query, **self.options}


def _is_common(name: str) -> bool:
    """Whether a setting is of connections: an admin client takes no other."""
    return name.startswith(_COMMON)


def _require_client() -> None:
    try:
        import confluent_kafka  # noqa: F401 - only whether it is there
    except ImportError:
        raise ConfigError(
            "the kafka source needs confluent-kafka, which is not installed", hint="pip install 'tailrace[kafka]'"
        ) from None
