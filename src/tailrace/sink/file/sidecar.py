"""The sidecar of a data file: where the file ends, and which position lies there. Never touches the data itself."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from tailrace import durable
from tailrace.error import Fatal, Fenced
from tailrace.model import Position

__all__ = ["Attempt", "Held", "Sidecar", "State", "sidecar_path"]


def sidecar_path(data: Path) -> Path:
    """Where the sidecar of a data file lies."""
    return data.with_name(data.name + ".position")


@dataclass(frozen=True, slots=True)
class Held:
    """One lineage: the epoch of its owner, and the text of the position that the data ends at."""

    epoch: int
    position: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A snapshot that is not complete: its id, and where the data ended (file number, byte) when it began."""

    id: str
    sequence: int
    offset: int


@dataclass(frozen=True, slots=True)
class State:
    """What the sidecar says. `sequence` numbers the current file, which ends at `offset` and began at `began_s`.

    `rewinding`: a snapshot was given up, and the files are being cut back to `sequence` and `offset`.
    """

    pipeline: str
    sequence: int = 1
    offset: int = 0
    began_s: float = 0.0
    attempt: Attempt | None = None
    rewinding: bool = False
    lineages: dict[str, Held] = field(default_factory=dict)

    @property
    def final(self) -> int:
        """Bytes of the current file that nothing will ever take back: readers stop here."""
        if self.attempt is None:
            return self.offset
        return self.attempt.offset if self.attempt.sequence == self.sequence else 0

    def positions(self) -> dict[str, Position | None]:
        """Every lineage, with the position that the data ends at."""
        return {
            lineage: None if held.position is None else Position(lineage, held.position)
            for lineage, held in self.lineages.items()
        }

    def at(self, positions: tuple[Position, ...]) -> State:
        """The same with these positions saved."""
        lineages = dict(self.lineages)
        for position in positions:
            epoch = lineages[position.lineage].epoch if position.lineage in lineages else 0
            lineages[position.lineage] = Held(epoch, position.text)
        return replace(self, lineages=lineages)


class Sidecar:
    """The sidecar's file: loaded once, replaced atomically and durably, and only while the epochs in it are ours."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> State | None:
        """What the file says; None when there is none. `Fatal` when it is damaged."""
        with durable.storage("read", self.path):
            try:
                content = self.path.read_bytes()
            except FileNotFoundError:
                return None
        try:
            return msgspec.json.decode(content, type=State)
        except msgspec.DecodeError as error:
            raise Fatal(
                f"{self.path} is damaged: {error}",
                hint="restore it from a backup, or move it and the data file away to start with a snapshot",
            ) from None

    def store(self, state: State, *, held: State | None) -> None:
        """Put `state` on disk; `Fenced` when what lies there is not `held`'s: another process has claimed the file."""
        present = self.load()
        if present is None and _epochs(held):
            raise Fatal(
                f"{self.path} is gone: it was moved or removed while the pipeline ran",
                hint="put it back, or move the data file away too to start with a snapshot",
            )
        if _epochs(present) != _epochs(held):
            raise Fenced(f"another process has claimed {self.path} since; this one stops", hint="let that one go on")
        content = msgspec.json.encode(
            {"final": state.final, **{name: getattr(state, name) for name in State.__slots__}}
        )
        durable.replace(self.path, content + b"\n")


def _epochs(state: State | None) -> dict[str, int]:
    return {} if state is None else {lineage: held.epoch for lineage, held in state.lineages.items()}
