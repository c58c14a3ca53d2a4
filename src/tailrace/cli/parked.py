"""Where dead letters lie, in a file or in topics, for commands that look at them or ask for something to be done."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tailrace.cli.report import say
from tailrace.dead_letters import File, Kafka
from tailrace.dead_letters.file import discard, is_owned
from tailrace.dead_letters.journal import check_owner, read_all
from tailrace.dead_letters.letter import Letter
from tailrace.dead_letters.request import Action, submit
from tailrace.error import Retryable
from tailrace.pipeline import Pipeline, alone, replay_alone

if TYPE_CHECKING:
    from tailrace.dead_letters.store import TopicStore

__all__ = ["InFile", "InTopic", "Place", "letters_of", "throw_away"]

_ANSWER_S = 30.0
_LOOK_S = 0.1


class Place(Protocol):
    """Letters of one pipeline, in words with `str`."""

    def letters(self) -> list[Letter]:
        """All that are parked."""
        ...

    def replay(self, ids: Sequence[str]) -> None:
        """Have these offered again (all without ids); returns when that is done, `Retryable` when nobody does it."""
        ...

    def drop(self, ids: Sequence[str]) -> None:
        """Have these thrown away, likewise."""
        ...


@dataclass(frozen=True, slots=True)
class InFile:
    """A file of letters, and the pipeline whose they must be; None when only the file knows, as of an App."""

    path: Path
    pipeline: Pipeline | None = None

    def __str__(self) -> str:
        return f"pipeline {self.pipeline.name}" if self.pipeline else str(self.path)

    def letters(self) -> list[Letter]:
        """See `Place.letters`."""
        return read_all(self.path, owner=self.pipeline.name if self.pipeline else None)

    def replay(self, ids: Sequence[str]) -> None:
        """See `Place.replay`."""
        self._ask(Action.REPLAY, ids)

    def drop(self, ids: Sequence[str]) -> None:
        """See `Place.drop`."""
        if self.pipeline is None and not is_owned(self.path):
            discard(self.path, ids)
        else:
            self._ask(Action.DROP, ids)

    def _ask(self, action: Action, ids: Sequence[str]) -> None:
        """Put the request where the owner finds it; be the owner, if there is none; wait until it is done."""
        if self.pipeline is not None:  # whoever has the file open carries out what it finds
            check_owner(self.path, self.pipeline.name)
        request = submit(self.path, action, tuple(ids) or None)
        deadline = time.monotonic() + _ANSWER_S
        cause: str | None = None
        while request.path.exists():
            told, cause = cause, self._answer()
            if cause is not None and cause != told:
                say(f"tailrace: {cause}; trying again")
            if time.monotonic() > deadline:
                raise Retryable(
                    f"{self} has not come to it in {_ANSWER_S:.0f} s" + (f": {cause}" if cause else ""),
                    hint="the request stays: it is carried out between two batches, or at the next start",
                )
            if request.path.exists():
                time.sleep(_LOOK_S)  # the owner is another process, which answers by taking the file away

    def _answer(self) -> str | None:
        """Be the owner, where that is possible; returns why it did not work now. A process that runs it needs no
        help."""
        if self.pipeline is None:
            if is_owned(self.path):
                return None
            raise Retryable(
                f"no process has {self.path} open, and only its App knows how to replay",
                hint="the request stays: it is carried out when the App runs again",
            )
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(alone(self.pipeline))
            except Retryable:  # a process runs it, and will look at its requests between two batches
                return None
            try:
                replay_alone(self.pipeline)
            except Retryable as error:
                return str(error.args[0])
        return None


@dataclass(frozen=True, slots=True)
class InTopic:
    """Letters in topics: any member may have them, so that nobody else offers them again."""

    settings: Kafka
    pipeline: str = ""
    """Whose they must be; without a name anyone's."""

    def __str__(self) -> str:
        return f"the topic {self.settings.topic}"

    def letters(self) -> list[Letter]:
        """See `Place.letters`."""
        with self._open() as store:
            return list(store.letters())

    def replay(self, ids: Sequence[str]) -> None:
        """See `Place.replay`: the member that has a letter's partition does it."""
        with self._open() as store:
            wanted = set(ids) or {letter.id for letter in store.letters()}
            store.ask(Action.REPLAY, wanted)
            deadline = time.monotonic() + _ANSWER_S
            while True:
                store.refresh()
                if not wanted & set(store.open_asks()):
                    return
                if time.monotonic() > deadline:
                    raise Retryable(
                        f"no process that has the partitions has come to it in {_ANSWER_S:.0f} s",
                        hint="the request stays in the topic: it is carried out between two batches, when one runs",
                    )
                time.sleep(_LOOK_S)  # whoever has the partitions answers by a record, and none may come

    def drop(self, ids: Sequence[str]) -> None:
        """See `Place.drop`: a tombstone is all it takes."""
        with self._open() as store:
            store.remove(ids or [letter.id for letter in store.letters()], "dropped")

    @contextlib.contextmanager
    def _open(self) -> Iterator[TopicStore]:
        with contextlib.closing(self.settings.store(self.pipeline, make=False)) as store:
            yield store


def letters_of(pipeline: Pipeline) -> list[Letter]:
    """All that a pipeline has parked, where that can be looked into."""
    dead_letters = pipeline.dead_letters
    if isinstance(dead_letters, Kafka):
        return InTopic(dead_letters, pipeline.name).letters()
    return read_all(Path(dead_letters.path), owner=pipeline.name) if isinstance(dead_letters, File) else []


def throw_away(dead_letters: File | Kafka, pipeline: str) -> int:
    """Throw all away, of a pipeline that no process runs; how many."""
    if isinstance(dead_letters, File):
        return discard(Path(dead_letters.path), owner=pipeline)
    place = InTopic(dead_letters, pipeline)
    found = [letter.id for letter in place.letters()]
    place.drop(found)
    return len(found)
