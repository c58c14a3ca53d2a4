"""What Confluent's JsonSchemaConverter makes of a record, worked out from JsonConverter's: the slow oracle.

The converter itself cannot be had from Maven Central. Its rules (JsonSchemaData 8.x) are written down here a second
time, with the library that prints its schemas (everit-json-schema 1.14): a Java hash map for every object, and numbers
that go through `java.math.BigDecimal`. The files in `converted` hold a record as JsonConverter has it, and what the
converter's own code printed for it, schema and value: they hold the oracle to the original.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

Schema = Mapping[str, Any]


class Number(str):
    """A number with a point, as Java printed it."""


_INTEGERS = {"int8", "int16", "int32", "int64"}
_FLOATS = {"float": "float32", "double": "float64"}
_PAIR = re.compile(rb"\[(-?\d+),([^\[\],]+)\]")


class HashMap:
    """A `java.util.HashMap` with texts for keys, as Java 17 has it: buckets, doubled when they are full."""

    def __init__(self, room: int = 16) -> None:
        self._buckets: list[list[tuple[str, Any]]] = [[] for _ in range(max(1, room))]
        self._size = 0

    def put(self, key: str, value: Any) -> None:
        """Add an entry; the key must be new."""
        self._bucket(key).append((key, value))
        self._size += 1
        if self._size > len(self._buckets) * 3 // 4:
            entries = list(self)
            self._buckets = [[] for _ in range(len(self._buckets) * 2)]
            for known, held in entries:
                self._bucket(known).append((known, held))

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        for bucket in self._buckets:
            yield from bucket

    def __len__(self) -> int:
        return self._size

    def copied(self) -> HashMap:
        """`new HashMap<>(this)`"""
        return self._again(_power(int(self._size / 0.75 + 1)))

    def sized(self) -> HashMap:
        """A copy that was made for as many entries, as org.json makes it."""
        return self._again(_power(self._size))

    def _again(self, room: int) -> HashMap:
        copy = HashMap(room)
        for key, value in self:
            copy.put(key, value)
        return copy

    def _bucket(self, key: str) -> list[tuple[str, Any]]:
        units, number = key.encode("utf-16-be"), 0
        for at in range(0, len(units), 2):
            number = (number * 31 + int.from_bytes(units[at : at + 2])) & 0xFFFFFFFF
        return self._buckets[(number ^ number >> 16) & len(self._buckets) - 1]


_NO_NUMBERS = ("NaN", "Infinity", "-Infinity")


def schema_text(schema: Schema) -> str:
    """The schema that is registered for a value of this schema, as JsonConverter prints it (`json.loads` with
    `parse_float=Number`)."""
    return _printed(_whole(schema, None))


def payload(value: bytes, member: bytes = b"vector") -> bytes:
    """A value as JsonConverter prints it; entries of the map `member`, whose keys are numbers, are objects here."""
    entries = re.compile(rb'(?<="' + member + rb'":\[)(\[-?\d+,[^\[\],]+\],?)+(?=\])')
    return entries.sub(lambda found: _PAIR.sub(rb'{"key":\1,"value":\2}', found[0]), value)


def _whole(schema: Schema, index: int | None) -> dict[str, Any]:
    if not schema["optional"]:
        return _plain(schema, index)
    place = {} if index is None else {"connect.index": index}
    return {**place, "oneOf": [{"type": "null"}, _plain(schema, None)]}


def _plain(schema: Schema, index: int | None) -> dict[str, Any]:
    kind = schema["type"]
    entries = kind == "map" and (schema["keys"]["type"] != "string" or schema["keys"]["optional"])
    made: dict[str, Any] = {"type": _type(kind, entries)} if kind != "boolean" else {}
    for ours, theirs in (("title", "name"), ("description", "doc")):
        if theirs in schema:
            made[ours] = schema[theirs]
    # Confluent's converter fails on a default that JSON has no number for; Tailrace goes on without it.
    if "default" in schema and not (kind in ("float", "double") and schema["default"] in _NO_NUMBERS):
        made["default"] = _default(schema["default"])
    made |= _properties(schema, index)
    if kind == "array":
        made["items"] = _whole(schema["items"], None)
    elif entries:
        made["items"] = {
            "type": "object",
            "properties": _members([("key", schema["keys"]), ("value", schema["values"])]),
        }
    elif kind == "map":
        made["additionalProperties"] = _whole(schema["values"], None)
    elif kind == "boolean":
        made["type"] = kind
    elif kind == "struct" and schema["fields"]:
        made["properties"] = _members([(field["field"], field) for field in schema["fields"]])
    return made


def _type(kind: str, entries: bool) -> str:
    if kind in _INTEGERS:
        return "integer"
    words = {"float": "number", "double": "number", "bytes": "string", "struct": "object"}
    return words.get(kind, kind) if kind != "map" else "array" if entries else "object"


def _properties(schema: Schema, index: int | None) -> dict[str, Any]:
    known, kind = HashMap(), schema["type"]
    if kind in _INTEGERS or kind in _FLOATS or kind in ("bytes", "map"):
        known.put("connect.type", _FLOATS.get(kind, kind))
    if "version" in schema:
        known.put("connect.version", schema["version"])
    if "parameters" in schema:
        parameters = HashMap()
        for name, value in schema["parameters"].items():
            parameters.put(name, value)
        known.put("connect.parameters", dict(parameters.sized()))
    if index is not None:
        known.put("connect.index", index)
    return dict(known.copied())


def _members(members: Sequence[tuple[str, Schema]]) -> dict[str, Any]:
    known = HashMap()
    for index, (name, schema) in enumerate(members):
        known.put(name, _whole(schema, index))
    return dict(known)


def _default(value: Any) -> Any:
    if isinstance(value, Mapping):
        members = HashMap()
        for name, held in value.items():
            members.put(name, _default(held))
        return dict(members)
    return [_default(held) for held in value] if isinstance(value, list) else value


def _printed(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_printed(name)}:{_printed(held)}" for name, held in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_printed, value)) + "]"
    if isinstance(value, Number):
        return str(Decimal(value)) if "E" in value else value.rstrip("0").rstrip(".")
    return json.dumps(value, ensure_ascii=False)


def _power(number: int) -> int:
    return 1 << max(0, number - 1).bit_length()
