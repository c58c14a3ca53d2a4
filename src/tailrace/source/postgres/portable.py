"""The mapping of PostgreSQL's types to portable ones, written once. Never asks the server."""

from __future__ import annotations

from dataclasses import dataclass

_PLAIN = frozenset(
    (
        "bool",
        "int2",
        "int4",
        "int8",
        "oid",
        "float4",
        "float8",
        "money",
        "text",
        "name",
        "bytea",
        "date",
        "interval",
        "uuid",
        "json",
        "jsonb",
        "xml",
        "inet",
        "cidr",
        "macaddr",
        "macaddr8",
        "tsvector",
        "point",
        "int4range",
        "int8range",
        "numrange",
        "tsrange",
        "tstzrange",
        "daterange",
    )
)
_LENGTH = frozenset(("varchar", "bpchar"))
_BITS = frozenset(("bit", "varbit"))
_TIMES = frozenset(("time", "timetz", "timestamp", "timestamptz"))
_EXTENSIONS = frozenset((("citext", "citext"), ("hstore", "hstore"), ("ltree", "ltree")))
_VARHDRSZ = 4
_TIME_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Bottom:
    """The type at the end of a chain of domains and arrays: its name, the extension or schema that it comes from (empty
    for the server's own), `pg_type.typtype`, its modifier, and how many arrays stand around it."""

    name: str
    home: str
    kind: str
    typmod: int
    dimensions: int


def portable(bottom: Bottom) -> str:
    """The portable type's name; `other` for everything outside the closed set, whose text is passed on as it is."""
    if bottom.dimensions > 1:  # an array of a domain over an array: its text is quoted twice
        return "other"
    return _element(bottom) + "[]" * bottom.dimensions


def _element(bottom: Bottom) -> str:
    name = bottom.name
    if bottom.kind == "e":
        return "enum"
    if bottom.kind == "m":
        return "multirange"
    if bottom.home:
        return name if (bottom.home, name) in _EXTENSIONS else "other"
    if name == "numeric":
        return _numeric(bottom.typmod)
    if name in _LENGTH:
        return name if bottom.typmod < 0 else f"{name}({bottom.typmod - _VARHDRSZ})"
    if name in _BITS:
        return name if bottom.typmod < 0 else f"{name}({bottom.typmod})"
    if name in _TIMES:
        return name if not 0 <= bottom.typmod < _TIME_DIGITS else f"{name}({bottom.typmod})"
    return name if name in _PLAIN else "other"


def _numeric(typmod: int) -> str:
    """Precision and scale out of the modifier (`make_numeric_typmod` in numeric.c: 11 bits of signed scale)."""
    if typmod < 0:
        return "numeric"
    packed = typmod - _VARHDRSZ
    scale = ((packed & 0x7FF) ^ 0x400) - 0x400
    return f"numeric({packed >> 16 & 0xFFFF},{scale})"
