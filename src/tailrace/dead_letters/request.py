"""What operators ask of dead letters, as files beside them: the pipeline that owns the letters carries it out.

A request is one file in `<letters>.requests/`, there until it is done. Never changes the letters itself.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tailrace.durable import make_folder, replace, storage, sync_folder

__all__ = ["Action", "Request", "pending", "submit"]

log = logging.getLogger(__name__)


class Action(StrEnum):
    """What to do with letters."""

    REPLAY = "replay"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Request:
    """`ids` None means all letters that are parked when the request is carried out."""

    action: Action
    ids: tuple[str, ...] | None
    path: Path

    def done(self) -> None:
        """It is carried out, durably."""
        with storage("remove", self.path):
            self.path.unlink(missing_ok=True)
            sync_folder(self.path.parent)  # or it is asked for once more, of letters that were parked since


def _folder(letters: Path) -> Path:
    return letters.with_name(letters.name + ".requests")


def submit(letters: Path, action: Action, ids: tuple[str, ...] | None) -> Request:
    """Ask, durably on return; the request's `path` is there until the owner has carried it out."""
    folder = _folder(letters)
    make_folder(folder)
    path = folder / f"{time.time_ns():020d}-{os.getpid()}.json"
    replace(path, json.dumps({"action": action, "ids": ids}).encode())
    return Request(action, ids, path)


def pending(letters: Path) -> list[Request]:
    """What was asked and is not done, oldest first. A file that is no request is set aside with a warning."""
    found: list[Request] = []
    try:
        names = sorted(os.listdir(_folder(letters)))  # noqa: PTH208 - called twice a second: no Path objects
    except FileNotFoundError:
        return found
    for name in names:
        if not name.endswith(".json"):
            continue
        path = _folder(letters) / name
        try:
            document = json.loads(path.read_bytes())
            ids = document["ids"]
            found.append(Request(Action(document["action"]), None if ids is None else tuple(map(str, ids)), path))
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s is not a request for dead letters (%s): set aside", path, type(error).__name__)
            with contextlib.suppress(OSError):
                path.rename(path.with_suffix(".bad"))
    return found
