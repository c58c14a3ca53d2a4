"""Tables and a registry's subjects for tests of framed formats; each test has a prefix of its own there."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from servers import registry as servers_registry
from tailrace._native import Batch, Column, Table
from tailrace.format import Format
from tests.unit.native.made import made
from tests.waiting import until

ID = Column("id", "int8", nullable=False)
ORDERS = Table("public", "orders", [ID, Column("note", "text")], key=["id"])
WIDER = Table("public", "orders", [ID, Column("note", "text"), Column("amount", "numeric(12,2)")], key=["id"])
OTHER = Table("public", "orders", [ID, Column("note", "bool", nullable=False)], key=["id"])
made_of = partial(made, database="shop")

Pair = tuple[bytes | None, bytes | None]
Encode = Callable[..., list[Pair]]


@dataclass(frozen=True, slots=True)
class Subjects:
    """The shared registry, the form of keys and values, and the prefix of what this test registers."""

    url: str
    form: str
    prefix: str

    def format(self, **options: Any) -> Format:
        """Both halves in the form, unless options say otherwise."""
        both = {"key_converter": self.form, "value_converter": self.form, "schema_registry_url": self.url}
        return Format(**{**both, "topic_prefix": self.prefix, **options})

    @property
    def client(self) -> SchemaRegistryClient:
        """A client that remembers nothing yet."""
        return SchemaRegistryClient({"url": self.url})

    def names(self) -> set[str]:
        """The subjects of this test, without its prefix."""
        return {name.removeprefix(self.prefix) for name in self.client.get_subjects() if self.prefix in name}

    def schema(self, framed: bytes | None) -> Schema:
        """What the registry has under the id in front of a key or value."""
        assert framed is not None and framed[0] == 0
        return self.client.get_schema(int.from_bytes(framed[1:5]))


@pytest.fixture
def subjects(registry: servers_registry.Server) -> Callable[[str], Subjects]:
    """Makes subjects for a form."""
    return lambda form: Subjects(registry.url, form, f"p{uuid.uuid4().hex}")


@pytest.fixture
def records() -> Iterator[Encode]:
    """Encodes batches with one encoder; the records' keys and values."""
    open_encoders = []

    def encode(format: Format, *batches: Batch) -> list[Pair]:
        encoder = format.encoder("orders")
        open_encoders.append(encoder)
        parts = [part for batch in batches for part in encoder.encode(batch)]
        return [(part.key(index), part.value(index)) for part in parts for index in range(len(part))]

    yield encode
    for encoder in open_encoders:
        encoder.close()


def beats_of(subjects: Subjects, batch: Batch, **options: Any) -> list[Pair]:
    """Keys and values of the heartbeats that come while `batch` is encoded again and again."""
    encoder = subjects.format(heartbeat_interval_ms="1", **options).encoder("orders")
    beats: list[Pair] = []

    def beaten() -> bool:
        for part in encoder.encode(batch):
            of_beats = (index for index in range(len(part)) if "heartbeat" in part.topic(index))
            beats.extend((part.key(index), part.value(index)) for index in of_beats)
        return bool(beats)

    until(beaten, "for a heartbeat")
    encoder.close()
    names = {name for name in subjects.client.get_subjects() if subjects.prefix in name}
    topic = f"__debezium-heartbeat.{subjects.prefix}"
    assert {f"{topic}-key", f"{topic}-value"} < names
    return beats
