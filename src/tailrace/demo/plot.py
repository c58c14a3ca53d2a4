"""What a demonstration runs between the shop and its copies: the seam between the stage and its plays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tailrace.demo.compare import Compared
from tailrace.demo.tally import PipelineTally

__all__ = ["Act", "Part", "Plot"]


@dataclass(frozen=True, slots=True)
class Part:
    """One process: a module of this package with its arguments, and the pipelines in it that report."""

    module: str
    arguments: tuple[str, ...]
    pipelines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Act:
    """Processes, by name, that start together; the next act begins when all their pipelines are `ready`, which is
    `called` so."""

    parts: Mapping[str, Part]
    ready: Callable[[PipelineTally], bool]
    called: str


class Plot(Protocol):
    """One demonstration."""

    @property
    def title(self) -> str:
        """The command that shows it."""
        ...

    @property
    def setting(self) -> str:
        """The servers that it starts."""
        ...

    @property
    def roads(self) -> Mapping[str, str]:
        """Each pipeline, with where it leads."""
        ...

    @property
    def targets(self) -> Mapping[str, tuple[str, ...]]:
        """Each copy, with the pipelines that fill it."""
        ...

    @property
    def victims(self) -> Sequence[str]:
        """Which process is killed at each of `stage.KILLS_AT`."""
        ...

    def build(self, folder: Path, url: str, *, stack: ExitStack) -> Sequence[Act]:
        """Start what is needed beside the shop's server, which `stack` ends; returns what is to be played."""
        ...

    def arrived(self, lsn: str) -> bool:
        """Whether everything that was committed before `lsn`, and a little beyond, lies in every copy."""
        ...

    def compare(self) -> list[Compared]:
        """Source against copies; every process has ended."""
        ...
