"""Encodes batches in formats whose schemas a registry keeps. Never writes a value itself: that is Rust's.

A schema is asked for when a batch first needs it, once for each subject and table version: a table that changes on the
way registers its new schema before the first row that has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from tailrace._native import DebeziumJson, Encoded, Unregistered
from tailrace.model import Batch
from tailrace.registry import Client, Registry, SchemaKind

__all__ = ["Encoder", "Side"]


@dataclass(frozen=True, slots=True)
class Side:
    """Where the schemas of keys, or of values, are kept, and how their subjects are called."""

    registry: Registry
    strategy: str

    def subject(self, topic: str, half: str, name: str) -> str:
        """What Confluent's strategy of that name calls the subject of record `name` in `topic`."""
        return {
            "TopicNameStrategy": f"{topic}-{half}",
            "RecordNameStrategy": name,
            "TopicRecordNameStrategy": f"{topic}-{name}",
        }[self.strategy]


class Encoder:
    """A format's encoder with its connections to registries. Not safe for use by several threads."""

    def __init__(
        self, profile: DebeziumJson, *, key: Side | None, value: Side | None, called: Callable[[str], str] = str
    ) -> None:
        self._profile = profile
        self._called = called
        self._sides = {half: side for half, side in (("key", key), ("value", value)) if side is not None}
        self._clients: dict[Registry, Client] = {}
        with ExitStack() as undo:
            undo.callback(self.close)
            for side in self._sides.values():
                if side.registry not in self._clients:
                    self._clients[side.registry] = side.registry.open()
            undo.pop_all()

    def encode(self, batch: Batch) -> Iterator[Encoded]:
        """The records of `batch`, one `Encoded` a segment.

        `Reject` for changes that the format cannot carry; `Retryable` when a registry does not answer, `Fatal` with
        subject and reason when it refuses a schema.
        """
        parts = batch.json(self._profile)
        while True:
            try:
                yield next(parts)
            except StopIteration:
                return
            except Unregistered as wanted:
                self._register(wanted)

    def close(self) -> None:
        """Close the connections. Idempotent."""
        for client in self._clients.values():
            client.close()

    def _register(self, wanted: Unregistered) -> None:
        for version, half, topic, name, kind, text in wanted.schemas:
            side = self._sides[half]
            subject = side.subject(self._called(topic), half, name)
            schema_id = self._clients[side.registry].register(subject, SchemaKind(kind), text)
            self._profile.register(version, half, schema_id)
