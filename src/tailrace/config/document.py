"""The configuration as a tree of plain values: TOML, then environment overrides, then secrets. Never interprets them.

`TAILRACE_PIPELINE__ORDERS__SOURCE__URL=…` sets `pipeline.orders.source.url`; a number is an index of a list.
In every text `${NAME}` is an environment variable and `${file:PATH}` a file's content (without the last newline).
`$${` is a plain `${`. In the user and the password of a URL it is escaped: they may hold any letter.
"""

from __future__ import annotations

import difflib
import logging
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tailrace.error import ConfigError

__all__ = ["EnvText", "read"]

_PREFIX = "TAILRACE_"
_TABLES = ("PIPELINE", "HTTP")
_TOP = ("STATE_DIR", *(f"{table}__" for table in _TABLES))
_NOT_OURS = ("TAILRACE_FAILPOINT",)
"""Read elsewhere."""

log = logging.getLogger("tailrace.config")

_REFERENCE = re.compile(r"\$(?P<plain>\$)?\{(?:(?P<file>file:)?(?P<name>[^}]*)\})?")
_LOGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*@")
"""A URL up to the end of its user and password."""


class EnvText(str):
    """A text from outside TOML, which has no types: it becomes what the field that it is for wants."""

    __slots__ = ()


def read(path: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """The tree of `path` with the overrides of `environ`, references filled in."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        document: dict[str, Any] = tomllib.loads(text)
    except FileNotFoundError:
        raise ConfigError(f"there is no file {path}", hint="give the path of the TOML file") from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path} is not UTF-8, as TOML is: line {line}", hint="save it as UTF-8") from error
    except ValueError as error:  # of the syntax, or a number of thousands of digits
        raise ConfigError(f"{path} is not TOML: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{path} is nested too deeply") from error
    ours = sorted(name for name in environ if name.startswith(_PREFIX) and name not in _NOT_OURS)
    overrides = [name for name in ours if name.startswith(tuple(_PREFIX + top for top in _TOP))]
    for name in overrides:
        _override(document, name, environ[name])
    _refuse_slips([name for name in ours if name not in overrides and f"${{{name}}}" not in text])
    filled = _fill(document, "", _Around(path.parent, environ))
    assert isinstance(filled, dict)
    return filled


def _refuse_slips(names: Sequence[str]) -> None:
    """What looks like an override is one with a slip of the pen; what does not may be anybody's, and is told."""
    for name in names:
        first, parts, _ = name.removeprefix(_PREFIX).partition("__")
        near = difflib.get_close_matches(first, _TABLES if parts else ("STATE_DIR",), 1, 0.8 if not parts else 0.6)
        if parts or near:
            meant = f"; did you mean {_PREFIX}{near[0]}{parts}…?" if near and parts else ""
            meant = f"; did you mean {_PREFIX}{near[0]}?" if near and not parts else meant
            raise ConfigError(
                f"{name} overrides nothing{meant}",
                hint=f"overrides are {_PREFIX}STATE_DIR, {_PREFIX}HTTP__… and {_PREFIX}PIPELINE__<NAME>__…",
            )
    if names:
        log.warning("%s: not an override of anything, and ignored", ", ".join(names))


def _override(document: dict[str, Any], name: str, value: str) -> None:
    parts = name.removeprefix(_PREFIX).lower().split("__")
    at: Any = document
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        if isinstance(at, list):
            if not part.isdigit() or int(part) >= len(at):
                raise ConfigError(f"{name}: {'.'.join(parts[:depth])} has no entry {part}")
            key: Any = int(part)
        elif isinstance(at, dict):
            key = _spelling(at, part)
            if depth == 1 and parts[0] == "pipeline" and key not in at:
                raise ConfigError(f"{name}: the file has no pipeline {part!r}", hint="overrides are for what it has")
            if not last:
                at.setdefault(key, {})
        else:
            raise ConfigError(f"{name}: {'.'.join(parts[:depth])} is a value, not a table")
        if last:
            at[key] = EnvText(value)
        else:
            at = at[key]


def _spelling(table: Mapping[str, Any], part: str) -> str:
    """The table's own spelling of a key that came in capitals, with `_` for what a variable's name cannot hold."""
    return next((key for key in table if re.sub(r"[^a-z0-9]", "_", key.lower()) == part), part)


@dataclass(frozen=True, slots=True)
class _Around:
    """Where references are looked up."""

    folder: Path
    environ: Mapping[str, str]


def _fill(value: object, where: str, around: _Around) -> object:
    if isinstance(value, dict):
        return {key: _fill(item, f"{where}.{key}" if where else key, around) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, f"{where}[{index}]", around) for index, item in enumerate(value)]
    if isinstance(value, str) and "${" in value:
        login = _LOGIN.match(_REFERENCE.sub(lambda match: "_" * len(match[0]), value))
        end = login.end() if login else 0

        def text(match: re.Match[str]) -> str:
            found = _resolve(match, where, around)
            return quote(found, safe="") if match.start() < end and not match["plain"] else found

        filled = _REFERENCE.sub(text, value)
        return EnvText(filled) if isinstance(value, EnvText) or _REFERENCE.fullmatch(value) else filled
    return value


def _resolve(match: re.Match[str], where: str, around: _Around) -> str:
    if match["plain"]:
        return match[0][1:]
    name = match["name"]
    if not name:
        raise ConfigError(f"{where}: '${{' without a name or its '}}'", hint="a plain '${' is written '$${'")
    if not match["file"]:
        if name not in around.environ:
            raise ConfigError(f"{where}: the environment variable {name} is not set", hint=f"export {name}=…")
        return around.environ[name]
    path = around.folder / name
    try:
        return path.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigError(f"{where}: cannot read {path}: {reason}") from error
