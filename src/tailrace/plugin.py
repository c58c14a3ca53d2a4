"""From the name of a kind to its class: ours by folder, others by entry point. Never imports what was not asked for.

An entry point in the group `tailrace.sources`, `.sinks`, `.transforms`, `.checkpoints` or `.dead_letters` names a
frozen dataclass; its module says `tailrace_contract = 1`, the version of `contract.py` that it was written for.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from dataclasses import is_dataclass
from enum import StrEnum
from importlib.metadata import EntryPoint, entry_points

from tailrace.contract import CONTRACT_VERSION
from tailrace.error import ConfigError

__all__ = ["Group", "find", "kinds"]

_EXTRAS = {"zstandard": "zstd"}
"""Distributions whose extra does not bear their kind's name."""


class Group(StrEnum):
    """What can be plugged in; the value is the word of the configuration and the name of our folder."""

    SOURCE = "source"
    SINK = "sink"
    TRANSFORM = "transform"
    CHECKPOINT = "checkpoint"
    DEAD_LETTERS = "dead_letters"

    @property
    def entry_point(self) -> str:
        """The group of entry points."""
        return f"tailrace.{self}" if self is Group.DEAD_LETTERS else f"tailrace.{self}s"


def find(group: Group, kind: str) -> type:
    """The dataclass for `kind`; `ConfigError` names the nearest kind, or the extra that must be installed."""
    if kind in _ours(group):
        return _load_ours(group, kind)
    for found in entry_points(group=group.entry_point):
        if found.name == kind:
            return _load_other(group, found)
    known = kinds(group)
    near = difflib.get_close_matches(kind, known, 1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    raise ConfigError(f"there is no {group} of kind {kind!r}{meant}", hint=f"known are {', '.join(known)}")


def kinds(group: Group) -> list[str]:
    """Every kind that `find` knows, ours and others."""
    return sorted({*_ours(group), *(found.name for found in entry_points(group=group.entry_point))})


def _ours(group: Group) -> dict[str, str]:
    """Our kinds and the modules where they are."""
    package = f"tailrace.{group}"
    folder = importlib.import_module(package)
    modules = {module.name: f"{package}.{module.name}" for module in pkgutil.iter_modules(folder.__path__)}
    if group in {Group.SOURCE, Group.SINK}:
        return modules
    return {
        found.kind: package for found in vars(folder).values() if isinstance(found, type) and hasattr(found, "kind")
    }


def _load_ours(group: Group, kind: str) -> type:
    try:
        module = importlib.import_module(_ours(group)[kind])
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("tailrace"):
            raise
        extra = _EXTRAS.get(error.name, kind)
        raise ConfigError(
            f"{group} {kind!r} needs {error.name}, which is not installed", hint=f"pip install 'tailrace[{extra}]'"
        ) from error
    for found in vars(module).values():
        if isinstance(found, type) and is_dataclass(found) and getattr(found, "kind", None) == kind:
            return found
    raise ConfigError(f"{module.__name__} has no dataclass of kind {kind!r}")


def _load_other(group: Group, found: EntryPoint) -> type:
    try:
        loaded = found.load()
        version = getattr(importlib.import_module(found.module), "tailrace_contract", None)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{group} {found.name!r} ({found.value}) cannot be loaded: {error}") from error
    if version != CONTRACT_VERSION:
        raise ConfigError(
            f"{group} {found.name!r} ({found.value}) was written for contract {version}, this is {CONTRACT_VERSION}",
            hint="install versions of tailrace and of the plug-in that go together",
        )
    if not isinstance(loaded, type) or not is_dataclass(loaded):
        raise ConfigError(f"{group} {found.name!r} ({found.value}) is not a dataclass")
    return loaded
