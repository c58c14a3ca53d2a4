"""What the records of one partition say: batches, and between them those that are not understood. Never talks to a
broker."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from confluent_kafka import Message

from tailrace.error import Fatal
from tailrace.model import Batch, Unreadable
from tailrace.registry import Client, Denied
from tailrace.registry.framed import tell
from tailrace.source.kafka.header import Headed, headed
from tailrace.source.kafka.part import Part, Record
from tailrace.source.kafka.unreadable import feed, reader, unreadable, where

if TYPE_CHECKING:
    from tailrace.source.kafka import Kafka

__all__ = ["learn", "lineage_of", "read_part"]


def learn(part: Part, message: Message, source: Kafka) -> None:
    """Look at a record that was read in an earlier life: whose rows lie here a tombstone does not say, and one may come
    first. Keys with a schema say it themselves; what cannot be read says nothing, and was told of then."""
    assert part.reader is not None
    key, value, offset = message.key(), message.value(), message.offset() or 0
    if part.count or offset < part.look or not key or not value or headed(message, None) is not None:
        return
    if not key.startswith(b"{") or b'"payload"' in key:
        return
    record = key, value, message.timestamp()[1], offset
    probe = reader(source, part.lineage, topic="", partition=part.partition)
    if probe.unknown([record]):
        return
    with contextlib.suppress(ValueError):
        probe.feed([record])
    for change in probe.take() or ():
        if change.table is None:
            continue
        # Its key alone: how wide the other columns were is not to be remembered, or a restart would be no way out of
        # that. Of the key's it is, as far back as is looked.
        named = change.table.name  # by the row itself: the probe's topic has no name
        table = {"schema": change.table.schema, "table": named} if named else {}
        image, op = (b"before", b"d") if change.op == "d" else (b"after", b"c")
        made = b'{"%b":%b,"op":"%b","source":%b}' % (image, key, op, json.dumps(table).encode())
        with contextlib.suppress(ValueError):
            part.reader.feed([(key, made, record[2], offset)])
        part.reader.take()


_Fault = tuple[int, str, str | None]
"""How many records come before one that is not understood, why it is not, and what to do."""


def read_part(part: Part, records: list[Record], *, registry: Client | None) -> list[Batch | Unreadable]:
    """What the records of `part` say, in their order. `Retryable` while the registry does not answer, `Denied`
    when it does not let us in: then nothing of them is read."""
    assert part.reader is not None
    items: list[Batch | Unreadable] = []
    part.saw(records)
    headed, part.headed = part.headed, {}
    at, step = 0, len(records)
    while at < len(records):
        # Behind one that is not understood there may be more, and none is to be looked at again for each of them.
        offered = records[at : at + step]
        good, reason, hint = _had(part, offered, headed)
        if (fault := _unlearnt(part, offered[:good], registry=registry)) is not None:
            good, reason, hint = fault
        try:
            feed(part.reader, offered[:good], headed=headed)
            refused = False
        except ValueError as error:
            reason, hint, refused = str(error), None, True
        batch = part.reader.take()
        if batch is not None:
            items.append(batch)
        if refused:  # what was before it was read, and nothing behind
            last = -1 if batch is None else int(batch.positions[0].text)
            good = sum(record[3] <= last for record in offered)
        at, step = at + good, 2 * step
        if refused and (alone := _truncate_alone(part, records[at], headed)) is not None:
            items.append(alone)
            at, step = at + 1, 1
        elif good < len(offered):
            items.append(unreadable(part, records[at], reason, hint=hint, headed=headed.get(records[at][3])))
            at, step = at + 1, 1
    return items


def _truncate_alone(part: Part, record: Record, headed: Mapping[int, Headed]) -> Batch | None:
    """A TRUNCATE that was refused, if it stands in the only partition of its topic. How many there are is asked now:
    others may have come since reading began, and nothing tells before which rows of theirs it was."""
    reader = part.reader
    if reader is None or part.is_alone is None or reader.truncates:
        return None
    reader.truncates = True
    try:
        feed(reader, [record], headed=headed)
    except ValueError:  # it was refused for something else
        return None
    finally:
        reader.truncates = False
    batch = reader.take()
    return batch if part.is_alone() else None


def _had(part: Part, records: list[Record], headed: Mapping[int, Headed]) -> _Fault:
    """The records before the first whose value is elsewhere and cannot be had."""
    for index, record in enumerate(records if headed else ()):
        found = headed.get(record[3])
        if found is not None and found.fault is not None:
            return index, f"{where(part.topic, part.partition, record[3])}: {found.fault}", found.hint
    return len(records), "", None


def _unlearnt(part: Part, records: list[Record], *, registry: Client | None) -> _Fault | None:
    """Ask the registry for the schemas of records; what is to be said of the first that has none."""
    assert part.reader is not None
    try:
        tell(part.reader, records, client=registry)
    except Denied:
        raise
    except Fatal:
        for index, record in enumerate(records):
            try:
                tell(part.reader, [record], client=registry)
            except Denied:
                raise
            except Fatal as error:
                return index, f"{where(part.topic, part.partition, record[3])}: {error.args[0]}", error.hint
    return None


def lineage_of(item: Batch | Unreadable) -> str:
    """Of what was read of one partition."""
    batch = item.batch if isinstance(item, Unreadable) else item
    return batch.positions[0].lineage
