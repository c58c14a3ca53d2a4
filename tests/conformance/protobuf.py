"""Protobuf read and written in plain Python, by the text of its schema alone: slow, and apart from what is tested.

It knows what Confluent's converter prints: messages in messages, scalars, repeated fields, and the few messages that
schemas import. Source: the Protocol Buffers documentation, "Encoding" and "Language Guide (proto 3)".
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from tests.conformance import binary

_IMPORTED = """
message confluent.type.Decimal { bytes value = 1; uint32 precision = 2; int32 scale = 3; }
message google.type.Date { int32 year = 1; int32 month = 2; int32 day = 3; }
message google.type.TimeOfDay { int32 hours = 1; int32 minutes = 2; int32 seconds = 3; int32 nanos = 4; }
message google.protobuf.Timestamp { int64 seconds = 1; int32 nanos = 2; }
message google.protobuf.DoubleValue { double value = 1; }
message google.protobuf.FloatValue { float value = 1; }
message google.protobuf.Int64Value { int64 value = 1; }
message google.protobuf.Int32Value { int32 value = 1; }
message google.protobuf.BoolValue { bool value = 1; }
message google.protobuf.StringValue { string value = 1; }
message google.protobuf.BytesValue { bytes value = 1; }
"""
_NUMBERS = {"int32": 0, "int64": 0, "uint32": 0, "bool": 0, "double": 1, "float": 5}
"""Types of numbers, and the wire type of each."""
_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|[\w.]+|\S')


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a message."""

    name: str
    kind: str
    repeated: bool
    optional: bool


@dataclass(frozen=True, slots=True)
class Message:
    """A message: its fields by number, and the messages in it."""

    name: str
    fields: dict[int, Field] = field(default_factory=dict)
    nested: dict[str, Message] = field(default_factory=dict)


@cache
def messages(text: str) -> tuple[Message, ...]:
    """The messages of a schema, those that stand in no other."""
    return tuple(_messages(iter(_TOKEN.findall(text))))


def mask(text: str, data: bytes) -> bytes:
    """What follows the frame, an index and a message, without what differs by nature."""
    message, start = _place(text, data)
    read = _read([message], data[start:])
    assert _written([message], read) == data[start:]  # there is one way to write it
    return data[:start] + _written([message], binary.masked(read))


def value(text: str, data: bytes) -> dict[str, Any]:
    """What follows the frame as fields by name; those that were not written are not there."""
    message, start = _place(text, data)
    return _read([message], data[start:])


def _place(text: str, data: bytes) -> tuple[Message, int]:
    """The message that follows, and where. Its index: a zero for the first, or how deep it lies, one, and its place."""
    assert data[0] in (0, 2)
    return (messages(text)[0], 1) if data[0] == 0 else (messages(text)[data[1] // 2], 2)


def _messages(tokens: Iterator[str]) -> Iterator[Message]:
    for token in tokens:
        if token == "message":
            yield _message(tokens)
        elif token in ("syntax", "package", "import", "option"):
            _skip(tokens, ";")


def _message(tokens: Iterator[str]) -> Message:
    message = Message(next(tokens))
    assert next(tokens) == "{"
    for token in tokens:
        if token == "}":
            return message
        if token == "message":
            nested = _message(tokens)
            assert nested.name not in message.nested
            message.nested[nested.name] = nested
            continue
        label = token if token in ("repeated", "optional") else ""
        kind = next(tokens) if label else token
        name, _, number = next(tokens), next(tokens), int(next(tokens))
        assert number not in message.fields
        message.fields[number] = Field(name, kind, label == "repeated", label == "optional")
        _skip(tokens, ";")
    raise AssertionError("a message that does not end")


def _skip(tokens: Iterator[str], last: str) -> None:
    """Pass over everything up to `last`, brackets with all that they hold."""
    closing = {"[": "]", "{": "}"}
    for token in tokens:
        if token == last:
            return
        if token in closing:
            _skip(tokens, closing[token])


_KNOWN = {message.name: message for message in messages(_IMPORTED)}


def _type(scopes: list[Message], kind: str) -> list[Message]:
    """The message that a field's type names, with those around it."""
    for depth in range(len(scopes), 0, -1):
        if kind in scopes[depth - 1].nested:
            return [*scopes[:depth], scopes[depth - 1].nested[kind]]
    return [_KNOWN[kind]]


def _read(scopes: list[Message], data: bytes) -> dict[str, Any]:
    """The fields of a message that are there, by name; numbers must ascend."""
    value: dict[str, Any] = {}
    at = last = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        assert number >= last
        last, known = number, scopes[-1].fields[number]
        if wire == 2:
            length, at = _varint(data, at)
            part, at = data[at : at + length], at + length
            assert len(part) == length
            read = _packed(known, part) if known.kind in _NUMBERS else [_whole(scopes, known, part)]
            assert known.repeated or (len(read) == 1 and known.kind not in _NUMBERS)
        else:
            assert wire == _NUMBERS[known.kind] and not known.repeated
            number_read, at = _number(known.kind, data, at)
            read = [number_read]
        if known.repeated:
            value.setdefault(known.name, []).extend(read)
        else:
            assert known.name not in value
            [value[known.name]] = read
    return value


def _whole(scopes: list[Message], known: Field, part: bytes) -> Any:
    if known.kind == "bytes":
        return part
    return part.decode() if known.kind == "string" else _read(_type(scopes, known.kind), part)


def _packed(known: Field, part: bytes) -> list[Any]:
    read, at = [], 0
    while at < len(part):
        number, at = _number(known.kind, part, at)
        read.append(number)
    return read


def _number(kind: str, data: bytes, at: int) -> tuple[Any, int]:
    if kind in ("double", "float"):  # as bytes: NaN is not equal to itself
        size = 8 if kind == "double" else 4
        return data[at : at + size], at + size
    number, at = _varint(data, at)
    return number - (1 << 64) if number >> 63 else number, at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        number, shift, at = number | (byte & 0x7F) << shift, shift + 7, at + 1
        if byte < 0x80:
            return number, at


def _written(scopes: list[Message], value: Mapping[str, Any]) -> bytes:
    """A message of these fields, numbers ascending."""
    out = b""
    for number, known in sorted(scopes[-1].fields.items()):
        if known.name not in value:
            continue
        given = value[known.name] if known.repeated else [value[known.name]]
        if known.kind not in _NUMBERS:
            out += b"".join(_sized(number, _part(scopes, known, each)) for each in given)
        elif known.repeated:
            out += _sized(number, b"".join(map(_laid_out(known.kind), given)))
        else:
            out += _laid(number << 3 | _NUMBERS[known.kind]) + _laid_out(known.kind)(given[0])
    return out


def _part(scopes: list[Message], known: Field, value: Any) -> bytes:
    if isinstance(value, Mapping):
        return _written(_type(scopes, known.kind), value)
    return value.encode() if isinstance(value, str) else bytes(value)


def _sized(number: int, part: bytes) -> bytes:
    return _laid(number << 3 | 2) + _laid(len(part)) + part


def _laid_out(kind: str) -> Callable[[Any], bytes]:
    return bytes if kind in ("double", "float") else _laid


def _laid(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = b""
    while number >= 0x80:
        out, number = out + struct.pack("B", number & 0x7F | 0x80), number >> 7
    return out + struct.pack("B", number)
