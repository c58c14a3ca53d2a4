"""Values that nobody thought of: types × values from a seeded generator. The same seed makes the same rows."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.conformance.cases import Values

_ROWS = 150
_CHARS = 'ab "\\/\t\n\r\b\f\x01\x1f\x7f{},=>:éß日本\u2028\ufffd😀🏳'


def cases(seed: int) -> list[Values]:
    """One table for each type, each of `_ROWS` rows."""
    return [_table(name, kind, make, random.Random(f"{seed} {name}")) for name, (kind, make) in _MAKERS.items()]


def _table(name: str, kind: str, make: Callable[[random.Random], str], source: random.Random) -> Values:
    return Values(f"g_{name}", f"c {kind}", tuple(make(source) for _ in range(_ROWS)))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _text(source: random.Random) -> str:
    return "".join(source.choices(_CHARS, k=source.choice((0, 1, 7, 8, 9, 16, 40))))


def _numeric(source: random.Random) -> str:
    whole, fraction = source.randrange(0, 30), source.randrange(0, 20)
    digits = "".join(source.choices("0123456789", weights=(9, *[1] * 9), k=whole + fraction + 1))
    return f"{source.choice('+-')}{digits[: whole + 1]}.{digits[whole + 1 :]}"


def _numeric2(source: random.Random) -> str:
    return f"{source.randrange(-(10 ** source.randrange(1, 13)), 10 ** source.randrange(1, 13))}e-2"


def _clock(source: random.Random) -> str:
    fraction = source.choice(("", f".{source.randrange(1000):03}", f".{source.randrange(10**6):06}"))
    return f"{source.randrange(24):02}:{source.randrange(60):02}:{source.randrange(60):02}{fraction}"


def _day(source: random.Random) -> str:
    year = source.choice((1, 1581, 1900, 1970, 2024, 9999, 10000, 200000))
    return f"{year:04}-{1 + source.randrange(12)}-{1 + source.randrange(28)}"


def _offset(source: random.Random) -> str:
    return f"{source.choice('+-')}{source.randrange(15):02}:{source.choice((0, 30, 45)):02}"


def _interval(source: random.Random) -> str:
    """Eighths of a second: other fractions are inexact in Debezium (see `differences`)."""
    signed = [source.randrange(-n, n) for n in (100, 30, 100, 100, 100)]
    years, months, days, hours, minutes = signed
    return f"'{years} years {months} mons {days} days {hours} hours {minutes} mins {source.randrange(800) / 8} secs'"


def _hstore(source: random.Random) -> str:
    pairs = {_text(source): source.choice((None, _text(source))) for _ in range(source.randrange(60))}
    keys = ", ".join(_quoted(key) for key in pairs)
    values = ", ".join("null" if value is None else _quoted(value) for value in pairs.values())
    return f"hstore(ARRAY[{keys}]::text[], ARRAY[{values}]::text[])"


def _bits(source: random.Random) -> str:
    return "B'" + "".join(source.choices("01", k=source.randrange(40))) + "'"


def _texts(source: random.Random) -> str:
    elements = ", ".join(source.choice(("null", _quoted(_text(source)))) for _ in range(source.randrange(6)))
    return f"ARRAY[{elements}]::text[]"


_MAKERS: dict[str, tuple[str, Callable[[random.Random], str]]] = {
    "text": ("text", lambda source: _quoted(_text(source))),
    "bytea": ("bytea", lambda source: f"'\\x{source.randbytes(source.randrange(12)).hex()}'"),
    "int8": ("bigint", lambda source: str(source.randrange(-(2 ** source.randrange(64)), 2 ** source.randrange(63)))),
    "numeric": ("numeric", _numeric),
    "numeric2": ("numeric(14, 2)", _numeric2),
    "money": ("money", lambda source: f"{source.randrange(-(10**12), 10**12)}e-2::numeric"),
    "date": ("date", lambda source: f"'{_day(source)}'"),
    "time": ("time", lambda source: f"'{_clock(source)}'"),
    "timetz": ("timetz", lambda source: f"'{_clock(source)}{_offset(source)}'"),
    "timestamp": ("timestamp", lambda source: f"'{_day(source)} {_clock(source)}'"),
    "timestamp2": ("timestamp(2)", lambda source: f"'{_day(source)} {_clock(source)}'"),
    "timestamptz": ("timestamptz", lambda source: f"'{_day(source)} {_clock(source)}{_offset(source)}'"),
    "timestamptz4": ("timestamptz(4)", lambda source: f"'{_day(source)} {_clock(source)}{_offset(source)}'"),
    "interval": ("interval", _interval),
    "hstore": ("hstore", _hstore),
    "varbit": ("varbit", _bits),
    "texts": ("text[]", _texts),
    "float8": ("float8", lambda source: str(round(source.uniform(-1000, 1000), source.randrange(7)))),
}
