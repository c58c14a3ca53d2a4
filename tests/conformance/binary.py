"""Records in formats whose schemas a registry keeps, from both sides, with their schemas. Never says what is equal."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import fastavro

from servers.debezium import Form, Record
from tailrace._native import Batch
from tailrace.format import Format
from tests.conformance.oracle import MARKER
from tests.conformance.sides import PREFIX

Schemas = Callable[[int], str]
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


def ours(batches: Iterable[Batch], format: Format, schemas: Schemas) -> Iterator[Event]:
    """What Tailrace writes; `schemas` gives the text of an id, as the registry has it."""
    encoder = format.encoder(PREFIX)
    for batch in batches:
        for part in encoder.encode(batch):
            for index in range(len(part)):
                topic, key, value = part.topic(index), part.key(index), part.value(index)
                if not topic.endswith(MARKER):
                    yield Event(topic, _half(key, schemas), _half(value, schemas), tuple(part.headers(index)))
    encoder.close()


def theirs(records: Sequence[Record], form: str) -> Iterator[Event]:
    """What Confluent's converter made of Debezium's records."""
    for record in records:
        both = record.forms[form]
        yield Event(record.topic, _of(both.key), _of(both.value), record.headers)


def _of(form: Form | None) -> Half | None:
    if form is None:
        return None
    assert not form.refused, form.refused
    return _half(form.bytes, lambda _: form.schema)


def _half(framed: bytes | None, schemas: Schemas) -> Half | None:
    if framed is None:
        return None
    assert framed[0] == 0
    text = schemas(int.from_bytes(framed[1:5]))
    schema = fastavro.parse_schema(_plain(json.loads(text)))
    value = read(schema, framed[5:])
    assert written(schema, value) == framed[5:]  # there is one way to write it
    return Half(text, written(schema, _masked(value)))


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


def _masked(value: Any) -> Any:
    """An event without what is a reader's own, as `oracle.masked` has it for JSON."""
    if "source" not in value:
        own = ("seen", *(_PLACES if value.get("__op") == "r" else ()))
        return {name: 0 if name in own else cell for name, cell in value.items()}
    times = {name: 0 for name in ("ts_ms", "ts_us", "ts_ns") if name in value}
    source = {**value["source"], "sequence": ""}
    at_once = value["op"] == "m" and source["txId"] is None
    if source["snapshot"] != "false" or at_once:
        source |= {"ts_ms": 0, "ts_us": 0, "ts_ns": 0}
    if source["snapshot"] != "false":
        source |= {"txId": 0, "lsn": 0}
    return {**value, **times, "source": source}
