"""A change as one line, for people and for programs. Never decides where it goes."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from tailrace.model import UNCHANGED, Change, Row, Table

__all__ = ["Pretty", "as_json"]

_JSON: dict[str, Callable[[Row, str], object]] = {
    "json": Row.text, "jsonb": Row.text, "json[]": Row.elements, "jsonb[]": Row.elements
}  # fmt: skip
_SIGNS = {"c": ("+", "32"), "u": ("~", "33"), "d": ("-", "31"), "r": ("=", "36"), "t": ("x", "35"), "m": ("m", "34")}


def as_json(change: Change) -> bytes:
    """One line of JSON: numbers that JSON cannot hold exactly and times as text, bytes in base64, json as it came.

    Columns that the server did not send are listed in `unchanged` and left out of the row.
    """
    table = None if change.op == "m" else change.table
    document: dict[str, object] = {
        "op": change.op,
        "table": None if table is None else str(table),
        "key": _cells(change.key, table),
        "before": _cells(change.before, table),
        "after": _cells(change.after, table),
        "committed_at": change.committed_at,
        "transaction": change.transaction,
        "position": change.position.text,
    }
    if change.after is not None and (kept := [name for name, value in change.after.items() if value is UNCHANGED]):
        document["unchanged"] = kept
    if change.message is not None:
        document["message"] = {"prefix": change.message.prefix, "content": change.message.content}
    return msgspec.json.encode(document, enc_hook=str) + b"\n"


def _cells(row: Row | None, table: Table | None) -> dict[str, object] | None:
    if row is None or table is None:
        return None
    as_text = _json_columns(table)
    return {
        name: _as_it_came(as_text[name](row, name)) if name in as_text else _exact(value)
        for name, value in row.items()
        if value is not UNCHANGED
    }


def _as_it_came(text: object) -> object:
    """The JSON of a cell, numbers and doubled names too; only line breaks between its tokens must not end our line."""
    if isinstance(text, list):
        return [_as_it_came(item) for item in text]
    if not isinstance(text, str):
        return text
    try:
        return msgspec.json.decode(text.replace("\n", " ").replace("\r", " "), type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):  # a topic can hold what is none, and a server what nests too deep
        return text


@lru_cache(64)
def _json_columns(table: Table) -> Mapping[str, Callable[[Row, str], object]]:
    """Columns that hold json, each with what reads its text."""
    return {column.name: _JSON[column.type] for column in table.columns if column.type in _JSON}


def _exact(value: object) -> object:
    """The value, with texts for the numbers that JSON has none for."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return [_exact(item) for item in value] if isinstance(value, list) else value


class Pretty:
    """Time, sign of the operation, table, key, and what changed; in colours on a terminal."""

    def __init__(self) -> None:
        self._colours = sys.stdout.isatty()

    def __call__(self, change: Change) -> bytes:
        """The line of `change`."""
        sign, colour = _SIGNS[change.op]
        at = change.committed_at.astimezone().strftime("%H:%M:%S.%f")[:-3]
        if change.message is not None:
            what, cells = _shown(change.message.prefix), repr(change.message.content)
        else:
            what, cells = _shown(str(change.table)), self._row(change)
        head = f"\x1b[{colour}m{sign} {what}\x1b[0m" if self._colours else f"{sign} {what}"
        return f"{at} {head} {cells}".rstrip().encode() + b"\n"

    def _row(self, change: Change) -> str:
        key: Mapping[str, Any] = change.key or {}
        row: Mapping[str, Any] = (change.before if change.op == "d" else change.after) or {}
        before: Mapping[str, Any] = change.before or {} if change.op == "u" else {}
        parts = [f"{_shown(name)}={value!r}" for name, value in key.items()]
        for name, value in row.items():
            if name in key or value is UNCHANGED:
                continue
            if name in before and before[name] == value:
                continue
            cell = f"{before[name]!r}→{value!r}" if name in before else repr(value)
            parts.append(f"{_shown(name)}={cell}")
        return " ".join(parts)


def _shown(name: str) -> str:
    """A name with what a terminal would obey, or end the line at, escaped as `repr` does it in values."""
    return name if name.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)
