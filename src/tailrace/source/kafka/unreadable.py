"""A record that is not understood, as a message that can be parked: all of it, as it came; and read once more. Never
says what is in it."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tailrace._native import BatchBuilder, EventReader
from tailrace.error import Fatal, Reject, Retryable
from tailrace.model import Batch, Change, Position, Unreadable
from tailrace.registry.framed import tell
from tailrace.source.kafka.header import Headed, read
from tailrace.source.kafka.part import Part, Record

if TYPE_CHECKING:
    from tailrace.source.kafka import Kafka

__all__ = ["MEND", "feed", "read_again", "reader", "unreadable", "where"]

MEND = (
    "give the pipeline dead_letters to park such records in, or mend whoever writes them; unless the sink keeps the"
    " position, an offset of the group that Kafka's tools set behind it, while the pipeline is stopped, skips it too"
)
_PREFIX = "tailrace.unreadable"
_AT_MS_MAX = 253_402_300_799_999
"""The end of 9999: a record may have any time."""


def unreadable(
    part: Part, record: Record, reason: str, *, hint: str | None = None, headed: Headed | None = None
) -> Unreadable:
    """The record of `part` as a message with its place, its key, value and time, in base64 and milliseconds, and with
    the headers that say what its value is."""
    key, value, at_ms, offset = record
    value = value if headed is None else headed.raw
    texts = {"key": key, "value": value}
    content: dict[str, object] = {
        name: None if raw is None else base64.b64encode(raw).decode() for name, raw in texts.items()
    }
    position = Position(part.lineage, f"{offset:020d}")
    builder = BatchBuilder(part.lineage, connector="kafka")
    builder.begin(xid=0, committed_at_us=min(max(at_ms, 0), _AT_MS_MAX) * 1000, at=position.text)
    content |= {"topic": part.topic, "partition": part.partition, "timestamp_ms": at_ms}
    if headed is not None:
        content["headers"] = dict(headed.headers)
    builder.message(_PREFIX, json.dumps(content).encode(), transactional=True)
    builder.commit()
    return Unreadable(Batch.progress(position).with_changes(list(builder.take())), reason, hint or MEND)


def reader(source: Kafka, lineage: str, *, topic: str, partition: int, truncates: bool = True) -> EventReader:
    """What turns the records of a partition into batches. An operator who has a TRUNCATE replayed says where it is."""
    return EventReader(
        lineage,
        topic=topic,
        partition=partition,
        plain=source.plain,
        unavailable_value_placeholder=source.unavailable_value_placeholder,
        binary_handling_mode=source.binary_handling_mode,
        truncates=truncates,
    )


def feed(reader: EventReader, records: list[Record], *, headed: Mapping[int, Headed]) -> None:
    """Read records, data of CloudEvents in `headed` with their headers; `ValueError` for one that is not understood."""
    found = {offset: attributes for offset, each in headed.items() if (attributes := each.attributes) is not None}
    reader.feed(records, attributes=found or None)


def read_again(source: Kafka, batch: Batch) -> Batch:
    """See `Rereading.read_again`. Neighbours are read as such: a tombstone says nothing new behind its delete."""
    schemas, changes, reasons = source.schemas(), list[Change](), dict[int, str]()
    with contextlib.ExitStack() as opened:
        registry = None if schemas is None else opened.enter_context(contextlib.closing(schemas.open()))
        made, behind, silent = None, None, ""
        for index, change in enumerate(batch):
            if silent:
                reasons[index] = silent
                continue
            at = change.position
            try:
                place, record, found = _content(change, source)
                if found is not None and found.fault is not None:
                    raise ValueError(f"{where(**place, offset=record[3])}: {found.fault}")
                if made is None or behind != (at.lineage, record[3]):
                    made = reader(source, at.lineage, **place)
                try:
                    tell(made, [record], client=registry)
                except (Fatal, Retryable) as error:
                    silent = f"not asked for once more: {error.args[0]}" if isinstance(error, Retryable) else ""
                    raise ValueError(f"{where(**place, offset=record[3])}: {error.args[0]}") from error
                feed(made, [record], headed={} if found is None else {record[3]: found})
                changes += made.take() or ()
                behind = at.lineage, record[3] + 1
            except ValueError as error:
                reasons[index] = str(error.args[0])
                made = None
    if reasons:
        raise Reject(reasons)
    return batch.with_changes(changes)


def where(topic: str, partition: int, offset: int) -> str:
    """A record's place, as messages name it."""
    return f"topic {topic}, partition {partition}, offset {offset}"


def _content(change: Change, source: Kafka) -> tuple[dict[str, Any], Record, Headed | None]:
    """What `unreadable` put into the message: where the record stood, the record, and what its headers say."""
    if change.message is None or change.message.prefix != _PREFIX:
        raise ValueError("this is no record of a topic")
    content = json.loads(change.message.content)
    if "topic" not in content:
        raise ValueError("a version that noted no topic has parked this record: write it anew, and drop this one")
    key, value = (None if raw is None else base64.b64decode(raw) for raw in (content["key"], content["value"]))
    place = {name: content[name] for name in ("topic", "partition")}
    found = read(list(content.get("headers", {}).items()), value, source.claims())
    value = value if found is None else found.value
    return place, (key, value, content["timestamp_ms"], int(change.position.text)), found
