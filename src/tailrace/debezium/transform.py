"""Single message transforms: `transforms=a,b` with their predicates → `[[format.transform]]`. Never runs one.

`TYPES` is the closed table of the classes that Debezium and Kafka Connect have; another class is the user's own.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tailrace.debezium.document import Document, Value, literal
from tailrace.debezium.rule import format_name
from tailrace.debezium.values import Values
from tailrace.error import ConfigError
from tailrace.format import TRANSFORMS, Transform
from tailrace.format.option import Choice, Count, Flag, Option

__all__ = ["TYPES", "Type", "fill"]

_DEBEZIUM = "io.debezium.transforms."
_KAFKA = "org.apache.kafka.connect.transforms."
_PREDICATES = {
    f"{_KAFKA}predicates.TopicNameMatches": ("topic_name_matches", "pattern"),
    f"{_KAFKA}predicates.HasHeaderKey": ("has_header_key", "name"),
    f"{_KAFKA}predicates.RecordIsTombstone": ("record_is_tombstone", None),
}
"""A predicate's class: our option, and the predicate's own that has its value."""
_SURROUNDING = ("type", "predicate", "negate")
_DELETES = {
    ("true", "drop"): "drop",
    ("false", "drop"): "tombstone",
    ("true", "none"): "delete-to-tombstone",
    ("false", "none"): "tombstone",
    ("true", "rewrite"): "rewrite",
    ("false", "rewrite"): "rewrite-with-tombstone",
}
"""What `drop.tombstones` and `delete.handling.mode` meant, before Debezium made one option of the two."""
_PYTHON = "write the expression in Python, and language=python"
_FUNCTION = "do it in a `map_changes` transform, or in the readers"


@dataclass(frozen=True, slots=True)
class Type:
    """What becomes of one class: our `kind`, or why not and what to do."""

    kind: str | None = None
    why: str = ""
    hint: str = _FUNCTION


TYPES: Mapping[str, Type] = {
    f"{_DEBEZIUM}ExtractNewRecordState": Type("extract_new_record_state"),
    f"{_DEBEZIUM}ByLogicalTableRouter": Type("by_logical_table_router"),
    f"{_DEBEZIUM}ExtractChangedRecordState": Type("extract_changed_record_state"),
    f"{_DEBEZIUM}HeaderToValue": Type("header_to_value"),
    f"{_DEBEZIUM}partitions.PartitionRouting": Type("partition_routing"),
    f"{_DEBEZIUM}TimezoneConverter": Type("timezone_converter"),
    f"{_DEBEZIUM}Filter": Type("filter"),
    f"{_DEBEZIUM}ContentBasedRouter": Type("content_based_router"),
    f"{_DEBEZIUM}outbox.EventRouter": Type(why="there is no outbox router", hint="examples/outbox.py shows one"),
    f"{_DEBEZIUM}EnforceRecordSize": Type(why="records are not cut", hint="see `claim_check` of the Kafka sink"),
    f"{_DEBEZIUM}SchemaChangeEventFilter": Type(why="PostgreSQL has no schema changes", hint="remove it"),
    f"{_DEBEZIUM}tracing.ActivateTracingSpan": Type(why="it is of Java's tracing", hint="`tailrace run --traces`"),
    f"{_DEBEZIUM}ExtractSchemaToNewRecord": Type(why="values carry no schema as a field", hint="set `schemas_enable`"),
    f"{_DEBEZIUM}openlineage.OpenLineage": Type(why="nothing is told to OpenLineage", hint="remove it"),
    f"{_DEBEZIUM}GeometryFormatTransformer": Type(why="geometries stay as they are"),
    f"{_DEBEZIUM}SwapGeometryCoordinates": Type(why="geometries stay as they are"),
    f"{_DEBEZIUM}VectorToJsonConverter": Type(why="vectors stay as they are"),
    "io.debezium.connector.postgresql.transforms.DecodeLogicalDecodingMessageContent": Type(
        why="the content of messages stays as it is"
    ),
    "io.debezium.connector.postgresql.transforms.timescaledb.TimescaleDb": Type(why="chunks are not put together"),
    **{
        f"{_KAFKA}{name}": Type(why="Kafka Connect's own transforms are not known")
        for name in (
            "Cast", "DropHeaders", "ExtractField", "Filter", "Flatten", "HeaderFrom", "HoistField", "InsertField",
            "InsertHeader", "MaskField", "RegexRouter", "ReplaceField", "SetSchemaMetadata", "TimestampConverter",
            "TimestampRouter", "ValueToKey",
        )
    },
}  # fmt: skip


def fill(document: Document, values: Values) -> None:
    """Write a `[[format.transform]]` for each transform, in their order."""
    for alias in _names(values, "transforms"):
        inner = f"transforms.{alias}."
        given = {name.removeprefix(inner): value for name, value in values.options.items() if name.startswith(inner)}
        made = _type(values, inner, given.get("type", ""))
        if made is not None:
            table = dict(_options(values, inner, kind=made, given=_of_today(given)))
            table |= _guard(values, inner, given)
            _check(values, inner, {"kind": made, **table})
            document.format_transforms.append({"kind": made, **table})
    for name in values.options:
        if name.startswith("transforms.") and name.split(".")[1] not in _names(values, "transforms"):
            values.refuse(name, "transforms does not name it", "add it there, or remove this")


def _names(values: Values, name: str) -> list[str]:
    return [part.strip() for part in values.options.get(name, "").split(",") if part.strip()]


def _type(values: Values, inner: str, name: str) -> str | None:
    short = name.removesuffix("$Key").removesuffix("$Value")
    known = TYPES.get(short)
    if known is not None and known.kind is not None:
        return known.kind
    if known is not None:
        values.refuse(inner + "type", f"{name}: {known.why}", known.hint)
    else:
        near = difflib.get_close_matches(name, TYPES, 1, cutoff=0.8)
        meant = f"did you mean {near[0]}?" if near else f"it is of your own: {_FUNCTION}"
        values.refuse(inner + "type", f"{name or 'it'} is no transform of Debezium or Kafka Connect", meant)
    return None


def _options(values: Values, inner: str, *, kind: str, given: Mapping[str, str]) -> Iterator[tuple[str, Value]]:
    for name, value in given.items():
        if name in _SURROUNDING:
            continue
        ours = format_name(name)
        option = next((option for option in TRANSFORMS[kind] if option.matches(ours)), None)
        if option is None:
            near = difflib.get_close_matches(ours, [option.name for option in TRANSFORMS[kind]], 1)
            meant = f"did you mean {near[0].replace('_', '.')}?" if near else "remove it"
            values.refuse(inner + name, "the transform has no such option", meant)
        elif ours == "language" and value.strip() != "python":
            values.refuse(inner + name, f"{value} is not run here", _PYTHON)
        else:
            yield ours, _typed(option, value.strip())


def _of_today(given: Mapping[str, str]) -> Mapping[str, str]:
    """The options with the pair that older releases had translated; what is no value of theirs stays, to be refused."""
    rest = dict(given)
    pair = rest.pop("drop.tombstones", "").strip().lower(), rest.pop("delete.handling.mode", "").strip().lower()
    mode = _DELETES.get((pair[0] or "true", pair[1] or "drop")) if any(pair) else None
    if mode is None or "delete.tombstone.handling.mode" in rest:
        return given
    return {**rest, "delete.tombstone.handling.mode": mode}


def _typed(option: Option, text: str) -> Value:
    kind = option.kind
    if isinstance(kind, Flag) and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if isinstance(kind, Count) and text.isascii() and text.isdigit():
        return int(text)
    return text.lower() if isinstance(kind, Choice) else literal(text)


def _guard(values: Values, inner: str, given: Mapping[str, str]) -> dict[str, Value]:
    """When the transform applies, by its predicate."""
    alias = given.get("predicate", "").strip()
    if not alias:
        return {}
    name = f"predicates.{alias}.type"
    kind = values.text(name)
    if alias not in _names(values, "predicates") or kind not in _PREDICATES:
        values.refuse(inner + "predicate", f"{kind or alias} is no predicate of Kafka Connect", "")
        return {}
    ours, value = _PREDICATES[kind]
    guard: dict[str, Value] = {
        ours: True if value is None else literal(values.options.get(f"predicates.{alias}.{value}", "").strip())
    }
    return {**guard, "negate": True} if given.get("negate", "").strip().lower() == "true" else guard


def _check(values: Values, inner: str, table: Mapping[str, Value]) -> None:
    try:
        Transform(str(table["kind"]), **{name: value for name, value in table.items() if name != "kind"})
    except ConfigError as error:
        values.refuse(inner.removesuffix("."), str(error.args[0]), error.hint or "")
