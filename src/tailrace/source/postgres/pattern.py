"""Which tables a user means by patterns of `schema.table`. Never asks the server; it is handed what the server has.

A pattern is a glob, or between slashes a regular expression for the whole name in any case, as Debezium's are. One that
begins with `!` leaves out what it matches, whatever else does.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tailrace._native import Globs
from tailrace.error import ConfigError
from tailrace.pattern import refuse_left_out_alone

_WILD = frozenset("*?[")
_KINDS = {"v": "a view", "m": "a materialized view", "f": "a foreign table"}


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation of the catalog that a pattern may match. `ancestors` are the partitioned tables above it; `identified`
    says that its replica identity tells old rows apart, `keyed` that its primary key would."""

    oid: int
    schema: str
    name: str
    kind: str
    persistence: str
    ancestors: tuple[int, ...]
    identified: bool
    keyed: bool

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def identity(self) -> str:
        """The replica identity that it should have, as ALTER TABLE takes it: the one that costs least."""
        return "DEFAULT" if self.keyed else "FULL"

    @property
    def unlogged(self) -> bool:
        """A table that could be published if it were in the log."""
        return self.persistence == "u" and self.kind not in _KINDS

    @property
    def obstacle(self) -> str | None:
        """Why it cannot be published, in words; None when it can."""
        if self.kind in _KINDS:
            return _KINDS[self.kind]
        if self.persistence != "p":
            return "an unlogged or temporary table"
        return None


def is_literal(pattern: str) -> bool:
    """Whether the pattern names one table instead of matching many."""
    return not (_WILD & set(pattern) or pattern.startswith(("/", "!")))


def is_all(patterns: Iterable[str]) -> bool:
    """Whether the patterns mean every table."""
    return "*.*" in (given := tuple(patterns)) and not any(pattern.startswith("!") for pattern in given)


def unmatched(patterns: Sequence[str], database: str) -> ConfigError:
    """What to raise when no table of the database that can be captured is meant."""
    if is_all(patterns):
        hint = "is it the right database? Views and unlogged tables cannot be captured"
        return ConfigError(f"database {database!r} has no table that can be captured", hint=hint)
    hint = "as in public.order_* or /public\\.order_\\d+/; views and unlogged tables cannot be captured"
    return ConfigError(f"no table matches {', '.join(patterns)}", hint=hint)


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether `schema.table` is meant by the patterns (case counts in globs, as in the catalog)."""
    return _globs(tuple(patterns)).matches(name)


def validate(patterns: Sequence[str]) -> None:
    """`ConfigError` for a pattern that can match nothing."""
    if not patterns:
        raise ConfigError("tables is empty", hint='name some, as in tables = ["public.orders", "public.order_*"]')
    refuse_left_out_alone("", "tables", patterns)
    for pattern in patterns:
        bare = pattern.removeprefix("!")
        if "." not in bare and not bare.startswith("/"):
            raise ConfigError(f"table pattern {pattern!r} has no schema", hint=f"write 'public.{bare}' or '*.{bare}'")
    _globs(tuple(patterns))


def choose(patterns: Sequence[str], relations: Sequence[Relation]) -> list[Relation]:
    """The tables that belong into a publication, by name; `ConfigError` for a table named outright that is not there.

    A partition is left to the partitioned table above it when that one is meant too.
    """
    by_name = {str(relation): relation for relation in relations}
    for pattern in filter(is_literal, patterns):
        _require(pattern, by_name)
    meant = [r for r in relations if r.obstacle is None and matches(str(r), patterns)]
    oids = {relation.oid for relation in meant}
    return sorted((r for r in meant if not oids & set(r.ancestors)), key=str)


@functools.lru_cache
def _globs(patterns: tuple[str, ...]) -> Globs:
    try:
        return Globs(patterns)
    except ValueError as error:
        raise ConfigError(f"tables: {error}") from None


def _require(pattern: str, by_name: dict[str, Relation]) -> None:
    relation = by_name.get(pattern)
    if relation is None:
        near = difflib.get_close_matches(pattern, by_name, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else "names are matched as the catalog has them, case included"
        raise ConfigError(f"table {pattern!r} does not exist", hint=hint)
    if relation.obstacle is not None:
        raise ConfigError(
            f"{pattern!r} is {relation.obstacle}: its changes are not in the log",
            hint="ALTER TABLE … SET LOGGED" if relation.unlogged else "capture the tables behind it",
        )
