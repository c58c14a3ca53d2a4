"""A record that is not understood, as a message that can be parked: all of it, as it came. Never says what is in it."""

from __future__ import annotations

import base64
import json

from tailrace._native import BatchBuilder
from tailrace.model import Batch, Position, Unreadable
from tailrace.source.kafka.part import Part, Record

__all__ = ["MEND", "unreadable"]

MEND = (
    "give the pipeline dead_letters to park such records in, or mend whoever writes them; to go on behind it, set the"
    " group's offset there and forget the pipeline's position (tailrace reset)"
)
_PREFIX = "tailrace.unreadable"
_AT_MS_MAX = 253_402_300_799_999
"""The end of 9999: a record may have any time."""


def unreadable(part: Part, record: Record, reason: str, *, hint: str | None = None) -> Unreadable:
    """The record of `part` as a message with its key, value and time, in base64 and milliseconds."""
    key, value, at_ms, offset = record
    texts = {"key": key, "value": value}
    content: dict[str, object] = {
        name: None if raw is None else base64.b64encode(raw).decode() for name, raw in texts.items()
    }
    position = Position(part.lineage, f"{offset:020d}")
    builder = BatchBuilder(part.lineage, connector="kafka")
    builder.begin(xid=0, committed_at_us=min(max(at_ms, 0), _AT_MS_MAX) * 1000, at=position.text)
    builder.message(_PREFIX, json.dumps(content | {"timestamp_ms": at_ms}).encode(), transactional=True)
    builder.commit()
    return Unreadable(Batch.progress(position).with_changes(list(builder.take())), reason, hint or MEND)
