"""How sinks that write events spell them: Debezium's options, in Debezium's words. Never encodes anything itself.

`option` is the table of all options, `transform` that of transforms and theirs; Rust gives them their effect. `encoder`
asks a schema registry for the ids that some formats need.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tailrace._native import BatchBuilder, DebeziumJson, Table
from tailrace.error import ConfigError
from tailrace.format.encoder import Encoder, Side
from tailrace.format.option import OPTIONS, Option, Value, option_of, texts
from tailrace.format.transform import TRANSFORMS, Transform
from tailrace.registry import Registry

__all__ = ["OPTIONS", "TRANSFORMS", "Encoder", "Format", "Option", "Transform"]

_TEXTS = {"decimal_handling_mode": "string", "time_precision_mode": "local"}
_INSTANTS = {**_TEXTS, "time_precision_mode": "isostring"}
_CHOSEN: Mapping[Value, Mapping[str, Value]] = {
    "flat": _TEXTS,
    "flink": _TEXTS,
    "cloudevents": _INSTANTS,
    "cloudevents_binary": _INSTANTS,
}
"""What a profile chooses where the user does not."""
_FLAT = Transform(
    "extract_new_record_state",
    delete_tombstone_handling_mode="rewrite",
    add_fields="op,lsn,source.ts_ms:ts_ms",
    replace_null_with_default=False,
)
"""Nulls stay nulls: Debezium's transform would put a column's default in their place."""


_RENAMES, _ROUTES = "by_logical_table_router", "content_based_router"
"""Transforms that choose a topic: by its name alone, and by the record."""


@dataclass(frozen=True, slots=True, init=False)
class Format:
    """How a sink spells events: Debezium's options as keywords, underscores for dots, as in `[pipeline.<name>.format]`.

    `topic_prefix` defaults to the pipeline's name. `transform` is what becomes of every record, in order: a list of
    `Transform`, or of mappings with its `kind` and options. `ConfigError` for an option that is not there, and for a
    value that is not possible.
    """

    given: tuple[tuple[str, str], ...] = field(repr=False)
    """The options that were given, as texts: some of their names hold a secret."""

    transform: tuple[Transform, ...] = field(repr=False)
    """What becomes of every record, in order."""

    def __init__(self, *, transform: object = (), **options: Value) -> None:
        flat = options.get("profile") == "flat"
        options = {**_CHOSEN.get(str(options.get("profile")), {}), **options}
        object.__setattr__(self, "given", tuple(texts(options).items()))
        object.__setattr__(self, "transform", (*_transforms(transform), *((_FLAT,) if flat else ())))
        self._profile("p")
        for side in ("key", "value"):
            self._side(side)

    def __getitem__(self, name: str) -> str | None:
        """An option's text; its default when it was not given."""
        defaults = {option.name: option.default for option in OPTIONS}
        return {**defaults, **dict(self.given)}[name]

    @property
    def heartbeat_interval_s(self) -> float:
        """Seconds between two heartbeats; 0 for none."""
        return int(self["heartbeat_interval_ms"] or 0) / 1000

    def profile(self, name: str) -> DebeziumJson:
        """The encoder's profile for pipeline `name`: keep it as long as the writer, it holds a plan a table version.

        `ConfigError` when keys or values are no JSON, which lines and texts cannot hold: `encoder` is for those.
        """
        for side in ("key", "value"):
            if self[f"{side}_converter"] != "json":
                raise ConfigError(
                    f"{side}_converter: this sink writes JSON, not {self[f'{side}_converter']}",
                    hint=f"leave {side}_converter out, or write to Kafka",
                )
        if self["profile"] == "cloudevents_binary":
            raise ConfigError(
                'profile = "cloudevents_binary": this sink has no headers of plain text',
                hint='choose "cloudevents", or write to Kafka',
            )
        return self._profile(name)

    def encoder(self, name: str, *, called: Callable[[str], str] = str) -> Encoder:
        """What encodes for pipeline `name` in any format: keep it as long as the writer, and close it.

        `called` gives the name of a topic where the sink gives it another: subjects are named by that.
        `ConfigError` when a registry's client cannot be made; the registry itself is not asked yet.
        """
        return Encoder(self._profile(name), key=self._side("key"), value=self._side("value"), called=called)

    def topics(self, name: str, table: Table) -> list[str] | None:
        """Where the rows of `table` go in pipeline `name`, as Debezium calls it, transaction metadata too; None when
        that depends on what they hold. Asks no registry.
        """
        if any(transform.kind == _ROUTES or "route_by_field" in dict(transform.given) for transform in self.transform):
            return None
        rows = BatchBuilder("check/1/check")
        rows.begin(xid=1, lsn=1, committed_at_us=0)
        rows.add("c", table, after=dict.fromkeys(column.name for column in table.columns))
        rows.commit()
        profile = self._profile(
            name,
            transform=[transform for transform in self.transform if transform.kind == _RENAMES],
            key_converter="json",
            value_converter="json",
        )
        return list(dict.fromkeys(message[0] for part in rows.take().json(profile) for message in part.messages()))

    def _profile(self, name: str, *, transform: Sequence[Transform] | None = None, **chosen: str) -> DebeziumJson:
        options = {"topic_prefix": name}
        options |= {option.name: option.default for option in OPTIONS if option.default is not None}
        options |= dict(self.given) | chosen
        known = {name: text for name, text in options.items() if not option_of(name).registry}
        try:
            transforms = [each.native() for each in (self.transform if transform is None else transform)]
            return DebeziumJson(known, run_id=str(uuid.uuid4()), transforms=transforms)
        except ValueError as error:
            raise ConfigError(str(error)) from None

    def _side(self, side: str) -> Side | None:
        """The registry of keys or of values; None when they need none."""
        if self[f"{side}_converter"] == "json":
            return None
        given, prefix = dict(self.given), f"{side}_converter_"

        def told(name: str) -> str | None:
            return given.get(prefix + name, self[name])

        url = told("schema_registry_url")
        if not url:
            raise ConfigError(
                f"{side}_converter = {self[f'{side}_converter']!r} needs schema_registry_url",
                hint='schema_registry_url = "http://registry:8081"',
            )
        registry = Registry(
            url,
            basic_auth_user_info=told("basic_auth_user_info"),
            bearer_auth_token=told("bearer_auth_token"),
            ssl_ca_location=told("schema_registry_ssl_ca_location"),
            ssl_certificate_location=told("schema_registry_ssl_certificate_location"),
            ssl_key_location=told("schema_registry_ssl_key_location"),
            ssl_key_password=told("schema_registry_ssl_key_password"),
            auto_register_schemas=told("auto_register_schemas") == "true",
            use_latest_version=told("use_latest_version") == "true",
            normalize_schemas=told("normalize_schemas") == "true",
        )
        return Side(registry, told(f"{side}_subject_name_strategy") or "")


def _transforms(given: object) -> Iterator[Transform]:
    if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
        raise ConfigError("transform: this must be a list", hint="write [[pipeline.<name>.format.transform]]")
    for item in given:
        if isinstance(item, Transform):
            yield item
        elif isinstance(item, Mapping) and isinstance(item.get("kind"), str):
            yield Transform(item["kind"], **{name: value for name, value in item.items() if name != "kind"})
        else:
            raise ConfigError("transform: there is no kind", hint=f"known are {', '.join(TRANSFORMS)}")
