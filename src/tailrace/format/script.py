"""Expressions in Python over a record, compiled once: `Filter`'s condition and `ContentBasedRouter`'s topic.

    value.op == "u" and value.before.status != value.after.status

`value` is the change itself, with Python's values, wherever the transform stands among others: `op`, `before`,
`after`, `source`, `message`, `committed_at`; None for a tombstone. `key` is the row's key or None, `topic` and
`headers` are what they are there. Names that begin with an underscore are refused: that keeps mistakes out, and is no
sandbox.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from tailrace._native import UNCHANGED, Change
from tailrace.error import ConfigError

__all__ = ["Script", "condition", "topic"]

Script = Callable[[Change, str, dict[str, Any]], bool | str | None]
"""A function of a change, the part of it that a record is of, and its `topic` and `headers` by these names."""

_RECORD = ("key", "value", "topic", "headers")
_BUILTINS = (
    *(abs, all, any, bool, bytes, dict, enumerate, float, frozenset, int, isinstance, len, list, max, min, range),
    *(reversed, round, set, sorted, str, sum, tuple, zip),
)
_NAMES: dict[str, object] = {
    **{function.__name__: function for function in _BUILTINS},
    **{kind.__name__: kind for kind in (date, datetime, time, timedelta, Decimal)},
    "UTC": UTC,
    "UNCHANGED": UNCHANGED,
    "re": re,
}


class Fields(Mapping[str, Any]):
    """A row whose columns are attributes too: `value.after.id` is `value.after["id"]`."""

    __slots__ = ("_row",)

    def __init__(self, row: Mapping[str, Any]) -> None:
        self._row = row

    def __getattr__(self, name: str) -> Any:
        try:
            return self._row[name]
        except KeyError:
            raise AttributeError(name) from None

    def __getitem__(self, name: str) -> Any:
        return self._row[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._row)

    def __len__(self) -> int:
        return len(self._row)


class Source:
    """Where a change comes from: `schema`, `table`, `txId`, `position`, `origin`."""

    __slots__ = ("origin", "position", "schema", "table", "txId")

    def __init__(self, change: Change) -> None:
        named = change.op != "m"
        self.schema = change.table.schema if named else ""
        self.table = change.table.name if named else ""
        self.txId = change.transaction
        self.position = change.position
        self.origin = change.origin


class Envelope:
    """A change as one of its records shows it: a changed key makes a delete of the old row and a create of the new."""

    __slots__ = ("_change", "after", "before", "op")

    def __init__(self, change: Change, part: str) -> None:
        self._change = change
        self.op = {"old_key": "d", "new_key": "c"}.get(part, change.op)
        before = change.before if part != "new_key" else None
        after = change.after if part != "old_key" else None
        self.before = None if before is None else Fields(before)
        self.after = None if after is None else Fields(after)

    @property
    def source(self) -> Source:
        """Where it comes from."""
        return Source(self._change)

    @property
    def message(self) -> object:
        """A logical decoding message, which has `prefix` and `content`; None of a row."""
        return self._change.message

    @property
    def committed_at(self) -> datetime:
        """When its transaction was committed."""
        return self._change.committed_at


def condition(expression: str) -> Script:
    """A script from an expression that is true or false; `ConfigError` when it is no expression."""
    code = _compiled(expression, "condition")

    def judge(change: Change, part: str, names: dict[str, Any]) -> bool:
        answer = _evaluated(code, change, {**names, "part": part})
        if not isinstance(answer, bool):
            raise TypeError("a condition is true or false")
        return answer

    return judge


def topic(expression: str) -> Script:
    """A script from an expression that is a topic or None; `ConfigError` when it is no expression."""
    code = _compiled(expression, "topic_expression")

    def route(change: Change, part: str, names: dict[str, Any]) -> str | None:
        answer = _evaluated(code, change, {**names, "part": part})
        if answer is not None and not isinstance(answer, str):
            raise TypeError("a topic is a text")
        return answer

    return route


def _evaluated(code: Any, change: Change, names: dict[str, Any]) -> object:
    part: str = names.pop("part")
    tombstone = part.endswith("tombstone")
    names["value"] = None if tombstone else Envelope(change, part)
    names["key"] = _key(change, part)
    # Comprehensions see globals only, so all names are that.
    return eval(code, {"__builtins__": {}, **_NAMES, **names})


def _key(change: Change, part: str) -> Fields | None:
    if change.op == "m" or not change.table.key or change.op == "t":
        return None
    old = part.startswith("old_") or change.op == "d"
    row, other = (change.before, change.after) if old else (change.after, change.before)
    rows = [image for image in (row, other) if image is not None]
    return Fields({name: next(image[name] for image in rows if name in image) for name in change.table.key})


def _compiled(expression: str, option: str) -> Any:
    try:
        tree = ast.parse(expression.strip(), f"<{option}>", "eval")
    except (SyntaxError, ValueError) as error:
        raise ConfigError(f"{option} is no Python expression: {error.args[0]}", hint=_HINT) from None
    bound = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    bound |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    for node in ast.walk(tree):
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        if name.startswith("_"):
            raise ConfigError(f"{option} uses {name!r}: names that begin with an underscore are refused")
        if isinstance(node, ast.Name) and name not in bound and name not in _NAMES and name not in _RECORD:
            raise ConfigError(f"{option} uses {name!r}, which is nothing there", hint=_HINT)
    return compile(tree, f"<{option}>", "eval")


_HINT = f"it sees {', '.join(_RECORD)} and {', '.join(_NAMES)}"
