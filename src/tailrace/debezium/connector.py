"""Reads a connector's configuration as it is given to Kafka Connect, Debezium Server or the embedded engine.

Never says what an option means: `option` has them all. Values stay texts, as Java has them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tailrace.error import ConfigError

__all__ = ["Connector", "Form", "parse", "properties", "read", "worker_options"]

_SERVER = "debezium."
_SOURCE = "debezium.source."
_ENGINE = ("offset.storage", "offset.flush.interval.ms", "record.processing.threads", "converter.schemas.enable")
_WANTED = (
    "give the JSON that Kafka Connect's REST interface takes, or a .properties file of Connect, Debezium Server or the"
    " embedded engine"
)
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


class Form(StrEnum):
    """Who runs the connector: it decides where events go, and what options surround those of the connector."""

    CONNECT = "Kafka Connect"
    SERVER = "Debezium Server"
    ENGINE = "the embedded engine"


@dataclass(frozen=True, slots=True)
class Connector:
    """A connector's options by the names that the reference has. Those that surround it in Debezium Server keep theirs,
    such as `debezium.sink.type`, but for transforms and predicates, which are the same everywhere."""

    form: Form
    options: Mapping[str, str]


def read(path: Path) -> Connector:
    """Read a file; `ConfigError` when it is none of a connector."""
    text = _text(path)
    try:
        return parse(text)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.args[0]}", hint=error.hint) from None


def worker_options(path: Path) -> dict[str, str]:
    """The .properties of Kafka Connect's worker; `ConfigError` when it is none."""
    options = properties(_text(path))
    if "bootstrap.servers" not in options:
        raise ConfigError(
            f"{path} is no configuration of a worker: it has no bootstrap.servers",
            hint="give connect-distributed.properties, or what it is called there",
        )
    return options


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not a text in UTF-8", hint=_WANTED) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None


def parse(text: str) -> Connector:
    """What the text of a configuration says."""
    if text.lstrip().startswith("{"):
        return Connector(Form.CONNECT, _from_json(text))
    options = properties(text)
    if any(name.startswith(_SOURCE) for name in options):
        return Connector(Form.SERVER, {_inner(name): value for name, value in options.items()})
    if "connector.class" not in options:
        raise ConfigError("this is no connector: it has no connector.class", hint=_WANTED)
    return Connector(Form.ENGINE if any(name in options for name in _ENGINE) else Form.CONNECT, options)


def _from_json(text: str) -> dict[str, str]:
    try:
        document: dict[str, object] = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"this is no JSON: {error}", hint=_WANTED) from None
    config = document.get("config")
    if isinstance(config, dict):
        document = {"name": document.get("name", ""), **config} if document.get("name") else config
    if "connector.class" not in document:
        raise ConfigError("this is no connector: it has no connector.class", hint=_WANTED)
    return _flat(document)


def _flat(document: Mapping[str, object]) -> dict[str, str]:
    """The values of a JSON object as Connect reads them; `ConfigError` for one that is no scalar."""
    options = {}
    for name, value in document.items():
        if isinstance(value, dict | list):
            raise ConfigError(f"{name}: this must be a text, a number, true or false", hint=_WANTED)
        if value is not None:
            options[name] = value if isinstance(value, str) else json.dumps(value)
    return options


def _inner(name: str) -> str:
    """The connector's name of an option of Debezium Server."""
    if name.startswith(_SOURCE):
        return name.removeprefix(_SOURCE)
    plain = name.removeprefix(_SERVER)
    return plain if re.match(r"(transforms|predicates)(\.|$)", plain) else name


def properties(text: str) -> dict[str, str]:
    """What `java.util.Properties.load` reads; the last of equal names counts."""
    options = {}
    for line in _lines(text):
        match = re.match(r"((?:\\.|[^\\=:\s])*)\s*[=:]?\s*(.*)", line, re.DOTALL)
        if match is not None:
            options[_unescaped(match[1])] = _unescaped(match[2])
    return options


def _lines(text: str) -> Iterator[str]:
    """Logical lines: joined where a line ends with an odd number of backslashes."""
    joined = ""
    for line in re.split(r"\r\n|\r|\n", text):
        line = line.lstrip(" \t\f")
        if not joined and (not line or line[0] in "#!"):
            continue
        tail = len(line) - len(line.rstrip("\\"))
        joined += line[:-1] if tail % 2 else line
        if not tail % 2:
            yield joined
            joined = ""
    if joined:
        yield joined


def _unescaped(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        return chr(int(match[1], 16)) if match[1] else _ESCAPES.get(match[2], match[2])

    return re.sub(r"\\(?:u([0-9A-Fa-f]{4})|(.))", one, text, flags=re.DOTALL)
