"""`tailrace dead-letters`: list, show, replay, drop. Never changes the letters itself while they have an owner.

The owner is the running pipeline, which is asked; when none runs, this process takes the pipeline's lock and does it
alone. An App has no TOML file: its file of letters stands for it, and nobody but the App can replay them.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tailrace.cli.report import columns, confirm
from tailrace.config import load
from tailrace.dead_letters.file import File, discard, is_owned
from tailrace.dead_letters.journal import read_all
from tailrace.dead_letters.letter import Letter
from tailrace.dead_letters.request import Action, submit
from tailrace.durable import storage
from tailrace.error import ConfigError, Retryable
from tailrace.pipeline import Pipeline, alone, replay_alone

__all__ = ["drop", "replay", "show", "show_list"]

_ANSWER_S = 30.0
_LOOK_S = 0.1


def show_list(target: Path, names: Sequence[str], *, as_json: bool) -> int:
    """One row a letter, without its cells."""
    letters = _open(target, names).chosen()
    if as_json:
        hidden = {"key", "before", "after", "message", "table"}
        rows = [
            {"table": letter.table_name} | {key: getattr(letter, key) for key in letter.__slots__ if key not in hidden}
            for letter in letters
        ]
        sys.stdout.write(msgspec.json.encode(rows).decode() + "\n")
        return 0
    rows_text = [("ID", "OP", "TABLE", "PARKED", "TRIES", "REASON")]
    for letter in letters:
        parked = datetime.fromtimestamp(letter.parked_at, UTC).strftime("%Y-%m-%d %H:%M:%S")
        rows_text.append((letter.id, letter.op, letter.table_name, parked, str(letter.attempts), letter.reason))
    sys.stdout.write(columns(rows_text) + "\n")
    return 0


def show(target: Path, names: Sequence[str]) -> int:
    """Whole letters, cells included, as JSON lines."""
    for letter in _open(target, names).chosen():
        sys.stdout.write(msgspec.json.encode(letter).decode() + "\n")
    return 0


def replay(target: Path, names: Sequence[str]) -> int:
    """Have letters offered again; 5 when some were refused again and stay."""
    place = _open(target, names)
    asked = place.chosen()
    if not asked:
        sys.stdout.write("there is nothing to replay\n")
        return 0
    _ask(place, action=Action.REPLAY, ids=place.ids)
    left = {letter.id: letter for letter in read_all(place.path)}
    stayed = [left[letter.id] for letter in asked if letter.id in left]
    sys.stdout.write(f"replayed {len(asked) - len(stayed)}, still parked {len(stayed)}\n")
    for letter in stayed[:10]:
        sys.stdout.write(f"  {letter.id} {letter.table_name}: {letter.reason}\n")
    return 5 if stayed else 0


def drop(target: Path, names: Sequence[str], *, yes: bool) -> int:
    """Throw letters away."""
    place = _open(target, names)
    asked = [letter.id for letter in place.chosen()]
    if not asked:
        sys.stdout.write("there is nothing to drop\n")
        return 0
    confirm(f"Throw away {len(asked)} change(s) of {place} that the sink has never got?", yes=yes)
    if place.pipeline is None and not is_owned(place.path):
        discard(place.path, asked)
    else:
        _ask(place, action=Action.DROP, ids=asked)
    sys.stdout.write(f"dropped {len(asked)}\n")
    return 0


@dataclass(frozen=True, slots=True)
class _Place:
    """Where letters are, those that are meant (all without `ids`), and their pipeline; None when only it knows."""

    path: Path
    ids: tuple[str, ...]
    pipeline: Pipeline | None = None

    def __str__(self) -> str:
        return f"pipeline {self.pipeline.name}" if self.pipeline else str(self.path)

    def chosen(self) -> list[Letter]:
        """The letters that are meant; `ConfigError` for an id that is not there."""
        return _chosen(read_all(self.path), self.ids)


def _open(target: Path, names: Sequence[str]) -> _Place:
    """A file of letters and ids, or a configuration, the name of a pipeline and ids."""
    if _holds_letters(target):
        return _Place(target, tuple(names))
    if not names:
        raise ConfigError(
            f"{target} is not a file of dead letters, and which pipeline is meant is not said",
            hint="name a pipeline of the TOML file, or give the file of an App's dead letters",
        )
    name, *ids = names
    pipeline = load(target, [name]).pipelines[name]
    if not isinstance(pipeline.dead_letters, File):
        raise ConfigError(
            f"pipeline {name} has no dead letters in a file", hint=f"add [pipeline.{name}.dead_letters] to {target}"
        )
    return _Place(pipeline.dead_letters.path, tuple(ids), pipeline)


def _holds_letters(path: Path) -> bool:
    """JSON lines, or nothing yet: no TOML file begins like that."""
    if path.suffix == ".toml" or not path.is_file():
        return False
    with storage("read", path), path.open("rb") as file:
        return file.read(1) in {b"", b"{"}


def _chosen(letters: Sequence[Letter], ids: Sequence[str]) -> list[Letter]:
    known = {letter.id for letter in letters}
    for each in ids:
        if each not in known:
            raise ConfigError(f"there is no dead letter {each}", hint="`tailrace dead-letters list` shows them")
    return [letter for letter in letters if not ids or letter.id in ids]


def _ask(place: _Place, *, action: Action, ids: Sequence[str]) -> None:
    """Put the request where the owner finds it; be the owner, if there is none; wait until it is done."""
    request = submit(place.path, action, tuple(ids) or None)
    deadline = time.monotonic() + _ANSWER_S
    cause: str | None = None
    while request.path.exists():
        told, cause = cause, _answer(place)
        if cause is not None and cause != told:
            print(f"tailrace: {cause}; trying again", file=sys.stderr, flush=True)  # noqa: T201
        if time.monotonic() > deadline:
            raise Retryable(
                f"{place} has not come to it in {_ANSWER_S:.0f} s" + (f": {cause}" if cause else ""),
                hint="the request stays: it is carried out between two batches, or at the next start",
            )
        if request.path.exists():
            time.sleep(_LOOK_S)


def _answer(place: _Place) -> str | None:
    """Be the owner, where that is possible; returns why it did not work now. A process that runs it needs no help."""
    if place.pipeline is None:
        if is_owned(place.path):
            return None
        raise Retryable(
            f"no process has {place.path} open, and only its App knows how to replay",
            hint="the request stays: it is carried out when the App runs again",
        )
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(alone(place.pipeline))
        except Retryable:  # a process runs it, and will look at its requests between two batches
            return None
        try:
            replay_alone(place.pipeline)
        except Retryable as error:
            return str(error.args[0])
    return None
