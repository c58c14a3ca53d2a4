"""What is read back of framed records, in a form that can be compared. Never says what is equal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from tailrace._native import Encoded, EventReader, Row
from tailrace.registry import Client
from tailrace.registry.framed import tell

Pair = tuple[bytes | None, bytes | None]
Read = tuple[str, object, object, object, object]


def read(topic: str, records: Sequence[Pair], client: Client | None = None) -> list[Read]:
    """What the changes of one topic's records say."""
    reader = EventReader("kafka/cluster/topic/0", topic=topic)
    given = [(key, value, 0, offset) for offset, (key, value) in enumerate(records)]
    tell(reader, given, client=client)
    reader.feed(given)
    return said(reader)


def said(reader: EventReader) -> list[Read]:
    """What the changes that a reader has read say."""
    return [
        (
            change.op,
            None if change.op == "m" else (change.table.columns, change.table.key),
            shown(change.before),
            shown(change.after),
            change.message and (change.message.prefix, change.message.content),
        )
        for change in reader.take() or ()
    ]


def shown(row: Row | None) -> object:
    """A row's cells as texts, since NaN is not equal to itself."""
    return row and {name: row.text(name) for name in row}


def by_table(parts: Iterable[Encoded]) -> dict[str, list[Pair]]:
    """Keys and values of each table's records, or those of messages."""
    found: dict[str, list[Pair]] = defaultdict(list)
    for part in parts:
        for index in range(len(part)):
            found[part.topic(index).rpartition(".")[2]].append((part.key(index), part.value(index)))
    return found
