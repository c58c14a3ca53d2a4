"""Kafka Connect's converters, and the formats of Debezium Server, as `[format]`. Never decides where events go."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from tailrace.debezium.connector import Form
from tailrace.debezium.document import Document, Value, literal
from tailrace.debezium.rule import format_name
from tailrace.debezium.values import Values
from tailrace.format import OPTIONS
from tailrace.format.option import Choice, Flag

__all__ = ["HARMLESS", "fill"]

_CONFLUENT = "io.confluent.connect."
_WORDS = {
    "org.apache.kafka.connect.json.JsonConverter": "json",
    "JsonConverter": "json",
    "jsonbytearray": "json",
    f"{_CONFLUENT}avro.AvroConverter": "avro",
    "AvroConverter": "avro",
    f"{_CONFLUENT}json.JsonSchemaConverter": "json_schema",
    "JsonSchemaConverter": "json_schema",
    f"{_CONFLUENT}protobuf.ProtobufConverter": "protobuf",
    "ProtobufConverter": "protobuf",
}
"""A converter's class, or a format of Debezium Server, as a word of `key_converter` and `value_converter`."""
_HEADER = ("json", "org.apache.kafka.connect.storage.SimpleHeaderConverter")
HARMLESS = {
    "schemas.enable": None,
    "schemas.cache.size": None,
    "schema.content": "",
    "converter.type": None,
    "decimal.format": "base64",
    "replace.null.with.default": "true",
}
"""Options of JsonConverter that are taken, or change nothing: None for any value, else that one."""
_CLOUD_EVENTS = ("io.debezium.converters.CloudEventsConverter", "CloudEventsConverter", "cloudevents")
_HARMLESS_CLOUD = {
    "serializer.type": "json",
    "data.serializer.type": "json",
    "extension.attributes.enable": "true",
    "opentelemetry.tracing.attributes.enable": "false",
    "metadata.source": "value,id:generate,type:generate,traceparent:header,dataschemaname:generate",
    "schema.cloudevents.name": None,  # of schemas only, as are the next
    "schema.name.adjustment.mode": None,
    "schema.data.name.source.header.enable": "false",
    "schemas.enable": None,
    "json.schemas.enable": None,
    "json.schemas.cache.size": None,
    "json.decimal.format": "base64",
    "json.replace.null.with.default": "true",
}
"""Options of Debezium's CloudEventsConverter, as those of JsonConverter."""
_SECRETS = ("basic.auth.user.info", "bearer.auth.token", "schema.registry.ssl.key.password")
_UNSEEN = (
    *("optional.for.proto2", "wrapper.for.raw.primitives", "int.for.enums", "generate.struct.for.nulls"),
    *("generate.index.for.unions", "flatten.unions", "generalized.sum.type.support"),
)
"""Options of Confluent's that are of those who read Protobuf, and of unions, which Debezium's events have none of."""
_HARMLESS_REGISTRY = {
    "schemas.enable": None,
    "basic.auth.credentials.source": "user_info",
    "bearer.auth.credentials.source": "static_token",
    "schemas.cache.config": None,
    "max.schemas.per.subject": None,
    "use.optional.for.nonrequired": None,  # of those who read
    "decimal.format": "base64",
    "json.fail.invalid.schema": "false",
    **dict.fromkeys(_UNSEEN),
    "skip.known.types": "true",
    "reference.lookup.only": None,  # of schemas that name others beyond those known types, as is the next
    "reference.subject.name.strategy": None,
}
_PLACES = {
    Form.CONNECT: ("{}.converter", "{}.converter."),
    Form.ENGINE: ("{}.converter", "{}.converter."),
    Form.SERVER: ("debezium.format.{}", "debezium.format.{}."),
}


def fill(document: Document, values: Values, *, form: Form, worker: Mapping[str, str]) -> None:
    """Write how keys and values are converted. Refuses what `[format]` has no word for."""
    place, inner = _PLACES[form]
    kinds: dict[str, str] = {}
    enabled: dict[str, bool] = {}
    options: dict[str, dict[str, Value]] = {}
    for part in ("key", "value"):
        name = place.format(part)
        own = name in values.options or form is not Form.CONNECT
        given = values if own or name not in worker else Values(worker, values.refusals, values.notes)
        if not own and given is values and not any(name.startswith(inner.format(part)) for name in values.options):
            values.notes.append(f"{name}: it is the worker's, taken to be JSON with schemas; --worker FILE says it")
        if part == "value" and given.text(name) in _CLOUD_EVENTS:
            enabled[part] = _fill_cloud_events(document, given, inner.format(part))
            continue
        kinds[part] = _kind(given, name)
        if kinds[part] == "json":
            _check_json(given, inner.format(part))
            enabled[part] = _schemas(given, inner.format(part))
        else:
            options[part] = _registry(given, inner.format(part), part=part, name=document.name)
            document.format[f"{part}_converter"] = kinds[part]
    header = place.format("header")
    kind = values.text(header, _HEADER[0])
    if _WORDS.get(kind, kind) not in _HEADER:
        values.refuse(header, f"headers are not written by {kind}", "choose JsonConverter")
    if len(set(enabled.values())) > 1:
        values.refuse(inner.format("key") + "schemas.enable", "keys and values have schemas, or both have none", "")
    if enabled:
        document.format["schemas_enable"] = any(enabled.values())
    document.format.update(_joined(options))


def _fill_cloud_events(document: Document, values: Values, inner: str) -> bool:
    """CloudEvents in the structured form, whose data is JSON; whether it has a schema, as it is by default."""
    document.format["profile"] = "cloudevents"
    for name in ("decimal_handling_mode", "time_precision_mode"):  # which the profile chooses otherwise
        document.format.setdefault(name, next(option.default or "" for option in OPTIONS if option.name == name))
    for name in values.options:
        if name.startswith(inner):
            _check(values, name, harmless=_HARMLESS_CLOUD, option=name.removeprefix(inner))
    return values.flag(inner + "json.schemas.enable", default=True)


def _kind(values: Values, name: str) -> str:
    given = values.text(name, "json")
    word = _WORDS.get(given, given)
    known = next((option.kind for option in OPTIONS if option.name == "value_converter"), None)
    if isinstance(known, Choice) and word in known.words:
        return word
    values.refuse(name, f"{given} is not known", "choose Confluent's converter for the format, or JsonConverter")
    return "json"


def _schemas(values: Values, inner: str) -> bool:
    common = ("debezium.format.schemas.enable", "converter.schemas.enable")
    for name in (inner + "schemas.enable", *common):
        if name in values.options:
            return values.flag(name, default=True)
    return True


def _check_json(values: Values, inner: str) -> None:
    for name in values.options:
        if name.startswith(inner):
            _check(values, name, harmless=HARMLESS, option=name.removeprefix(inner))


def _check(values: Values, name: str, *, harmless: Mapping[str, str | None], option: str) -> None:
    wanted = harmless.get(option)
    if option not in harmless:
        values.refuse(name, "the converter has no such option here", "remove it")
    elif wanted is not None and values.text(name).lower() != wanted:
        values.refuse(name, f"it is as if it were {wanted!r} here", "remove it")


def _registry(values: Values, inner: str, *, part: str, name: str) -> dict[str, Value]:
    """The options of one of Confluent's converters, by the names that ours have."""
    made: dict[str, Value] = {}
    for given in values.options:
        option = given.removeprefix(inner)
        if not given.startswith(inner) or option in _HARMLESS_REGISTRY:
            if given.startswith(inner):
                _check(values, given, harmless=_HARMLESS_REGISTRY, option=option)
            continue
        ours = format_name(option)
        known = next((each for each in OPTIONS if each.converter and each.name == ours), None)
        if known is None:
            near = difflib.get_close_matches(ours, [each.name for each in OPTIONS if each.converter], 1)
            meant = f"is {near[0]} meant?" if near else "remove it"
            pem = "keys and certificates are PEM files: schema.registry.ssl.ca.location and the like"
            values.refuse(given, "the converter has no such option here", pem if ".ssl." in given else meant)
        elif option in _SECRETS:
            variable = re.sub(r"[^A-Za-z0-9]", "_", f"{name}.{part}.{option}").upper()
            made[ours] = values.reference(given, variable) or ""
        else:
            text = values.text(given)
            made[ours] = _typed(known.kind, text.rpartition(".")[2] if ours.endswith("_strategy") else text)
    return made


def _typed(kind: object, text: str) -> Value:
    return text.lower() == "true" if isinstance(kind, Flag) and text.lower() in ("true", "false") else literal(text)


def _joined(options: Mapping[str, dict[str, Value]]) -> dict[str, Value]:
    """Options of keys and of values; what both have alike is said once."""
    both = options.get("key", {}).items() & options.get("value", {}).items()
    apart = {
        f"{part}_converter_{name}": value
        for part, given in options.items()
        for name, value in given.items()
        if (name, value) not in both
    }
    return {**dict(sorted(both)), **apart}
