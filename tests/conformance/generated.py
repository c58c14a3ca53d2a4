"""Values that nobody thought of: types × values from a seeded generator. The same seed makes the same rows."""

from __future__ import annotations

import ipaddress
import json
import random
from collections.abc import Callable
from typing import Any

from tests.conformance.cases import Values

Make = Callable[[random.Random], str]
_ROWS = 150
_ROWS_OF_MANY = 60
_CHARS = 'ab "\\/\t\n\r\b\f\x01\x1f\x7f{},=>:éß日本\u2028\ufffd😀🏳'


def cases(seed: int) -> list[Values]:
    """One table for each type, each of `_ROWS` rows."""
    return [_table(name, kind, make, random.Random(f"{seed} {name}")) for name, (kind, make) in _MAKERS.items()]


def families(seed: int) -> list[Values]:
    """One table for each family of types, a column a type, some of its cells null, each of `_ROWS_OF_MANY` rows."""
    return [_family(name, random.Random(f"{seed} {name}")) for name in _FAMILIES]


def _family(name: str, source: random.Random) -> Values:
    kinds = _FAMILIES[name]
    columns = ", ".join(f"c{at} {kind}" for at, (kind, _) in enumerate(kinds))

    def row() -> str:
        return ", ".join("null" if source.random() < 0.1 else make(source) for _, make in kinds)

    return Values(f"g_{name}", columns, tuple(row() for _ in range(_ROWS_OF_MANY)))


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


def _word(source: random.Random) -> str:
    return "".join(source.choices("abcXYZ_09", k=source.randrange(1, 8)))


def _integer(bits: int) -> Make:
    return lambda source: str(source.randrange(-(2 ** source.randrange(bits)), 2 ** source.randrange(bits)))


def _float(source: random.Random) -> str:
    return source.choice((str(round(source.uniform(-1000, 1000), source.randrange(4))), "'NaN'", "'inf'", "'-inf'"))


def _uuid(source: random.Random) -> str:
    return f"'{source.getrandbits(128):032x}'"


def _json(source: random.Random, depth: int = 0) -> Any:
    leaf = (None, True, source.randrange(-(10**9), 10**9), _text(source), source.randrange(1000) / 8)
    if depth > 2 or source.random() < 0.4:
        return source.choice(leaf)
    parts = [_json(source, depth + 1) for _ in range(source.randrange(4))]
    return parts if source.random() < 0.5 else {_text(source): part for part in parts}


def _document(source: random.Random) -> str:
    return _quoted(json.dumps(_json(source), ensure_ascii=source.random() < 0.5))


def _halved(source: random.Random) -> str:
    """`json` is kept as it was written, and so are halves of pairs of surrogates, which are no characters."""
    return _quoted(source.choice(("{0}", '{{"a":{0}}}', "[{0}, 1]")).format(source.choice((r'"\ud83d"', r'"\uDE00x"'))))


def _mood(source: random.Random) -> str:
    return source.choice(("'sad'", "'ok'", "'so-so \"happy\"'"))


def _address(source: random.Random) -> str:
    bits = source.choice((32, 128))
    address = ipaddress.ip_address(source.getrandbits(bits) | 1 << (bits - 1))
    return f"'{address}{source.choice(('', f'/{source.randrange(bits + 1)}'))}'"


def _network(source: random.Random) -> str:
    bits, size = 32, source.randrange(33)
    return f"'{ipaddress.ip_address(source.getrandbits(bits) >> (bits - size) << (bits - size))}/{size}'"


def _hardware(size: int) -> Make:
    return lambda source: f"'{source.randbytes(size).hex(':')}'"


def _fixed_bits(size: int) -> Make:
    return lambda source: "B'" + "".join(source.choices("01", k=size)) + "'"


def _point(source: random.Random) -> str:
    return f"'({source.randrange(-8000, 8000) / 8},{source.randrange(-8000, 8000) / 8})'"


def _words(source: random.Random) -> str:
    words = (f"{_word(source)}{source.choice(('', ':1', ':2A', ':3,7C'))}" for _ in range(source.randrange(5)))
    return f"'{' '.join(words)}'"


def _path(source: random.Random) -> str:
    return "'" + ".".join(_word(source) for _ in range(source.randrange(5))) + "'"


def _range(kind: str, make: Make, order: Callable[[str], Any]) -> Make:
    def made(source: random.Random) -> str:
        low, high = sorted((make(source), make(source)), key=order)
        sides = source.choice("[("), source.choice("])")
        low, high = (source.choice((bound, bound, "null")) for bound in (low, high))
        return source.choice((f"'empty'::{kind}", *3 * [f"{kind}({low}, {high}, '{''.join(sides)}')"]))

    return made


def _array(kind: str, make: Make, *, nulls: bool = True) -> Make:
    def made(source: random.Random) -> str:
        elements = ["null" if nulls and source.random() < 0.2 else make(source) for _ in range(source.randrange(5))]
        return f"ARRAY[{', '.join(elements)}]::{kind}[]"

    return made


def _arrays(*kinds: tuple[str, Make]) -> tuple[tuple[str, Make], ...]:
    return tuple((f"{kind}[]", _array(kind, make)) for kind, make in kinds)


def _year(source: random.Random) -> str:
    return f"'{source.randrange(1600, 9999):04}-{1 + source.randrange(12):02}-{1 + source.randrange(28):02}'"


def _moment(source: random.Random) -> str:
    return f"{_year(source)[:-1]} {_clock(source)}'"


def _zoned(source: random.Random) -> str:
    return f"{_moment(source)[:-1]}+00'"


_MAKERS: dict[str, tuple[str, Make]] = {
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
_RANGES: tuple[tuple[str, Make], ...] = (
    ("int4range", _range("int4range", _integer(30), int)),
    ("int8range", _range("int8range", _integer(62), int)),
    ("numrange", _range("numrange", _numeric2, float)),
    ("daterange", _range("daterange", _year, str)),
    ("tsrange", _range("tsrange", _moment, str)),
    ("tstzrange", _range("tstzrange", _zoned, str)),
)
_NETWORKS: tuple[tuple[str, Make], ...] = (
    ("inet", _address),
    ("cidr", _network),
    ("macaddr", _hardware(6)),
    ("macaddr8", _hardware(8)),
)
_FAMILIES: dict[str, tuple[tuple[str, Make], ...]] = {
    "numbers": (
        ("bool", lambda source: source.choice(("true", "false"))),
        ("int2", _integer(15)),
        ("int4", _integer(31)),
        ("oid", lambda source: str(source.getrandbits(32))),
        ("real", _float),
        ("numeric(5)", _integer(16)),
        ("positive", lambda source: str(1 + source.getrandbits(30))),
        ("price", lambda source: f"{source.randrange(10**9)}e-2"),
    ),
    "characters": (
        ("char(9)", lambda source: _quoted(_word(source))),
        ("varchar(60)", lambda source: _quoted(_text(source))),
        ('"char"', lambda source: _quoted(_word(source)[0])),
        ("citext", lambda source: _quoted(_text(source))),
        ("label", lambda source: _quoted(_text(source))),
        ("mood", _mood),
        ("uuid", _uuid),
        ("json", _document),
        ("json", _halved),
        ("jsonb", _document),
        ("tsvector", _words),
        ("ltree", _path),
        ("pair", lambda source: f"ROW({source.getrandbits(30)}, {_quoted(_text(source))})"),
    ),
    "networks": _NETWORKS,
    "ranges": _RANGES,
    "bits": (
        ("bit(1)", _fixed_bits(1)),
        ("bit(10)", _fixed_bits(10)),
        ("bit(64)", _fixed_bits(64)),
        ("varbit(40)", _bits),
        ("point", _point),
    ),
    "array_numbers": _arrays(
        ("int2", _integer(15)),
        ("int4", _integer(31)),
        ("int8", _integer(63)),
        ("oid", lambda source: str(source.getrandbits(32))),
        ("float8", _float),
        ("bool", lambda source: source.choice(("true", "false"))),
        ("numeric", _numeric),
        ("numeric(14, 2)", _numeric2),
    ),
    "array_characters": (
        *_arrays(
            ("varchar(60)", lambda source: _quoted(_text(source))),
            ("char(9)", lambda source: _quoted(_word(source))),
            ("citext", lambda source: _quoted(_text(source))),
            ("uuid", _uuid),
            ("json", _document),
            ("jsonb", _document),
            ("bytea", lambda source: f"'\\x{source.randbytes(source.randrange(12)).hex()}'"),
            ("hstore", _hstore),
        ),
        # One null in them, and Debezium writes null for the whole array (see `differences`).
        ("ltree[]", _array("ltree", _path, nulls=False)),
        ("mood[]", _array("mood", _mood, nulls=False)),
    ),
    "array_times": _arrays(
        ("date", _year),
        ("time(3)", lambda source: f"'{_clock(source)[:12]}'"),
        ("timestamp", _moment),
        ("timestamp(3)", _moment),
        ("timestamptz", _zoned),
        ("timetz", lambda source: f"'{_clock(source)[:8]}{_offset(source)}'"),
    ),
    "array_networks": _arrays(*_NETWORKS),
    "array_ranges": _arrays(*_RANGES),
}
