"""Single message transforms: which there are, and their options, by Debezium's names. Rust gives them their effect.

To add one: an entry in `TRANSFORMS` here, and what reads its options in `crates/wire/src/encode/smt/option.rs`. Names
are Debezium's with underscores for dots, values and defaults are Debezium's.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tailrace.error import ConfigError
from tailrace.format.option import Choice, Count, Flag, Items, Option, Text, Value, texts
from tailrace.format.script import Script, condition, topic

__all__ = ["GUARDS", "TRANSFORMS", "Transform"]

GUARDS = (
    Option("topic_name_matches", Text(), None, "only records whose topic this regular expression matches as a whole"),
    Option("has_header_key", Text(), None, "only records with this header"),
    Option("record_is_tombstone", Flag(), "false", "only tombstones"),
    Option("negate", Flag(), "false", "the other records: those for which that does not hold"),
)
_SCRIPT = (
    Option("language", Choice(("python",)), "python", "what the expression is written in"),
    Option("topic_regex", Text(), None, "only topics that this regular expression matches as a whole; others pass"),
    Option("null_handling_mode", Choice(("keep", "drop", "evaluate")), "keep", "what becomes of tombstones"),
)
TRANSFORMS: Mapping[str, tuple[Option, ...]] = {
    "extract_new_record_state": (
        Option(
            "delete_tombstone_handling_mode",
            Choice(("drop", "tombstone", "rewrite", "rewrite-with-tombstone", "delete-to-tombstone")),
            "tombstone",
            "a delete leaves nothing, a tombstone, its old row with `__deleted`, that and its tombstone, a tombstone",
        ),
        Option(
            "add_fields", Items(), "", "fields of the envelope that a row gets: `op`, `source.ts_ms`, `lsn:position`"
        ),
        Option("add_fields_prefix", Text(), "__", "what stands before their names"),
        Option("add_headers", Items(), "", "fields of the envelope that become headers"),
        Option("add_headers_prefix", Text(), "__", "what stands before their names"),
        Option("route_by_field", Text(), None, "the column whose text is the topic"),
        Option("drop_fields_header_name", Text(), None, "the header that lists fields to leave out"),
        Option("drop_fields_from_key", Flag(), "false", "whether they are left out of keys too"),
        Option("drop_fields_keep_schema_compatible", Flag(), "true", "whether fields that cannot be null stay"),
        Option(
            "replace_null_with_default", Flag(), "true", "whether `rewrite` puts a column's default in place of null"
        ),
    ),
    "by_logical_table_router": (
        Option("topic_regex", Text(), None, "topics that are renamed, matched as a whole"),
        Option("topic_replacement", Text(), None, "their new name, with `$1` for the first group"),
        Option("key_enforce_uniqueness", Flag(), "true", "whether keys get a field that says of which table they are"),
        Option("key_field_name", Text(), "__dbz__physicalTableIdentifier", "its name"),
        Option("key_field_regex", Text(), None, "of the old topic, matched as a whole"),
        Option("key_field_replacement", Text(), None, "its value; the old topic if that does not match"),
        Option("schema_name_adjustment_mode", Choice(("none", "avro", "avro_unicode")), "none", "for schema names"),
        Option("logical_table_cache_size", Count(), "16", "taken and not needed: plans are kept by table version"),
    ),
    "extract_changed_record_state": (
        Option("header_changed_name", Text(), None, "the header that lists the fields that changed"),
        Option("header_unchanged_name", Text(), None, "the header that lists the others"),
    ),
    "header_to_value": (
        Option("headers", Items(), None, "headers that become fields"),
        Option("fields", Items(), None, "the fields that they become, as many; `source.name` for one of a struct"),
        Option("operation", Choice(("move", "copy")), None, "whether the headers go or stay"),
    ),
    "partition_routing": (
        Option(
            "partition_payload_fields", Items(), None, "`change.id`, `source.table`: what decides about the partition"
        ),
        Option("partition_topic_num", Count(), None, "how many partitions the topic has"),
        Option("partition_hash_function", Choice(("java", "murmur")), "java", "how it decides"),
    ),
    "timezone_converter": (
        Option("converted_timezone", Text(), None, "`Europe/Berlin` or `+08:00`"),
        Option(
            "include_list", Items(), "", "`source:TABLE[:FIELD]`, `topic:TOPIC[:FIELD]` or `NAME:FIELD`: only those"
        ),
        Option("exclude_list", Items(), "", "all but those"),
    ),
    "filter": (Option("condition", Text(), None, "records for which it is false are dropped"), *_SCRIPT),
    "content_based_router": (
        Option("topic_expression", Text(), None, "the topic of a record; None leaves it where it is"),
        *_SCRIPT,
    ),
}
_SCRIPTS: Mapping[str, tuple[str, Callable[[str], Script]]] = {
    "filter": ("condition", condition),
    "content_based_router": ("topic_expression", topic),
}


@dataclass(frozen=True, slots=True, init=False)
class Transform:
    """One of Debezium's transforms of records, as in `[[pipeline.<name>.format.transform]]`.

    `kind` is its name; `options` are its own, and those that say when it applies, as keywords. `ConfigError` for what
    is not there and for a value that is not possible.
    """

    kind: str
    given: tuple[tuple[str, str], ...]
    script: Script | None = field(compare=False, repr=False)

    def __init__(self, kind: str, /, **options: Value) -> None:
        if kind not in TRANSFORMS:
            near = difflib.get_close_matches(kind, TRANSFORMS, 1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"unknown transform {kind!r}{meant}", hint=f"known are {', '.join(TRANSFORMS)}")
        table = (*TRANSFORMS[kind], *GUARDS)
        try:
            given = texts(options, table)
        except ConfigError as error:
            raise ConfigError(f"{kind}: {error.args[0]}", hint=error.hint) from None
        script = None
        if kind in _SCRIPTS:
            name, compiled = _SCRIPTS[kind]
            if name not in given:
                raise ConfigError(f"{kind} needs {name}")
            script = compiled(given[name])
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "given", tuple(given.items()))
        object.__setattr__(self, "script", script)

    def native(self) -> tuple[str, dict[str, str], Script | None]:
        """As `DebeziumJson` takes it."""
        defaults = {option.name: option.default for option in TRANSFORMS[self.kind] if option.default is not None}
        return self.kind, {**defaults, **dict(self.given)}, self.script
