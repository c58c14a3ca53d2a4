"""The closed table of `[format]`: every option that shapes an event. Never says how: that is the encoder's (Rust).

To add an option: one line in `OPTIONS` here, and one in `Profile::set` that reads its text
(`crates/wire/src/encode/debezium/option.rs`). Validation, the nearest-name error and `docs/reference/format.md` come
from the table (`python -m tests.tidy.format_page` writes the page). Names are Debezium's with underscores for dots,
values are Debezium's; `<N>` in a name stands for a part that the user fills in.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tailrace.error import ConfigError

__all__ = ["OPTIONS", "Option", "Value", "option_of", "texts"]

Value = str | int | bool | Sequence[str]
"""What a value may be in TOML and in Python."""


class Kind(Protocol):
    """What values an option takes."""

    def text(self, value: Value) -> str | None:
        """The value as Debezium's properties would hold it; None when it is no such value."""

    def __str__(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def text(self, value: Value) -> str | None:
        """See `Kind.text`."""
        return str(value) if isinstance(value, str) and value in self.words else None

    def __str__(self) -> str:
        return " or ".join(filter(None, (", ".join(self.words[:-1]), self.words[-1])))


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    def text(self, value: Value) -> str | None:
        """See `Kind.text`."""
        word = str(value).lower()
        return word if isinstance(value, bool | str) and word in ("true", "false") else None

    def __str__(self) -> str:
        return "true or false"


@dataclass(frozen=True, slots=True)
class Count:
    """A whole number, not below zero."""

    def text(self, value: Value) -> str | None:
        """See `Kind.text`."""
        word = str(value)
        whole = isinstance(value, int | str) and not isinstance(value, bool) and word.isascii() and word.isdigit()
        return word if whole else None

    def __str__(self) -> str:
        return "a whole number"


@dataclass(frozen=True, slots=True)
class Text:
    """Any text."""

    def text(self, value: Value) -> str | None:
        """See `Kind.text`."""
        return str(value) if isinstance(value, str) else None

    def __str__(self) -> str:
        return "a text"


@dataclass(frozen=True, slots=True)
class Items:
    """A list; as one text its items stand between commas, and a comma within an item is written `\\,`."""

    def text(self, value: Value) -> str | None:
        """See `Kind.text`."""
        if isinstance(value, str):
            return str(value)
        if not isinstance(value, Sequence) or not all(isinstance(item, str) for item in value):
            return None
        return ",".join(item.replace(",", "\\,") for item in value)

    def __str__(self) -> str:
        return "a list, or one text with commas between"


@dataclass(frozen=True, slots=True)
class Option:
    """One line of the table. `default` is Tailrace's, as text; None: not set. `debezium` is Debezium's where that is
    another."""

    name: str
    kind: Kind
    default: str | None
    meaning: str
    debezium: str | None = None
    converter: bool = False
    """Whether it is one of the converters': behind `key_converter_` or `value_converter_` it is that one's."""
    registry: bool = False
    """Whether it is about the registry, which the encoder does not know."""

    def matches(self, name: str) -> bool:
        """Whether `name` is this option's."""
        if "<" not in self.name:  # nearly all, and a configuration asks for each of its keys
            return self.bare(name) == self.name
        pattern = re.sub(r"<\w+>", "(.+)", re.escape(self.name))
        return re.fullmatch(pattern, self.bare(name), re.DOTALL) is not None

    def bare(self, name: str) -> str:
        """The name without what says whose it is."""
        return re.sub("^(key|value)_converter_", "", name) if self.converter else name


FORMS = ("json", "avro", "json_schema", "protobuf")
STRATEGIES = ("TopicNameStrategy", "RecordNameStrategy", "TopicRecordNameStrategy")
_STRATEGIES = ("Schema", "SchemaUnicode", "SchemaRegex", "Default", "DefaultUnicode", "DefaultRegex")
_ADJUSTMENT = Choice(("none", "avro", "avro_unicode"))
_COLUMNS = "regular expressions of `schema.table.column`"

OPTIONS: tuple[Option, ...] = (
    Option(
        "topic_prefix", Text(), None, "first part of every topic, and `source.name`; the pipeline's name if not set"
    ),
    Option(
        "profile",
        Choice(("debezium", "payload", "flat", "flink", "cloudevents", "cloudevents_binary")),
        "debezium",
        '`payload`: every key and value in `{"payload":…}`, as some readers want it, without a schema. `flat`: rows'
        " instead of events, with `__op`, `__deleted`, `__lsn` and `__ts_ms`; what the server did not send is null, and"
        " `__unavailable` lists its columns. `flink`: what Flink's `debezium-json` reads, and no update or delete"
        " without its whole old row. `cloudevents`: values as CloudEvents 1.0 in the structured form;"
        " `cloudevents_binary`: their attributes in headers, for Kafka only; `schemas_enable` gives"
        " their data a schema. In these four decimals are text (`string`), and times ISO 8601 (`local`; in CloudEvents"
        " `isostring`, as RFC 3339 wants an offset), unless the options say otherwise",
    ),
    Option("schemas_enable", Flag(), "false", "whether every event holds its own schema"),
    Option("key_converter", Choice(FORMS), "json", "how keys are written"),
    Option("value_converter", Choice(FORMS), "json", "how values are written"),
    *(
        Option(name, kind, default, meaning, converter=True)
        for name, kind, default, meaning in (
            ("connect_meta_data", Flag(), "true", "`avro`: `connect.*` properties in schemas"),
            (
                "scrub_invalid_names",
                Flag(),
                "false",
                "`avro`, `protobuf`: names that the format does not allow are made into some it does",
            ),
            (
                "object_additional_properties",
                Flag(),
                "true",
                "`json_schema`: whether structs may have members that their schema does not name",
            ),
            (
                "optional_for_nullables",
                Flag(),
                "false",
                "`protobuf`: what may be null is an `optional` field; without this, null reads as the type's zero",
            ),
            (
                "wrapper_for_nullables",
                Flag(),
                "false",
                "`protobuf`: what may be null is a message such as `google.protobuf.Int32Value`, left out for null",
            ),
            *(
                (name, Flag(), "false", "taken and without effect: events are the same with it")
                for name in ("enhanced_avro_schema_support", "enhanced_protobuf_schema_support")
            ),
        )
    ),
    *(
        Option(name, kind, default, meaning, converter=True, registry=True)
        for name, kind, default, meaning in (
            ("schema_registry_url", Items(), None, "where the schema registry is; several are tried in turn"),
            ("basic_auth_user_info", Text(), None, "`user:password`, if the URL does not hold them"),
            ("bearer_auth_token", Text(), None, "a token in place of user and password"),
            ("schema_registry_ssl_ca_location", Text(), None, "PEM file of what signs the registry's certificate"),
            ("schema_registry_ssl_certificate_location", Text(), None, "PEM file of our certificate"),
            ("schema_registry_ssl_key_location", Text(), None, "PEM file of its key"),
            ("schema_registry_ssl_key_password", Text(), None, "what that file is encrypted with"),
            ("auto_register_schemas", Flag(), "true", "whether a schema that a subject lacks is registered"),
            (
                "use_latest_version",
                Flag(),
                "false",
                "without `auto_register_schemas`: the subject's newest schema's id",
            ),
            ("normalize_schemas", Flag(), "false", "whether the registry normalizes schemas before it compares"),
            ("key_subject_name_strategy", Choice(STRATEGIES), STRATEGIES[0], "what a key's subject is called"),
            ("value_subject_name_strategy", Choice(STRATEGIES), STRATEGIES[0], "what a value's subject is called"),
        )
    ),
    Option(
        "decimal_handling_mode",
        Choice(("precise", "double", "string")),
        "precise",
        "`numeric` and `money` as base64 of the unscaled integer, as a number or as text",
    ),
    Option(
        "time_precision_mode",
        Choice(
            ("adaptive", "adaptive_time_microseconds", "connect", "isostring", "local", "microseconds", "nanoseconds")
        ),
        "adaptive",
        "`date`, `time` and `timestamp` as numbers in the unit that the column's precision or the mode asks for, or as"
        " ISO 8601 text; `local`, which Debezium lacks: without the `Z` at its end",
    ),
    Option(
        "interval_handling_mode",
        Choice(("numeric", "string")),
        "numeric",
        "`interval` as microseconds, or as text such as `P1Y2M3DT4H5M6.78S`",
    ),
    Option(
        "binary_handling_mode",
        Choice(("bytes", "base64", "base64-url-safe", "hex")),
        "bytes",
        "`bytea` as bytes (base64 in JSON), or as text of that form",
    ),
    Option(
        "hstore_handling_mode", Choice(("json", "map")), "json", "`hstore` as the text of a JSON object, or as a map"
    ),
    Option("money_fraction_digits", Count(), "2", "digits of `money` behind the point in mode `precise`"),
    Option(
        "include_unknown_datatypes",
        Flag(),
        "false",
        "whether columns of types that Debezium does not know are written too, as the bytes of their text",
    ),
    Option("tombstones_on_delete", Flag(), "true", "after each delete a record of the same key without a value"),
    Option(
        "unavailable_value_placeholder",
        Text(),
        "__debezium_unavailable_value",
        "stands for a TOAST value that an update left as it was; bytes in hex behind `hex:`",
    ),
    Option("skipped_operations", Items(), "t", "letters of `c`, `u`, `d`, `t` that are left out, or `none`"),
    Option(
        "extended_headers_enabled",
        Flag(),
        "false",
        "headers `__debezium.context.*` on every record: connector, task, run",
        debezium="true",
    ),
    Option(
        "message_key_columns",
        Text(),
        None,
        "the columns that make keys: `schema.table:column,column;…`, tables as regular expressions; their old values"
        " must be in the log (REPLICA IDENTITY)",
    ),
    Option("column_include_list", Items(), None, f"{_COLUMNS} that are written; keys have all of their columns"),
    Option("column_exclude_list", Items(), None, f"{_COLUMNS} that are not written"),
    Option(
        "column_truncate_to_<N>_chars",
        Items(),
        None,
        f"{_COLUMNS} of which only the first N characters are written, or bytes; keys are not cut",
    ),
    Option(
        "column_mask_with_<N>_chars",
        Items(),
        None,
        f"{_COLUMNS} of plain text (`text`, `varchar`, `char`, `name`, enums) that become N stars, in the row and not"
        " in the key; the transform `mask` hides columns of every type",
    ),
    Option(
        "column_mask_hash_v2_<algorithm>_with_salt_<salt>",
        Items(),
        None,
        f"{_COLUMNS} of plain text that become a hash in hex, cut to the column's length: MD5, SHA-1, SHA-224, SHA-256,"
        " SHA-384 or SHA-512 of the salt, which stands as it is, and the text",
    ),
    Option(
        "column_mask_hash_<algorithm>_with_salt_<salt>",
        Items(),
        None,
        "as above, of the text as Java serialises it",
    ),
    Option(
        "column_propagate_source_type",
        Items(),
        None,
        f"{_COLUMNS} whose schema tells the source's name and type: `__debezium.source.column.*`",
    ),
    Option(
        "datatype_propagate_source_type",
        Items(),
        None,
        "the same for regular expressions of `schema.table.type`",
    ),
    Option(
        "message_prefix_include_list", Items(), None, "regular expressions of the prefixes of messages that are written"
    ),
    Option("message_prefix_exclude_list", Items(), None, "the same of messages that are not"),
    Option(
        "provide_transaction_metadata",
        Flag(),
        "false",
        "the block `transaction` in events, and a record at the beginning and the end of each transaction",
    ),
    Option(
        "heartbeat_interval_ms",
        Count(),
        "0",
        "how often a heartbeat is written, 0 for never: with data, and while a source that streams has none",
    ),
    Option(
        "topic_naming_strategy",
        Choice(tuple(f"io.debezium.schema.{name}TopicNamingStrategy" for name in _STRATEGIES)),
        "io.debezium.schema.SchemaTopicNamingStrategy",
        "`Schema…`: `<prefix>.<schema>.<table>`; `Default…`: `<prefix>.<table>`. `…Unicode…`: a character that a topic"
        " cannot have becomes `_u0020` and the like, not an underscore; `…Regex…`: then `topic_regex` is applied",
    ),
    Option("topic_delimiter", Text(), ".", "between the parts of a topic's name"),
    Option("topic_regex", Text(), None, "a regular expression of topics; those that match become `topic_replacement`"),
    Option("topic_replacement", Text(), None, "the new name; `$1` is a group of `topic_regex`"),
    Option("topic_key_enforce_uniqueness", Flag(), "true", "whether keys get a field that tells their table"),
    Option("topic_key_field_name", Text(), "__dbz__physicalTableIdentifier", "its name"),
    Option(
        "topic_key_field_regex", Text(), None, "makes its value from the topic's first name, which it is by default"
    ),
    Option("topic_key_field_replacement", Text(), None, "the value; `$1` is a group of `topic_key_field_regex`"),
    Option("topic_transaction", Text(), "transaction", "last part of the topic of transactions"),
    Option("topic_heartbeat_prefix", Text(), "__debezium-heartbeat", "first part of the topic of heartbeats"),
    Option("topic_heartbeat_name", Text(), None, "the whole name of that topic instead"),
    Option(
        "schema_name_adjustment_mode",
        _ADJUSTMENT,
        "none",
        "what becomes of schemas' names that Avro refuses: `avro`: underscores, `avro_unicode`: `_u0020` and so on",
    ),
    Option("field_name_adjustment_mode", _ADJUSTMENT, "none", "the same for fields"),
)


def texts(options: Mapping[str, Value], table: Sequence[Option] = OPTIONS) -> dict[str, str]:
    """Options as texts; `ConfigError` for a name that is not in the table, with the nearest one, and for a value that
    is not possible."""
    return {name: _text(option_of(name, table), name, value) for name, value in options.items()}


def option_of(name: str, table: Sequence[Option] = OPTIONS) -> Option:
    """The option that `name` belongs to; `ConfigError` with the nearest one when there is none."""
    found = next((option for option in table if option.matches(name)), None)
    if found is None:
        near = difflib.get_close_matches(name, [option.name for option in table], 1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(
            f"unknown key {name!r}{meant}", hint="options of [format] are Debezium's, with dots turned into underscores"
        )
    return found


def _text(option: Option, name: str, value: Value) -> str:
    text = option.kind.text(value)
    if text is None:  # the user's spelling of a name may hold a secret
        shown = option.name if "<" in option.name else name
        raise ConfigError(f"{shown}: this must be {option.kind}", hint=option.meaning)
    return text
