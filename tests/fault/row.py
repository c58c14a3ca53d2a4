"""Declares the rows of the fault matrix: which fault a test makes, where, and how that must end. Makes no fault itself.

    @fault("the slot is dropped", "source", stops(4, "replication slot '…' does not exist any more: …"))
    def test_...

A mark on a test or on one of its parameters. `…` in a message stands for what differs from run to run.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

MODULES = {
    "tests.crash.test_kills": "Tailrace is killed",
    "tests.fault.test_process": "Tailrace is doubled, paused or misled",
    "tests.fault.test_source": "The source restarts or refuses",
    "tests.fault.test_history": "The source's history is gone",
    "tests.fault.test_network": "The network",
    "tests.fault.test_disk": "Out of disk",
    "tests.fault.test_tables": "Tables change",
    "tests.fault.test_rights": "Rights are taken",
    "tests.fault.test_target": "The PostgreSQL target",
    "tests.fault.test_shape": "Large and odd",
    "tests.fault.test_versions": "Older servers",
    "tests.fault.test_random": "Anything, at random",
    "tests.server.sink.kafka.test_fault": "Kafka",
    "tests.server.sink.kafka.test_disk": "Kafka",
    "tests.server.sink.kafka.test_write": "Kafka",
    "tests.server.sink.kafka.test_rights": "Kafka",
    "tests.server.sink.kafka.test_takeover": "Kafka",
    "tests.server.sink.kafka.test_oversized": "Kafka",
    "tests.server.sink.kafka.test_unencodable": "Kafka",
    "tests.server.kafka.test_cluster": "Kafka",
    "tests.crash.test_group_coordinator": "Kafka",
    "tests.server.kafka.test_storm": "Kafka",
    "tests.server.kafka.test_silence": "Kafka",
    "tests.server.kafka.test_source": "Kafka",
    "tests.server.kafka.test_login": "Kafka",
    "tests.server.kafka.test_registry_outage": "Kafka",
    "tests.server.kafka.test_bucket_outage": "Kafka",
}
"""Where rows are declared, in the order of the page, with the title of their part of it."""


@dataclass(frozen=True, slots=True)
class End:
    """How a fault ends: without a `code` the pipeline goes on. `message` is what it says, `then` what follows."""

    code: int | None = None
    message: str = ""
    then: str = "nothing lost"
    retries: bool = False

    def __str__(self) -> str:
        said = f": “{self.message}”" if self.message else ""
        if self.code is not None:
            return f"stops with exit code {self.code}{said}" + (f"; {self.then}" if self.then else "")
        if self.retries:
            return f"waits{said}; then goes on, {self.then}"
        return f"goes on, {self.then}" + (f", and warns{said}" if said else "")

    def said_in(self, text: str) -> bool:
        """Whether one of the lines is the message, whole."""
        pattern = ".*".join(re.escape(part) for part in self.message.split("…"))
        return re.search(f"^{pattern}$", text, re.MULTILINE) is not None


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the page."""

    fault: str
    where: str
    end: End

    @property
    def cells(self) -> tuple[str, str, str]:
        """What it says whatever its tests showed."""
        return self.fault, self.where, str(self.end)


def goes_on(then: str = "nothing lost") -> End:
    """The pipeline goes on, and says nothing that a human must read."""
    return End(None, "", then)


def waits(message: str, then: str = "nothing lost") -> End:
    """The pipeline tells what is wrong, tries again, and goes on when that has passed."""
    return End(None, message, then, retries=True)


def warns(message: str, then: str = "nothing lost") -> End:
    """The pipeline goes on and tells what a human should know."""
    return End(None, message, then)


def stops(code: int, message: str, then: str = "") -> End:
    """The process ends with `code` and this message."""
    return End(code, message, then)


def fault(what: str, where: str, end: End) -> pytest.MarkDecorator:
    """Declare that a test, or a parameter of it, shows this row."""
    return pytest.mark.fault(Row(what, where, end))


def declared() -> dict[Row, str]:
    """Each row that some test declares, in the order of the page, with the title of its part."""
    rows: dict[Row, str] = {}
    for name, title in MODULES.items():
        for row in _rows(importlib.import_module(name)):
            rows.setdefault(row, title)
    return rows


def _rows(module: ModuleType) -> Iterator[Row]:
    for name, function in vars(module).items():
        if name.startswith("test_"):
            for mark in reversed(getattr(function, "pytestmark", [])):
                yield from _of(mark)


def _of(mark: Any) -> Iterator[Row]:
    if mark.name == "fault":
        yield mark.args[0]
    elif mark.name == "parametrize":
        for parameter in mark.args[1]:
            for inner in getattr(parameter, "marks", ()):
                yield from _of(getattr(inner, "mark", inner))
