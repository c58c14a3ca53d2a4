"""What an event with a schema keeps of a cell, in every mode: the type that it is read back with, and what of its text
is left. Knows neither events nor readers: cells are compared as text.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

Same = Callable[[str], Any]
_DAY_US = 86_400_000_000
_MONTH_US = 2_629_800_000_000
"""A twelfth of 365.25 days."""
_SHAPES = {"line", "lseg", "box", "path", "polygon", "circle"}
_TEXTS = {"name", "varchar", "bpchar", "citext", "inet", "cidr", "macaddr", "macaddr8"}
_LOCAL = {
    "-5877611-06-21": "infinity",
    "+292278994-08-16": "infinity",
    "-5877611-06-22": "-infinity",
    "+292269055-12-02": "-infinity",
    "+294247-01-10T04:00:25.2": "infinity",
    "-290308-12-21T19:59:27.6": "-infinity",
}
"""What stands for infinite dates, by themselves and in arrays, and for infinite timestamps."""
_NUMBERS = {"NAN": "NaN", "POSITIVE_INFINITY": "Infinity", "NEGATIVE_INFINITY": "-Infinity"}


@dataclass(frozen=True, slots=True)
class Kept:
    """The portable type with which a column is read, and what both cells are reduced to before they are compared."""

    type: str
    ours: Same = str
    """Of the server's text; None for what becomes null."""
    theirs: Same = str
    """Of the text that was read."""


def kept(kind: str, native: str, options: Mapping[str, str]) -> Kept:
    """What these options leave of a column of the portable type `kind`, which the server calls `native`."""
    if kind.endswith("[]"):
        return _array(kind.removesuffix("[]"), native.removesuffix("[]"), options)
    name = kind.partition("(")[0]
    if name in ("numeric", "money"):
        return _decimal(kind, options.get("decimal_handling_mode", "precise"))
    if name in ("date", "time", "timestamp"):
        return _temporal(kind, options.get("time_precision_mode", "adaptive"))
    if name == "bytea":
        return _binary(options, lambda text: bytes.fromhex(text.removeprefix("\\x")))
    if name in ("other", "multirange") and native not in ('"char"', "public.isbn"):
        return _binary(options, _numbers_of if native in _SHAPES else str.encode, native in _SHAPES)
    if name == "interval" and options.get("interval_handling_mode") != "string":
        return Kept("interval", interval_us, interval_us)
    if name == "hstore" and options.get("hstore_handling_mode") != "map":
        return Kept("json", _pairs, json.loads)
    if name in ("bit", "varbit"):
        # One bit is a boolean; zeros in front of a varbit are lost.
        if kind.endswith("bit(1)"):
            return Kept("bool", _bit, _bit)
        return Kept(kind.removeprefix("var") if "(" in kind else kind, _bits, _bits)
    if name == "timetz":
        return Kept("timetz", in_utc_us, in_utc_us)
    simple = {"oid": "int8", "jsonb": "json", "timestamptz": "timestamptz", "other": "text"}
    return Kept("text" if name in _TEXTS or name.endswith("range") else simple.get(name, kind))


def is_lost(kind: str, options: Mapping[str, str]) -> bool:
    """Whether an unchanged cell has no placeholder, and is null in an event."""
    bare = kind.startswith("numeric") and not kind.endswith("[]")
    return kind in ("bool[]", "bit(1)[]") or (bare and options.get("decimal_handling_mode") == "double")


def _array(kind: str, native: str, options: Mapping[str, str]) -> Kept:
    element = kept(kind, native, options)
    if kind == "hstore":  # JSON in any mode
        element = kept(kind, native, {})
        return Kept("json[]" if options.get("hstore_handling_mode") != "map" else "json", element.ours, element.theirs)
    return Kept(f"{element.type}[]", element.ours, element.theirs)


def _decimal(kind: str, mode: str) -> Kept:
    if mode == "double":
        return Kept("float8", _double, _double)
    if mode == "string":
        return Kept("text", _plain, _plain)
    # No NaN, no infinity; zeros at the end of one without a scale are cut off.
    return Kept(kind.replace("money", "numeric"), lambda text: None if text[-1].isalpha() else _number(text), _number)


def _plain(text: str) -> str:
    """Without a currency."""
    return _NUMBERS.get(text, text.replace("$", "").replace(",", ""))


def _number(text: str) -> Decimal | str:
    text = _plain(text)
    return text if text[-1].isalpha() else Decimal(text)


def _double(text: str) -> float | str:
    number = float(_number(text))
    return "NaN" if math.isnan(number) else number


def _temporal(kind: str, mode: str) -> Kept:
    name, _, digits = kind.rstrip(")").partition("(")
    if name == "time" and mode in ("local", "isostring"):
        # The end of a day is its beginning.
        return Kept("text" if mode == "local" else name, lambda text: text.replace("24:00:00", "00:00:00"), str)
    if mode == "local":
        return Kept("text", str, _local)
    if name == "date":
        return Kept("date")
    if mode == "connect":
        return Kept(f"{name}(3)", _to_millis, str)
    if mode == "nanoseconds" and name == "timestamp":
        return Kept(name, lambda text: text if _has_nanoseconds(text) else None, str)
    wide = ("isostring", "microseconds", "nanoseconds", *(["adaptive_time_microseconds"] if name == "time" else []))
    return Kept(name if mode in wide or not digits or int(digits) > 3 else f"{name}(3)", _held, _held)


def _held(text: str) -> str:
    """A timestamp, but for those that are all held at the end of 64 bits."""
    return "far" if text.startswith("2942") else text


def _to_millis(text: str) -> str:
    whole, point, fraction = text.partition(".")
    era = " BC" if text.endswith(" BC") else ""
    digits = fraction.removesuffix(" BC")[:3].rstrip("0")
    return f"{whole}.{digits}{era}" if digits else whole + (era if point else "")


def _has_nanoseconds(text: str) -> bool:
    if text.endswith("infinity"):
        return True
    year = int(text.partition("-")[0])
    if text.endswith(" BC") or not 1677 <= year <= 2262:
        return False
    away = datetime.fromisoformat(text) - datetime(1970, 1, 1)
    # The first hours that fit count as out of range in Debezium, and are written here (see `differences`).
    return abs(away // timedelta(microseconds=1)) * 1000 < 1 << 63


def _local(text: str) -> str:
    """Java's text of a date or a timestamp as the server's."""
    text = _LOCAL.get(text, text)
    found = re.fullmatch(r"([+-]?)0*(\d{4,})(-\d\d-\d\d)(T.*)?", text)
    if found is None:
        return text
    sign, year, day, clock = found.groups(default="")
    before = sign == "-" or int(year) == 0
    number = int(year) + 1 if before else int(year)
    return f"{number:04}{day}{clock.replace('T', ' ')}{' BC' if before else ''}"


def _binary(options: Mapping[str, str], bytes_of: Callable[[str], Any], shape: bool = False) -> Kept:
    mode = options.get("binary_handling_mode", "bytes")
    decode = {
        "bytes": lambda text: bytes.fromhex(text.removeprefix("\\x")),
        "hex": bytes.fromhex,
        "base64": base64.b64decode,
        "base64-url-safe": base64.urlsafe_b64decode,
    }[mode]
    theirs = (lambda text: _numbers_of(decode(text).decode())) if shape else decode
    return Kept("bytea" if mode == "bytes" else "text", bytes_of, theirs)


def _numbers_of(shape: str) -> list[float]:
    """Java spells the numbers of shapes its own way."""
    return [float(number) for number in re.findall(r"-?\d[\d.]*(?:[eE][+-]?\d+)?", shape)]


def _bits(text: str) -> int:
    return int({"t": "1", "f": "0"}.get(text, text) or "0", 2)


def _bit(text: str) -> int | None:
    """A boolean, which has no form for no bit at all."""
    return _bits(text) if text else None


def _pairs(text: str) -> dict[str, str | None]:
    """An hstore's pairs."""
    quoted = r'"((?:[^"\\]|\\.)*)"'

    def plain(escaped: str) -> str:
        return re.sub(r"\\(.)", r"\1", escaped, flags=re.DOTALL)

    found = re.finditer(f"{quoted}=>(?:NULL|{quoted})", text, re.DOTALL)
    return {plain(pair[1]): None if pair[2] is None else plain(pair[2]) for pair in found}


def in_utc_us(text: str) -> int:
    """Microseconds of the day in UTC."""
    clock, sign, zone = text.partition("+") if "+" in text else text.partition("-")
    hours, minutes, seconds = clock.split(":")
    micros = (int(hours) * 60 + int(minutes)) * 60_000_000 + round(Decimal(seconds) * 1_000_000)
    parts = [int(part) for part in zone.split(":")]
    offset = sum(part * unit for part, unit in zip(parts, (3600, 60, 1), strict=False)) * 1_000_000
    return (micros - offset * (-1 if sign == "-" else 1)) % _DAY_US


def interval_us(text: str) -> int | str:
    """An interval as one number of microseconds; infinite beyond 64 bits of them."""
    if text.endswith("infinity"):
        return text
    units = {"year": 12 * _MONTH_US, "mon": _MONTH_US, "day": _DAY_US}
    micros = sum(int(count) * units[unit] for count, unit in re.findall(r"([+-]?\d+) (year|mon|day)", text))
    if clock := re.search(r"([+-]?)(\d+):(\d\d):([\d.]+)", text):
        sign, hours, minutes, seconds = clock.groups()
        time = (int(hours) * 60 + int(minutes)) * 60_000_000 + round(Decimal(seconds) * 1_000_000)
        micros += -time if sign == "-" else time
    if abs(micros) >= (1 << 63) - 1:
        return "infinity" if micros > 0 else "-infinity"
    return micros
