"""Kafka Connect's converters, and the formats of Debezium Server, as `[format]`. Never decides where events go."""

from __future__ import annotations

from collections.abc import Mapping

from tailrace.debezium.connector import Form
from tailrace.debezium.document import Document
from tailrace.debezium.values import Values

__all__ = ["HARMLESS", "fill"]

_JSON = ("org.apache.kafka.connect.json.JsonConverter", "JsonConverter", "json", "jsonbytearray")
_HEADER = (*_JSON, "org.apache.kafka.connect.storage.SimpleHeaderConverter")
HARMLESS = {
    "schemas.enable": None,
    "schemas.cache.size": None,
    "schema.content": "",
    "converter.type": None,
    "decimal.format": "base64",
    "replace.null.with.default": "true",
}
"""Options of JsonConverter that are taken, or change nothing: None for any value, else that one."""
_PLACES = {
    Form.CONNECT: ("{}.converter", "{}.converter."),
    Form.ENGINE: ("{}.converter", "{}.converter."),
    Form.SERVER: ("debezium.format.{}", "debezium.format.{}."),
}


def fill(document: Document, values: Values, *, form: Form, worker: Mapping[str, str]) -> None:
    """Write `schemas_enable`. Refuses what is not JSON, and keys and values that are not alike."""
    place, inner = _PLACES[form]
    enabled = {}
    for part in ("key", "value"):
        name = place.format(part)
        own = name in values.options
        given = (
            values
            if own or form is not Form.CONNECT or name not in worker
            else Values(worker, values.refusals, values.notes)
        )
        kind = given.text(name, _JSON[0])
        if kind not in _JSON:
            given.refuse(name, f"{kind} is not known", "choose JsonConverter")
        _check(given, inner.format(part))
        enabled[part] = _schemas(given, inner.format(part))
        if form is Form.CONNECT and given is values and not own and part == "value":
            values.notes.append(
                "the converters are the worker's, taken to be JSON with schemas: --worker FILE says them"
            )
    header = place.format("header")
    if values.text(header, _JSON[0]) not in _HEADER:
        values.refuse(header, f"{values.text(header)} is not known", "choose JsonConverter")
    if enabled["key"] != enabled["value"]:
        values.refuse(inner.format("key") + "schemas.enable", "keys and values have schemas, or both have none", "")
    document.format["schemas_enable"] = enabled["value"]


def _schemas(values: Values, inner: str) -> bool:
    common = ("debezium.format.schemas.enable", "converter.schemas.enable")
    for name in (inner + "schemas.enable", *common):
        if name in values.options:
            return values.flag(name, default=True)
    return True


def _check(values: Values, inner: str) -> None:
    for name in values.options:
        if not name.startswith(inner):
            continue
        option = name.removeprefix(inner)
        wanted = HARMLESS.get(option, "")
        if option not in HARMLESS:
            values.refuse(name, "no option of JsonConverter has this name", "remove it")
        elif wanted is not None and values.text(name).lower() != wanted:
            values.refuse(name, f"it is as if it were {wanted!r} here", "remove it")
