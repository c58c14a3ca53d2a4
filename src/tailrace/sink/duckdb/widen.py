"""Which change of a column's type loses nothing, in DuckDB's names. Never runs SQL."""

from __future__ import annotations

import re

__all__ = ["fits"]

_INTEGERS = {
    "TINYINT": (3, True),
    "UTINYINT": (3, False),
    "SMALLINT": (5, True),
    "USMALLINT": (5, False),
    "INTEGER": (10, True),
    "UINTEGER": (10, False),
    "BIGINT": (19, True),
    "UBIGINT": (20, False),
    "HUGEINT": (39, True),
}
"""Decimal digits, signed."""
_AS_TEXT = {"BOOLEAN", "UUID", "JSON"}
"""Types whose text in DuckDB is their text in the servers."""
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")


def fits(narrow: str, wide: str) -> bool:
    """Whether every value of type `narrow` is a value of type `wide`; both as `typeof` prints them."""
    if narrow == wide:
        return True
    if narrow.endswith("[]") and wide.endswith("[]"):
        return fits(narrow[:-2], wide[:-2])
    digits = _digits(narrow)
    if wide == "VARCHAR":
        return digits is not None or narrow in _AS_TEXT
    if narrow == "FLOAT":
        return wide == "DOUBLE"
    if digits is None:
        return False
    before, after = digits
    if wide == "DOUBLE":
        return narrow in _INTEGERS and before <= 10
    if wide in _INTEGERS:
        return narrow in _INTEGERS and _holds(narrow, wide)
    room = _digits(wide)
    return room is not None and room[0] >= before and room[1] >= after


def _holds(narrow: str, wide: str) -> bool:
    (few, signed), (many, wide_signed) = _INTEGERS[narrow], _INTEGERS[wide]
    return few < many and (wide_signed or not signed)


def _digits(type: str) -> tuple[int, int] | None:
    """Decimal digits before and after the point; None for what is not an exact number."""
    if type in _INTEGERS:
        return _INTEGERS[type][0], 0
    match = _DECIMAL.fullmatch(type)
    return (int(match[1]) - int(match[2]), int(match[2])) if match else None
