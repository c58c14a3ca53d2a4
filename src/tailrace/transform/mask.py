"""Hides cells before they leave the process, in Rust: in both images, in the key, in snapshot and stream alike.

Never keeps what it hides: dead letters and sinks see only the masked cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from tailrace import _native
from tailrace.error import ConfigError
from tailrace.model import Batch, Table
from tailrace.pattern import refuse_left_out_alone

__all__ = ["Mask"]


@dataclass(frozen=True, slots=True)
class Mask:
    """Mask the columns that match these patterns of `schema.table.column`, which are as those of `Select`: all but one
    are `["*.*.*", "!public.orders.id"]`.

    `redact` gives null (empty text where the column is not nullable), `hash` HMAC-SHA-256 of the text under `salt` in
    hex, `truncate` the first `length` characters. A key column can only be hashed: otherwise rows would fall together,
    and `ConfigError` stops the pipeline.
    """

    kind: ClassVar[str] = "mask"
    columns: Sequence[str]
    method: Literal["redact", "hash", "truncate"] = "redact"
    salt: str = field(default="", repr=False)
    length: int = 0
    _mask: _native.Mask = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.method == "hash" and not self.salt:
            raise ConfigError("mask: method = 'hash' needs a salt", hint='for example salt = "${SALT}"')
        if self.method == "truncate" and self.length < 1:
            raise ConfigError("mask: method = 'truncate' needs a length of at least 1")
        if (self.method != "hash" and self.salt) or (self.method != "truncate" and self.length):
            raise ConfigError(f"mask: salt belongs to 'hash' and length to 'truncate', not to {self.method!r}")
        if isinstance(self.columns, str):
            raise ConfigError("mask: columns is one text", hint=f"write it as a list: [{self.columns!r}]")
        object.__setattr__(self, "columns", tuple(self.columns))
        try:
            mask = _native.Mask(self.columns, self.method, salt=self.salt.encode(), length=self.length)
        except ValueError as error:
            raise ConfigError(f"mask: {error}") from error
        refuse_left_out_alone("mask: ", "columns", self.columns)
        object.__setattr__(self, "_mask", mask)

    def unmatched(self, tables: Sequence[Table]) -> list[str]:
        """See `Selective.unmatched`."""
        there = [f"{table}.{column.name}" for table in tables for column in table.columns]
        read = [(glob, _native.Globs([glob.removeprefix("!")])) for glob in self.columns]
        return [glob for glob, globs in read if not any(map(globs.matches, there))]

    def __call__(self, batch: Batch) -> Batch:
        """`batch` with those cells masked."""
        return self._mask(batch)
