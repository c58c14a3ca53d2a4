"""Protobuf as Google's own library writes it, read back: schemas and values by chance, damaged ones too."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st

from tailrace._native import Change, EventReader

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
_INT4, _INT8 = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
_SINGLE = st.floats(width=32, allow_nan=False, allow_infinity=False)
_LABELS = ("NONE", "SOME", "LESS")
_KINDS: dict[str, tuple[st.SearchStrategy[Any], Any, str]] = {
    "int32": (_INT4, 0, "int4"),
    "sint32": (_INT4, 0, "int4"),
    "sfixed32": (_INT4, 0, "int4"),
    "uint32": (st.integers(0, 2**32 - 1), 0, "int8"),
    "fixed32": (st.integers(0, 2**32 - 1), 0, "int8"),
    "int64": (_INT8, 0, "int8"),
    "sint64": (_INT8, 0, "int8"),
    "sfixed64": (_INT8, 0, "int8"),
    "uint64": (st.integers(0, 2**63 - 1), 0, "int8"),
    "fixed64": (st.integers(0, 2**63 - 1), 0, "int8"),
    "float": (_SINGLE, 0.0, "float4"),
    "double": (st.floats(allow_nan=False, allow_infinity=False), 0.0, "float8"),
    "bool": (st.booleans(), False, "bool"),
    "string": (_TEXT, "", "text"),
    "bytes": (st.binary(max_size=5), b"", "bytea"),
    "Kind": (st.sampled_from(_LABELS), "NONE", "enum"),
}
"""Each type with its values, its zero, and the column that it becomes."""
_PLACES = ("", "optional", "repeated", "oneof", "map")


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a message, and what one message has in it; None for what was not set."""

    name: str
    number: int
    kind: str
    place: str
    value: Any

    @property
    def expected(self) -> Any:
        """What is read."""
        if self.value is not None:
            return self.value
        return {"": _KINDS[self.kind][1], "repeated": [], "map": {}}.get(self.place)

    @property
    def line(self) -> str:
        """It as a `.proto` text has it."""
        kind = f"map<string, {self.kind}>" if self.place == "map" else self.kind
        return f"{self.place if self.place in _PLACES[1:3] else ''} {kind} {self.name} = {self.number};"


@st.composite
def messages(draw: st.DrawFn) -> Sequence[Field]:
    """The fields of a message in any order."""
    numbers = draw(st.lists(st.integers(1, 3000) | st.just(2**29 - 1), min_size=1, max_size=8, unique=True))
    fields, chosen = [], False
    for at, number in enumerate(numbers):
        kind, place = draw(st.sampled_from(sorted(_KINDS))), draw(st.sampled_from(_PLACES))
        one = _KINDS[kind][0]
        values = {"repeated": st.lists(one, max_size=4), "map": st.dictionaries(_TEXT, one, max_size=3)}.get(place, one)
        value = draw(st.none() | values)
        if place == "oneof":
            value, chosen = None if chosen else value, chosen or value is not None
        fields.append(Field(f"f{at}", number, kind, place, value))
    return fields


def text(fields: Sequence[Field]) -> str:
    """The schema."""
    kinds = "enum Kind { NONE = 0; SOME = 1; LESS = -1; }"
    plain = "\n".join(field.line for field in fields if field.place != "oneof")
    chosen = "\n".join(field.line for field in fields if field.place == "oneof")
    oneof = f"oneof choice {{ {chosen} }}" if chosen else ""
    return f'syntax = "proto3"; package a.b;\nmessage Row {{\n{plain}\n{oneof}\n{kinds} }}'


def described(fields: Sequence[Field]) -> descriptor_pb2.FileDescriptorProto:
    """The schema as protobuf's compilers pass it on."""
    file = descriptor_pb2.FileDescriptorProto(name="row.proto", package="a.b", syntax="proto3")
    row = file.message_type.add(name="Row")
    kinds = row.enum_type.add(name="Kind")
    for label, number in zip(_LABELS, (0, 1, -1), strict=True):
        kinds.value.add(name=label, number=number)
    if any(field.place == "oneof" for field in fields):
        row.oneof_decl.add(name="choice")
    for field in fields:
        made = row.field.add(name=field.name, number=field.number, label="LABEL_OPTIONAL")
        if field.place == "map":
            entry = row.nested_type.add(name=f"{field.name.upper()}Entry")
            entry.options.map_entry = True
            entry.field.add(name="key", number=1, type="TYPE_STRING", label="LABEL_OPTIONAL")
            _typed(entry.field.add(name="value", number=2, label="LABEL_OPTIONAL"), field.kind)
            made.type_name, made.type = f".a.b.Row.{entry.name}", made.TYPE_MESSAGE
        else:
            _typed(made, field.kind)
        if field.place in ("map", "repeated"):
            made.label = made.LABEL_REPEATED
        if field.place == "oneof":
            made.oneof_index = 0
    for field, made in zip(fields, row.field, strict=True):
        if field.place == "optional":  # a oneof of its own, behind all others
            made.proto3_optional, made.oneof_index = True, len(row.oneof_decl)
            row.oneof_decl.add(name=f"_{field.name}")
    return file


def encoded(fields: Sequence[Field]) -> bytes:
    """The message by Google's library."""
    pool = descriptor_pool.DescriptorPool()
    pool.Add(described(fields))
    message = message_factory.GetMessageClass(pool.FindMessageTypeByName("a.b.Row"))()
    for field in (field for field in fields if field.value is not None):
        if field.place == "repeated":
            getattr(message, field.name).extend(_given(field, one) for one in field.value)
        elif field.place == "map":
            for key, one in field.value.items():
                getattr(message, field.name)[key] = _given(field, one)
        else:
            setattr(message, field.name, _given(field, field.value))
    return bytes(message.SerializeToString())


def _typed(made: Any, kind: str) -> None:
    if kind == "Kind":
        made.type, made.type_name = made.TYPE_ENUM, ".a.b.Row.Kind"
    else:
        made.type = getattr(made, f"TYPE_{kind.upper()}")


def _given(field: Field, value: Any) -> Any:
    return (0, 1, -1)[_LABELS.index(value)] if field.kind == "Kind" else value


def read(schema: str, *values: bytes, indexes: bytes = b"\0") -> list[Change]:
    """The changes of framed values."""
    reader = EventReader("kafka/c/t/0", topic="a.b.rows")
    reader.add_schema(7, "PROTOBUF", schema, references=[])
    reader.feed([(None, b"\0\0\0\0\7" + indexes + value, 0, at) for at, value in enumerate(values)])
    return list(reader.take() or ())


@given(messages(), st.booleans())
def test_what_googles_library_writes_is_read(fields: Sequence[Field], compiled: bool) -> None:
    schema = base64.b64encode(described(fields).SerializeToString()).decode() if compiled else text(fields)
    [change] = read(schema, encoded(fields))
    row = change.after
    assert row is not None
    columns = {column.name: column for column in change.table.columns}
    assert sorted(columns) == sorted(field.name for field in fields)
    for field in fields:
        column, kind, found = columns[field.name], _KINDS[field.kind][2], row[field.name]
        if field.place == "map":
            assert str(column.type) == ("hstore" if kind in ("text", "enum") else "json")
            mapped = row.text(field.name) if kind in ("int4", "int8", "bool") else None
            assert not isinstance(mapped, str) or json.loads(mapped) == field.expected
            continue
        assert str(column.type) == (f"{kind}[]" if field.place == "repeated" else kind)
        assert column.nullable == (field.place in ("optional", "oneof"))
        assert (single(found) if kind == "float4" else found) == field.expected


def single(found: Any) -> Any:
    """Numbers of 32 bits, which are read as their shortest text says."""
    if isinstance(found, list):
        return [single(one) for one in found]
    return None if found is None else struct.unpack("<f", struct.pack("<f", found))[0]


def test_labels_of_proto2_are_read_from_a_compiled_schema() -> None:
    file = descriptor_pb2.FileDescriptorProto(name="m.proto")
    message = file.message_type.add(name="M")
    message.field.add(name="a", number=1, type="TYPE_INT32", label="LABEL_REQUIRED")
    message.field.add(name="b", number=2, type="TYPE_STRING", label="LABEL_OPTIONAL", default_value="x")
    schema = base64.b64encode(file.SerializeToString()).decode()
    [change] = read(schema, b"\x08\5")
    assert dict(change.after or {}) == {"a": 5, "b": None}
    assert [column.nullable for column in change.table.columns] == [False, True]
    with pytest.raises(ValueError, match="without a field that is required"):
        read(schema, b"\x12\1a")
    message.field.add(name="g", number=3, type="TYPE_GROUP", label="LABEL_OPTIONAL")
    with pytest.raises(ValueError, match="schema 7: a group"):
        read(base64.b64encode(file.SerializeToString()).decode())


@given(messages(), st.data())
def test_damage_is_an_error_or_another_row(fields: Sequence[Field], data: st.DataObject) -> None:
    value = bytearray(encoded(fields))
    for _ in range(data.draw(st.integers(1, 3))):
        if value:
            value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(value[: data.draw(st.integers(0, len(value)))])
    try:
        [change] = read(text(fields), cut)
    except ValueError as error:
        assert "topic a.b.rows, partition 0, offset 0" in str(error)
    else:
        assert change.op == "c"


def test_plain_messages_are_what_they_are_told_to_be() -> None:
    schema = 'syntax = "proto3"; message Order { int32 id = 1; string note = 2; }'
    for plain, op in (("append", "c"), ("upsert", "u")):
        reader = EventReader("kafka/c/t/0", topic="shop.orders", plain=plain)
        reader.add_schema(7, "PROTOBUF", schema, references=[])
        reader.add_schema(8, "PROTOBUF", 'syntax = "proto3"; message Key { int64 id = 1; }', references=[])
        key = b"\0\0\0\0\x08\0\x08\x05"
        reader.feed([(key, b"\0\0\0\0\7\0\x08\5\x12\1a", 0, 0), (key, None, 0, 1)])
        [first, gone] = reader.take() or ()
        assert (first.op, str(first.table), dict(first.after or {})) == (op, "shop.orders", {"id": 5, "note": "a"})
        assert (gone.op, dict(gone.key or {})) == ("d", {"id": 5})


def test_a_key_that_is_one_value_is_one_column() -> None:
    reader = EventReader("kafka/c/t/0", topic="shop.orders")
    wrapper = 'syntax = "proto3"; package google.protobuf; message StringValue { string value = 1; }'
    reader.add_schema(7, "PROTOBUF", wrapper, references=[])
    reader.feed([(b"\0\0\0\0\7\0\x0a\1a", b'{"n": 1}', 0, 0)])
    [change] = reader.take() or ()
    assert (dict(change.key or {}), dict(change.after or {})) == ({"_key": "a"}, {"_key": "a", "n": 1})


def test_a_field_that_the_schema_does_not_have_is_an_error() -> None:
    schema = 'syntax = "proto3"; message M { int32 a = 1; }'
    with pytest.raises(ValueError, match="offset 1: a protobuf field that the schema does not have"):
        read(schema, b"\x08\x01", b"\x08\x01\x10\x02")


def test_a_schema_that_is_not_understood_is_named_with_its_line() -> None:
    with pytest.raises(ValueError, match="schema 7: line 2: the type Other, which nothing defines"):
        read('syntax = "proto3"; message M {\n Other a = 1; }')
    with pytest.raises(ValueError, match=r"schema 7: line 1: not a \.proto text"):
        read('"string"')
    with pytest.raises(ValueError, match=r"schema 7: neither a \.proto text nor a descriptor in base64"):
        read("string")


@given(messages(), st.data())
def test_damage_of_a_compiled_schema_is_an_error_or_another_one(fields: Sequence[Field], data: st.DataObject) -> None:
    schema = bytearray(described(fields).SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        schema[data.draw(st.integers(0, len(schema) - 1))] = data.draw(st.integers(0, 255))
    try:
        [change] = read(base64.b64encode(schema).decode(), encoded(fields))
    except ValueError as error:
        assert "schema 7" in str(error) or "topic a.b.rows" in str(error)
    else:
        assert change.op == "c"
