"""What is made of the records of one partition, without a broker."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from tailrace._native import EventReader
from tailrace.error import Fatal
from tailrace.model import Batch, Unreadable
from tailrace.registry import Client, Denied, Registered
from tailrace.source.kafka.header import read
from tailrace.source.kafka.part import Part, Record
from tailrace.source.kafka.reading import read_part

CLOUD: list[tuple[str, bytes | str | None]] = [("ce_specversion", b"1.0"), ("ce_iodebeziumop", b"u")]


@dataclass
class Counting:
    """A reader of records that counts those that it is given."""

    reader: EventReader = field(default_factory=lambda: EventReader("kafka/c/t/0", topic="orders"))
    given: int = 0

    def unknown(self, records: Sequence[Record]) -> Sequence[int]:
        return self.reader.unknown(list(records))

    def feed(self, records: Sequence[Record], *, attributes: Mapping[int, bytes] | None = None) -> None:
        self.given += len(records)
        self.reader.feed(list(records), attributes=attributes)

    def take(self) -> Batch | None:
        return self.reader.take()


def test_what_is_not_understood_does_not_make_the_rest_be_looked_at_again_and_again() -> None:
    broken, counting = frozenset(range(0, 4_000, 2)), Counting()
    part = Part("orders", 0, "kafka/c/t/0", reader=cast(EventReader, counting))
    records: list[Any] = [(None, b"{" if at in broken else b'{"id": 1}', 0, at) for at in range(4_000)]
    records += [(None, b'{"id": 1}', 0, at) for at in range(4_000, 5_000)]
    items = read_part(part, records, registry=None)
    parked = [item for item in items if isinstance(item, Unreadable)]
    assert {int(item.batch.positions[0].text) for item in parked} == broken
    good = [change.position for item in items if isinstance(item, Batch) for change in item]
    assert [int(at.text) for at in good] == [at for at in range(5_000) if at not in broken]
    assert counting.given < 3 * len(records)


@dataclass
class Turning:
    """A registry that does not know a schema, and then something else in its place."""

    errors: list[Fatal]

    def schema(self, schema_id: int) -> Registered:
        raise self.errors.pop(0)


def test_no_record_is_parked_for_what_came_in_a_registrys_place_meanwhile() -> None:
    part = Part("orders", 0, "kafka/c/t/0", reader=EventReader("kafka/c/t/0", topic="orders"))
    client = cast(Client, Turning([Fatal("not found"), Denied("its answer is none of a schema registry's")]))
    with pytest.raises(Denied):
        read_part(part, [(None, b"\0\0\0\0\7\2", 0, 0)], registry=client)


@pytest.mark.parametrize(("table", "understood"), [("Bestellungen_ä".encode(), True), (b"orders\xff", False)])
def test_a_header_that_names_a_table_is_utf_8(table: bytes, understood: bool) -> None:
    value = b'{"before":null,"after":{"id":1}}'
    part = Part("orders", 0, "kafka/c/t/0", reader=EventReader("kafka/c/t/0", topic="orders"))
    found = read([*CLOUD, ("ce_iodebeziumtable", table)], value, None)
    assert found is not None
    part.headed[0] = found
    [item] = read_part(part, [(b'{"id":1}', value, 0, 0)], registry=None)
    if understood:
        assert isinstance(item, Batch)
        assert [(change.op, change.table and change.table.name) for change in item] == [("u", table.decode())]
        return
    assert isinstance(item, Unreadable)
    assert "not UTF-8" in item.reason
    [change] = item.batch
    assert change.message is not None
    kept = json.loads(change.message.content)["headers"]
    assert read(list(kept.items()), value, None) == found  # replayed it is no other record
