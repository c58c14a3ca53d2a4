"""Which change of a column's type loses nothing, in PostgreSQL's own spelling of types. Never runs SQL."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["canonical", "fits"]

_SPELLING = re.compile(
    r"(?P<name>[a-z0-9 ]+?)(?:\((?P<modifiers>-?\d+(?:,-?\d+)?)\))?(?P<zone> with(?:out)? time zone)?(?P<array>\[\])?"
)
_SHORT = re.compile(r"(?P<name>[a-z0-9]+)(?P<modifiers>\(\d+(?:,\d+)?\))?(?P<array>\[\])?")
_LONG = {
    "bool": ("boolean", ""),
    "int2": ("smallint", ""),
    "int4": ("integer", ""),
    "int8": ("bigint", ""),
    "float4": ("real", ""),
    "float8": ("double precision", ""),
    "varchar": ("character varying", ""),
    "varbit": ("bit varying", ""),
    "time": ("time", " without time zone"),
    "timetz": ("time", " with time zone"),
    "timestamp": ("timestamp", " without time zone"),
    "timestamptz": ("timestamp", " with time zone"),
}
_INTEGERS = {"smallint": 5, "integer": 10, "bigint": 19}
"""Digits that any value has at most."""
_CLOCKS = frozenset(("time", "timestamp", "interval"))
_STRINGS = frozenset(("character varying", "character"))
_BITS = frozenset(("bit", "bit varying"))
_AS_TEXT = frozenset(("numeric", "uuid", "json", "name", *_INTEGERS, *_STRINGS))
"""Types whose cast to text is what they are printed as."""
_CLOCK_DIGITS = 6


@dataclass(frozen=True, slots=True)
class _Type:
    name: str
    modifiers: tuple[int, ...]
    array: bool


def canonical(type: str) -> str:
    """A type in the spelling of `format_type`, which has no short names: `int8[]`, `varchar(9)`, `timestamptz(3)`."""
    match = _SHORT.fullmatch(type)
    if match is None or match["name"] not in _LONG:
        return type
    head, zone = _LONG[match["name"]]
    return f"{head}{match['modifiers'] or ''}{zone}{match['array'] or ''}"


def fits(narrow: str, wide: str) -> bool:
    """Whether every value of type `narrow` is a value of type `wide`; both as `format_type` prints them."""
    if narrow == wide:
        return True
    ours, theirs = _parse(narrow), _parse(wide)
    if ours is None or theirs is None or ours.array != theirs.array:
        return False
    if theirs.name in {"text", "character varying"} and not theirs.modifiers:
        return ours.name in _AS_TEXT
    if ours.name == "real":
        return theirs.name == "double precision"
    if ours.name == "cidr":
        return theirs.name == "inet"
    if ours.name in _STRINGS and theirs.name in _STRINGS:
        # A char(n) is filled up with blanks, so nothing but a longer one holds what a char(n) compares equal to.
        return _length(ours) <= _length(theirs) and (ours.name == theirs.name or ours.name == "character")
    if ours.name in _BITS and theirs.name in _BITS:
        return theirs.name == "bit varying" and _length(ours) <= _length(theirs)
    if ours.name == theirs.name and _clock(ours) is not None:
        return (_clock(ours) or 0) <= (_clock(theirs) or 0)
    return _number_fits(ours, theirs)


def _number_fits(ours: _Type, theirs: _Type) -> bool:
    digits, room = _digits(ours), _digits(theirs)
    if theirs.name == "numeric" and not theirs.modifiers:
        return ours.name == "numeric" or digits is not None
    if digits is None or room is None:
        return False
    if theirs.name in _INTEGERS:
        return ours.name in _INTEGERS and digits[0] <= room[0]
    return digits[0] <= room[0] and digits[1] <= room[1]


def _digits(type: _Type) -> tuple[int, int] | None:
    """Decimal digits before and after the point; None for what is not a number of known size."""
    if type.name in _INTEGERS:
        return _INTEGERS[type.name], 0
    if type.name != "numeric" or not type.modifiers:
        return None
    precision, scale = (*type.modifiers, 0)[:2]
    return precision - scale, scale


def _length(type: _Type) -> float:
    if type.modifiers:
        return type.modifiers[0]
    return 1 if type.name in {"bit", "character"} else float("inf")


def _clock(type: _Type) -> int | None:
    """Digits of a second; None for types without."""
    head = type.name.partition(" ")[0]
    if head not in _CLOCKS:
        return None
    return type.modifiers[0] if type.modifiers else _CLOCK_DIGITS


def _parse(spelling: str) -> _Type | None:
    """A type of the server's own; None for one that is written with a schema or in quotes."""
    match = _SPELLING.fullmatch(spelling)
    if match is None:
        return None
    modifiers = tuple(int(number) for number in (match["modifiers"] or "").split(",") if number)
    return _Type(match["name"] + (match["zone"] or ""), modifiers, match["array"] is not None)
