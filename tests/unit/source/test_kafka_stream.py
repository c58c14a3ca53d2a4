"""What a stream makes of records that were read, without a broker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from confluent_kafka import Consumer

from tailrace._native import EventReader
from tailrace.dialect.kafka.client import Told
from tailrace.model import Batch, Unreadable
from tailrace.source.kafka import Kafka
from tailrace.source.kafka.part import Part, Place, Record
from tailrace.source.kafka.stream import KafkaStream
from tailrace.source.kafka.topic import Topics


@dataclass
class Counting:
    """A reader of records that counts those that it is given."""

    reader: EventReader = field(default_factory=lambda: EventReader("kafka/c/t/0", topic="orders"))
    given: int = 0

    def unknown(self, records: Sequence[Record]) -> Sequence[int]:
        return self.reader.unknown(list(records))

    def feed(self, records: Sequence[Record]) -> None:
        self.given += len(records)
        self.reader.feed(list(records))

    def take(self) -> Batch | None:
        return self.reader.take()


def test_what_is_not_understood_does_not_make_the_rest_be_looked_at_again_and_again() -> None:
    broken, counting = frozenset(range(0, 4_000, 2)), Counting()
    made = Kafka("kafka://b:9092/orders")
    place = Place(kept="group", first="earliest", out_of_range="stop", until_current=False)
    stream = KafkaStream(
        made, cast(Consumer, None), cast(Topics, None), place=place, told=Told(), registry=None,
    )  # fmt: skip
    part = Part("orders", 0, "kafka/c/t/0", reader=cast(EventReader, counting))
    records: list[Any] = [(None, b"{" if at in broken else b'{"id": 1}', 0, at) for at in range(4_000)]
    records += [(None, b'{"id": 1}', 0, at) for at in range(4_000, 5_000)]
    items = stream._read_part(part, records)
    parked = [item for item in items if isinstance(item, Unreadable)]
    assert {int(item.batch.positions[0].text) for item in parked} == broken
    read = [change.position for item in items if isinstance(item, Batch) for change in item]
    assert [int(at.text) for at in read] == [at for at in range(5_000) if at not in broken]
    assert counting.given < 3 * len(records)
