"""How sinks that write events spell them: Debezium's options, in Debezium's words. Never encodes anything itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tailrace._native import DebeziumJson
from tailrace.error import ConfigError

__all__ = ["Format"]


@dataclass(frozen=True, slots=True)
class Format:
    """`[pipeline.<name>.format]`: Debezium's option names with dots as underscores, and Debezium's values.

    `topic_prefix` defaults to the pipeline's name. `schemas_enable = true` (schema inside every event) is refused.
    """

    topic_prefix: str | None = None
    decimal_handling_mode: Literal["precise", "double", "string"] = "precise"
    tombstones_on_delete: bool = True
    unavailable_value_placeholder: str = "__debezium_unavailable_value"
    skipped_operations: str = "t"
    schemas_enable: bool = False

    def __post_init__(self) -> None:
        if self.schemas_enable:
            raise ConfigError(
                "format.schemas_enable = true is not supported yet",
                hint="leave it out: events are written without an embedded schema (schemas_enable = false)",
            )

    def profile(self, name: str) -> DebeziumJson:
        """The encoder's profile for pipeline `name`: keep it as long as the writer, it holds a plan a table version."""
        return DebeziumJson(
            self.topic_prefix or name,
            decimal_handling_mode=self.decimal_handling_mode,
            tombstones_on_delete=self.tombstones_on_delete,
            unavailable_value_placeholder=self.unavailable_value_placeholder,
            skipped_operations=self.skipped_operations,
        )
