"""Records in formats whose schemas a registry keeps, from both sides, with their schemas. Never says what is equal."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import fastavro

from servers.debezium import Form, Record
from tailrace._native import Batch, Encoded
from tailrace.error import Reject
from tailrace.format import Encoder, Format
from tailrace.registry import Registry
from tests.conformance.oracle import MARKER
from tests.conformance.sides import PREFIX

Mask = Callable[[str, bytes], bytes]
"""Of a schema and of what follows the frame: the same value without what differs by nature."""
_LOGICAL = ("logicalType", "connect.default")
_PLACES = ("__lsn", "__ts_ms", "__source_ts_ms")
"""Fields of a row that transforms copied out of its envelope, and that are a reader's own in a snapshot."""


@dataclass(frozen=True, slots=True)
class Half:
    """A key or a value, without what differs by nature."""

    schema: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Event:
    """A record as Kafka would get it, from either side."""

    topic: str
    key: Half | None
    value: Half | None
    headers: tuple[tuple[str, bytes], ...]

    @property
    def table(self) -> str:
        """The last part of its topic."""
        return self.topic.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Both:
    """What both sides wrote of all cases, and what they were given."""

    tailrace: Sequence[Event]
    debezium: Sequence[Event]
    batches: Sequence[Batch]
    records: Sequence[Record]
    refused: Sequence[str] = ()
    """Why Tailrace refused the changes that it did; they are on neither side."""


def both(batches: Sequence[Batch], records: Sequence[Record], format: Format, *, form: str, mask: Mask) -> Both:
    """What Tailrace writes in `format`, with schemas as the registry has them, and what Confluent's converter made."""
    client, encoder, refused = Registry(format["schema_registry_url"] or "").open(), format.encoder(PREFIX), []

    def half(framed: bytes | None) -> Half | None:
        if framed is None:
            return None
        assert framed[0] == 0
        text = client.schema(int.from_bytes(framed[1:5])).text
        return Half(text, mask(text, framed[5:]))

    ours = [
        Event(part.topic(index), half(part.key(index)), half(part.value(index)), tuple(part.headers(index)))
        for batch in batches
        for part in _encoded(encoder, batch, refused)
        for index in range(len(part))
        if not part.topic(index).endswith(MARKER)
    ]
    theirs = [
        Event(record.topic, _of(form.key, mask), _of(form.value, mask), record.headers)
        for record, form in ((record, record.forms[form]) for record in records)
        if not refused or not any(half and half.refused for half in (form.key, form.value))
    ]
    encoder.close()
    client.close()
    return Both(ours, theirs, batches, records, refused)


def _encoded(encoder: Encoder, batch: Batch, refused: list[str]) -> Sequence[Encoded]:
    """What is written of a batch; what is refused of it is left out, and why is noted."""
    while True:
        try:
            return list(encoder.encode(batch))
        except Reject as reject:
            refused.extend(reject.reasons.values())
            batch = batch.without(sorted(reject.reasons))


def _of(form: Form | None, mask: Mask) -> Half | None:
    if form is None:
        return None
    assert not form.refused, form.refused
    assert form.bytes[0] == 0
    return Half(form.schema, mask(form.schema, form.bytes[5:]))


def avro(text: str, data: bytes) -> bytes:
    """A value in Avro's binary form without what differs by nature."""
    schema = fastavro.parse_schema(_plain(json.loads(text)))
    value = read(schema, data)
    assert written(schema, value) == data  # there is one way to write it
    return written(schema, masked(value))


def read(schema: Any, data: bytes) -> Any:
    """A value by fastavro; all of the bytes must be part of it."""
    stream = io.BytesIO(data)
    value = fastavro.schemaless_reader(stream, schema, None)
    assert not stream.read()
    return value


def written(schema: Any, value: Any) -> bytes:
    """A value by fastavro."""
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, schema, value)
    return stream.getvalue()


def _plain(schema: Any) -> Any:
    """A schema without what would make fastavro turn bytes and numbers into something else."""
    if isinstance(schema, list):
        return [_plain(branch) for branch in schema]
    if isinstance(schema, Mapping):
        return {name: _plain(value) for name, value in schema.items() if name not in _LOGICAL}
    return schema


def masked(value: Any) -> Any:
    """An event without what is a reader's own, as `oracle.masked` has it for JSON."""
    if "source" not in value:
        own = ("seen", *(_PLACES if value.get("__op") == "r" else ()))
        return {name: 0 if name in own else cell for name, cell in value.items()}
    times = {name: 0 for name in ("ts_ms", "ts_us", "ts_ns") if name in value}
    # Its first number is the last commit, of which each reader has its own idea.
    sequence = value["source"]["sequence"]
    sequence = sequence["value"] if isinstance(sequence, dict) else sequence  # a wrapper of Protobuf's
    source = {**value["source"], "sequence": json.loads(sequence)[1]}
    own: tuple[str, ...] = ()
    if source["snapshot"] != "false" or (value["op"] == "m" and source.get("txId") is None):
        own = ("ts_ms", "ts_us", "ts_ns")
    if source["snapshot"] != "false":
        own += ("txId", "lsn")
        source["sequence"] = ""
    source |= {name: 0 for name in own if name in source}
    return {**value, **times, "source": source}
