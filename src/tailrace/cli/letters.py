"""`tailrace dead-letters`: list, show, replay, drop. Never changes the letters itself: it asks their owner.

The owner is the running pipeline; when none runs, this process takes the pipeline's lock and does it alone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tailrace.cli.report import columns, confirm
from tailrace.config import load
from tailrace.dead_letters import File
from tailrace.dead_letters.journal import read_all
from tailrace.dead_letters.letter import Letter
from tailrace.dead_letters.request import Action, submit
from tailrace.error import ConfigError, Retryable
from tailrace.pipeline import Pipeline, alone, replay_alone

__all__ = ["drop", "replay", "show", "show_list"]

_ANSWER_S = 30.0
_LOOK_S = 0.1


def show_list(config: Path, name: str, *, as_json: bool) -> int:
    """One row a letter, without its cells."""
    letters = read_all(_open(config, name)[1].path)
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


def show(config: Path, name: str, ids: Sequence[str]) -> int:
    """Whole letters, cells included, as JSON lines."""
    for letter in _chosen(read_all(_open(config, name)[1].path), ids):
        sys.stdout.write(msgspec.json.encode(letter).decode() + "\n")
    return 0


def replay(config: Path, name: str, ids: Sequence[str]) -> int:
    """Have letters offered again; 5 when some were refused again and stay."""
    pipeline, file = _open(config, name)
    asked = _chosen(read_all(file.path), ids)
    if not asked:
        sys.stdout.write("there is nothing to replay\n")
        return 0
    _ask(pipeline, file, action=Action.REPLAY, ids=ids)
    left = {letter.id: letter for letter in read_all(file.path)}
    stayed = [left[letter.id] for letter in asked if letter.id in left]
    sys.stdout.write(f"replayed {len(asked) - len(stayed)}, still parked {len(stayed)}\n")
    for letter in stayed[:10]:
        sys.stdout.write(f"  {letter.id} {letter.table_name}: {letter.reason}\n")
    return 5 if stayed else 0


def drop(config: Path, name: str, ids: Sequence[str], *, yes: bool) -> int:
    """Throw letters away."""
    pipeline, file = _open(config, name)
    asked = _chosen(read_all(file.path), ids)
    if not asked:
        sys.stdout.write("there is nothing to drop\n")
        return 0
    confirm(f"Throw away {len(asked)} change(s) of pipeline {name} that the sink has never got?", yes=yes)
    _ask(pipeline, file, action=Action.DROP, ids=[letter.id for letter in asked])
    sys.stdout.write(f"dropped {len(asked)}\n")
    return 0


def _open(config: Path, name: str) -> tuple[Pipeline, File]:
    pipeline = load(config, [name]).pipelines[name]
    if not isinstance(pipeline.dead_letters, File):
        raise ConfigError(
            f"pipeline {name} has no dead letters in a file", hint=f"add [pipeline.{name}.dead_letters] to {config}"
        )
    return pipeline, pipeline.dead_letters


def _chosen(letters: Sequence[Letter], ids: Sequence[str]) -> list[Letter]:
    known = {letter.id for letter in letters}
    for each in ids:
        if each not in known:
            raise ConfigError(f"there is no dead letter {each}", hint="`tailrace dead-letters list` shows them")
    return [letter for letter in letters if not ids or letter.id in ids]


def _ask(pipeline: Pipeline, file: File, *, action: Action, ids: Sequence[str]) -> None:
    """Put the request where the owner finds it; be the owner, if there is none; wait until it is done."""
    request = submit(file.path, action, tuple(ids) or None)
    deadline = time.monotonic() + _ANSWER_S
    while request.path.exists():
        try:
            with alone(pipeline):
                replay_alone(pipeline)
                return
        except Retryable:  # a process runs it, and will look at its requests between two batches
            if time.monotonic() > deadline:
                raise Retryable(
                    f"pipeline {pipeline.name} has not come to it in {_ANSWER_S:.0f} s",
                    hint="the request stays: it is carried out between two batches, or at the next start",
                ) from None
            time.sleep(_LOOK_S)
