"""How sinks that write events spell them: Debezium's options, in Debezium's words. Never encodes anything itself.

`option` is the table of all options; Rust gives them their effect.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from tailrace._native import DebeziumJson
from tailrace.error import ConfigError
from tailrace.format.option import OPTIONS, Option, Value, texts

__all__ = ["OPTIONS", "Format", "Option"]


@dataclass(frozen=True, slots=True, init=False)
class Format:
    """`[pipeline.<name>.format]`: the options of `OPTIONS`, as keywords. `ConfigError` for one that is not there, and
    for a value that is not possible.

    `topic_prefix` defaults to the pipeline's name.
    """

    given: tuple[tuple[str, str], ...] = field(repr=False)
    """The options that were given, as texts: some of their names hold a secret."""

    def __init__(self, **options: Value) -> None:
        object.__setattr__(self, "given", tuple(texts(options).items()))
        self.profile("p")

    def __getitem__(self, name: str) -> str | None:
        """An option's text; its default when it was not given."""
        defaults = {option.name: option.default for option in OPTIONS}
        return {**defaults, **dict(self.given)}[name]

    def profile(self, name: str) -> DebeziumJson:
        """The encoder's profile for pipeline `name`: keep it as long as the writer, it holds a plan a table version."""
        defaults = {option.name: option.default for option in OPTIONS if option.default is not None}
        try:
            return DebeziumJson({"topic_prefix": name, **defaults, **dict(self.given)}, run_id=str(uuid.uuid4()))
        except ValueError as error:
            raise ConfigError(str(error)) from None
