"""`tailrace dead-letters`: list, show, replay, drop. Never changes the letters itself while they have an owner.

The owner is the running pipeline, which is asked; when none runs, this process takes the pipeline's lock and does it
alone. An App has no TOML file: its file or topic of letters stands for it, and nobody but the App can replay them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tailrace.cli.parked import InFile, InTopic, Place
from tailrace.cli.report import columns, confirm
from tailrace.config import load
from tailrace.dead_letters import File, Kafka
from tailrace.dead_letters.letter import Letter
from tailrace.durable import storage
from tailrace.error import ConfigError

__all__ = ["drop", "replay", "show", "show_list"]


def show_list(target: Path, names: Sequence[str], *, as_json: bool) -> int:
    """One row a letter, without its cells."""
    letters = _chosen(*_open(target, names))
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
    for letter in _chosen(*_open(target, names)):
        sys.stdout.write(msgspec.json.encode(letter).decode() + "\n")
    return 0


def replay(target: Path, names: Sequence[str]) -> int:
    """Have letters offered again; 5 when some were refused again and stay."""
    place, ids = _open(target, names)
    asked = _chosen(place, ids)
    if not asked:
        sys.stdout.write("there is nothing to replay\n")
        return 0
    place.replay(ids)
    left = {letter.id: letter for letter in place.letters()}
    stayed = [left[letter.id] for letter in asked if letter.id in left]
    sys.stdout.write(f"replayed {len(asked) - len(stayed)}, still parked {len(stayed)}\n")
    for letter in stayed[:10]:
        sys.stdout.write(f"  {letter.id} {letter.table_name}: {letter.reason}\n")
    return 5 if stayed else 0


def drop(target: Path, names: Sequence[str], *, yes: bool) -> int:
    """Throw letters away."""
    place, ids = _open(target, names)
    asked = [letter.id for letter in _chosen(place, ids)]
    if not asked:
        sys.stdout.write("there is nothing to drop\n")
        return 0
    confirm(f"Throw away {len(asked)} change(s) of {place} that the sink has never got?", yes=yes)
    place.drop(asked)
    sys.stdout.write(f"dropped {len(asked)}\n")
    return 0


def _open(target: Path, names: Sequence[str]) -> tuple[Place, tuple[str, ...]]:
    """Where the letters are, and the ids that are meant: behind a file or a topic of letters, or behind a configuration
    and the name of a pipeline."""
    if (topic := _as_url(target)) is not None:
        return InTopic(Kafka(topic)), tuple(names)
    if _holds_letters(target):
        return InFile(target), tuple(names)
    if not names:
        if not target.exists():
            raise ConfigError(
                f"there is no file {target}", hint="give an App's file of dead letters, or a TOML file and a pipeline"
            )
        raise ConfigError(
            f"{target} is not a file of dead letters, and which pipeline is meant is not said",
            hint="name a pipeline of the TOML file, or give the file, or the kafka:// URL, of an App's dead letters",
        )
    name, *ids = names
    pipeline = load(target, [name]).pipelines[name]
    if isinstance(pipeline.dead_letters, Kafka):
        return InTopic(pipeline.dead_letters, name), tuple(ids)
    if not isinstance(pipeline.dead_letters, File):
        raise ConfigError(
            f"pipeline {name} has no dead letters that can be looked into",
            hint=f"add [pipeline.{name}.dead_letters] to {target}",
        )
    return InFile(Path(pipeline.dead_letters.path), pipeline), tuple(ids)


def _as_url(target: Path) -> str | None:
    """The URL of a topic, which has lost a slash as a path."""
    scheme, slash, rest = str(target).partition(":/")
    return f"{scheme}://{rest.lstrip('/')}" if slash and scheme == "kafka" else None


def _holds_letters(path: Path) -> bool:
    """JSON lines, or nothing yet: no TOML file begins like that."""
    with storage("read", path):
        if path.suffix == ".toml" or not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(1) in {b"", b"{"}


def _chosen(place: Place, ids: Sequence[str]) -> list[Letter]:
    """The letters that are meant, all without ids; `ConfigError` for an id that is not there."""
    letters = place.letters()
    known = {letter.id for letter in letters}
    for each in ids:
        if each not in known:
            raise ConfigError(f"there is no dead letter {each}", hint="`tailrace dead-letters list` shows them")
    return [letter for letter in letters if not ids or letter.id in ids]
