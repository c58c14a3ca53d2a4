"""What Confluent's Protobuf converter leaves of a record, as JSON with its schema: a slow oracle for what is read back.

Its rules are those of ProtobufData: names of meanings are not written but Connect's own, a value that may be null is
the zero of its type unless an option gives it presence, lists and maps are never null. Never reads protobuf.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Any

import msgspec

Schema = Mapping[str, Any]
_CONNECT = "org.apache.kafka.connect.data."
_TIMES = {f"{_CONNECT}Time": "io.debezium.time.MicroTime", f"{_CONNECT}Timestamp": "io.debezium.time.MicroTimestamp"}
_ZEROS: dict[str, Any] = {"string": "", "bytes": "", "boolean": False, "float": 0.0, "double": 0.0}


class Nulls(Enum):
    """How the converter writes values that may be null."""

    ZERO = ""
    """As zeros: its default."""
    OPTIONAL = "optional.for.nullables"
    WRAPPER = "wrapper.for.nullables"


class _Document(msgspec.Struct):
    schema: msgspec.Raw
    payload: Any


def left(document: bytes, nulls: Nulls) -> bytes:
    """The same document, `{"schema": …, "payload": …}`, without what the converter forgets."""
    found = msgspec.json.decode(document, type=_Document)
    schema, text = _told(bytes(found.schema), nulls)
    payload = _payload(schema, found.payload, nulls)
    return b'{"schema":' + text + b',"payload":' + json.dumps(payload, separators=(",", ":")).encode() + b"}"


@cache
def _told(text: bytes, nulls: Nulls) -> tuple[Schema, bytes]:
    schema = json.loads(text)
    return schema, json.dumps(_schema(schema, nulls)).encode()


def _schema(schema: Schema, nulls: Nulls) -> dict[str, Any]:
    kind, name = schema["type"], schema.get("name")
    field = {"field": schema["field"]} if "field" in schema else {}
    match kind:
        case "struct":
            fields = [_schema(field, nulls) for field in schema["fields"]]
            return {"type": kind, "fields": fields, "optional": True, "name": name, **field}
        case "array":
            return {"type": kind, "items": _schema(schema["items"], nulls), "optional": False, **field}
        case "map":
            types = {part: _schema(schema[part], nulls) for part in ("keys", "values")}
            return {"type": kind, **types, "optional": False, **field}
    if name in (f"{_CONNECT}Decimal", f"{_CONNECT}Date"):
        return {"type": kind, "name": name, "parameters": schema.get("parameters", {}), "optional": True, **field}
    if name in _TIMES:
        return {"type": "int64", "name": _TIMES[name], "optional": True, **field}
    return {"type": kind, "optional": schema["optional"] and nulls is not Nulls.ZERO, **field}


def _payload(schema: Schema, value: Any, nulls: Nulls) -> Any:
    kind, name = schema["type"], schema.get("name")
    if value is None:
        value = schema.get("default")
    match kind:
        case "struct":
            fields = {field["field"]: field for field in schema["fields"]}
            return value and {name: _payload(fields[name], value[name], nulls) for name in fields}
        case "array":
            return [_payload(schema["items"], item, nulls) for item in value or ()]
        case "map" if schema["keys"]["type"] == "string":
            # The label that gives a field presence is not written for those of an entry.
            inner = nulls if nulls is Nulls.WRAPPER else Nulls.ZERO
            return {key: _payload(schema["values"], item, inner) for key, item in (value or {}).items()}
    if name in _TIMES:
        return value and value * 1000
    if value is None and nulls is Nulls.ZERO and not (name or "").startswith(_CONNECT):
        return _ZEROS.get(kind, 0)
    return value
