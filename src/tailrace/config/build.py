"""From a table of plain values to a dataclass: every key known, every type right. Never shows a value in a message."""

from __future__ import annotations

import dataclasses
import difflib
import enum
import json
import re
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tailrace.config.document import EnvText
from tailrace.error import ConfigError
from tailrace.format import Format

__all__ = ["Site", "build", "check_keys", "convert", "fields_of"]

_WORDS = {
    "array": "a list",
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number",
    "null": "nothing",
    "object": "a table",
    "str": "a text",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Site:
    """Where a value was written: the dotted key, and the folder that relative paths count from."""

    key: str
    folder: Path

    def __str__(self) -> str:
        return self.key

    def at(self, name: str) -> Site:
        """Further in."""
        return Site(f"{self.key}.{name}" if self.key else name, self.folder)


def fields_of(cls: type) -> dict[str, dataclasses.Field[Any]]:
    """What can be configured of a dataclass."""
    return {field.name: field for field in dataclasses.fields(cls) if field.init and not field.name.startswith("_")}


def check_keys(table: Mapping[str, object], known: typing.Iterable[str], where: str) -> None:
    """`ConfigError` for a key that is not known, with the nearest one that is."""
    names = list(known)
    for key in table:
        if key not in names:
            near = difflib.get_close_matches(key, names, 1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            at = f"{where}: " if where else ""
            raise ConfigError(f"{at}unknown key {key!r}{meant}", hint=f"known are {', '.join(sorted(names))}")


def build(cls: type, table: Mapping[str, Any], site: Site) -> Any:
    """An instance of the dataclass `cls`; errors name the key."""
    if cls is Format:
        return _made(cls, table, site)
    known = fields_of(cls)
    check_keys(table, known, str(site))
    for name, field in known.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in table:
            raise ConfigError(f"{site}: the key {name!r} is missing")
    hints = typing.get_type_hints(cls)
    values = {name: convert(value, hints[name], site.at(name)) for name, value in table.items()}
    return _made(cls, values, site)


def _made(cls: type, values: Mapping[str, object], site: Site) -> object:
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(f"{site}: {error.args[0]}", hint=error.hint) from error
    except OverflowError as error:  # on the way to Rust
        raise ConfigError(f"{site}: a number here is too large") from error


def convert(value: object, hint: object, site: Site) -> object:
    """What a field annotated with `hint` gets; a relative path counts from the folder of `site`."""
    choices = _members(hint)
    if isinstance(value, EnvText):
        value = _typed(value, choices)
    for choice in choices:
        if isinstance(choice, type) and dataclasses.is_dataclass(choice):
            if isinstance(value, choice):
                return value
            if isinstance(value, dict):
                return build(choice, value, site)
    if isinstance(value, str):
        if Path in choices and not (str in choices and "://" in value):  # of a bucket
            if "\0" in value:
                raise ConfigError(f"{site}: a path holds no NUL (\\u0000)", hint="take it out")
            return site.folder / value
        if str in choices:
            return str(value)
    if Path in choices and choices <= {Path, str, types.NoneType}:
        raise ConfigError(f"{site}: this must be a text, not {_word(value)}")
    try:
        return msgspec.convert(value, hint, strict=True)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{site}{_place(str(error))}: {_reason(str(error), hint)}") from None


def _members(hint: object) -> set[object]:
    """The types of a union; the type itself when it is none."""
    if typing.get_origin(hint) in {typing.Union, types.UnionType}:
        return set(typing.get_args(hint))
    return {hint}


def _typed(text: EnvText, choices: set[object]) -> object:
    """Read a text from outside as what the field wants: texts as they are, all else as a TOML or JSON value."""
    textual = any(choice in {str, Path} or _is_choice(choice) for choice in choices)
    if textual and not text.startswith(('"', "'", "[", "{")):
        return str(text)
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except ValueError:  # not TOML: JSON then, or just a text
        try:
            return json.loads(text)
        except ValueError:
            return str(text)


def _is_choice(choice: object) -> bool:
    return typing.get_origin(choice) is typing.Literal or (isinstance(choice, type) and issubclass(choice, enum.Enum))


def _place(message: str) -> str:
    """Where inside the value: msgspec writes `$[0].name`."""
    found = re.search(r" - at `\$(.*)`", message)
    return found[1] if found else ""


def _reason(message: str, hint: object) -> str:
    expected = re.match(r"Expected `([^`]*)`, got `([^`]*)`", message)
    if expected:
        wanted = " or ".join(_WORDS.get(word.strip(), word.strip()) for word in expected[1].split("|"))
        return f"this must be {wanted}, not {_WORDS.get(expected[2], expected[2])}"
    values = [value for member in _members(hint) if _is_choice(member) for value in _choices(member)]
    if values:
        return f"this must be one of {', '.join(repr(value) for value in values)}"
    return "this value is not possible here"


def _choices(member: Any) -> list[object]:
    if typing.get_origin(member) is typing.Literal:
        return list(typing.get_args(member))
    return [choice.value for choice in member]


def _word(value: object) -> str:
    names = {bool: "bool", int: "int", float: "float", list: "array", dict: "object"}
    return _WORDS[names.get(type(value), "object")]
