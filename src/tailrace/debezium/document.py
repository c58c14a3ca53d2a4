"""A pipeline's configuration as TOML. Never decides what stands in it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["Document", "Value", "literal", "written"]

Value = str | int | bool | Sequence[str]
_BARE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(slots=True)
class Document:
    """The tables of one pipeline, in the order in which they are written. An empty one is left out."""

    name: str
    source: dict[str, Value | float] = field(default_factory=dict)
    takeover: dict[str, Value] = field(default_factory=dict)
    format: dict[str, Value] = field(default_factory=dict)
    format_transforms: list[dict[str, Value]] = field(default_factory=list)
    sink: dict[str, Value] = field(default_factory=dict)
    dead_letters: dict[str, Value] = field(default_factory=dict)
    sink_url: str | None = None
    """What `--sink` said; then there is no table `sink`."""


def written(document: Document, head: Sequence[str]) -> str:
    """The document as text, below these lines of comment."""
    pipeline = f"pipeline.{_key(document.name)}"
    lines = [f"# {line}".rstrip() for line in head]
    if document.sink_url is not None:
        lines += ["", f"[{pipeline}]", f"sink = {_value(document.sink_url)}"]
    lines += _table(f"{pipeline}.source", document.source)
    lines += _table(f"{pipeline}.source.takeover", document.takeover)
    lines += _table(f"{pipeline}.format", document.format)
    for transform in document.format_transforms:
        lines += ["", f"[[{pipeline}.format.transform]]", *_pairs(transform)]
    lines += _table(f"{pipeline}.sink", document.sink)
    lines += _table(f"{pipeline}.dead_letters", document.dead_letters)
    return "\n".join(lines) + "\n"


def literal(text: str) -> str:
    """A text in which `${` is no reference."""
    return text.replace("${", "$${")


def _table(name: str, values: Mapping[str, Value | float]) -> list[str]:
    return ["", f"[{name}]", *_pairs(values)] if values else []


def _pairs(values: Mapping[str, Value | float]) -> list[str]:
    return [f"{_key(name)} = {_value(value)}" for name, value in values.items()]


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _value(name)


def _value(value: Value | float) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):  # TOML's basic strings are JSON's, but for DEL
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    return f"[{', '.join(_value(item) for item in value)}]"
