"""Claim checks: what stands in a topic for a value that no broker takes. Never writes a file."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from pathlib import Path

from tailrace.dialect.kafka.objects import Objects

__all__ = ["HEADER", "fetch", "look", "said"]

HEADER = "tailrace.claim_check"
"""The header that says so."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
# A link is not followed, and a pipe not waited for: who writes to the folder is trusted no further than to fill files.
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def said(uri: str, *, nbytes: int, digest: str) -> bytes:
    """What stands in the topic for the value at `uri`: so long, with this sha256 in hex."""
    check = {"claim_check": uri, "bytes": nbytes, "sha256": digest}
    return json.dumps(check, separators=(",", ":")).encode()


def fetch(check: bytes | None, place: Path | Objects) -> bytes:
    """The value that `check` stands for, out of `place`; `ValueError` in words when it cannot be had, or is another.

    The file or object is the one that is named as the sha256, which is how the sink stores it. Where the message says
    that it lies is not looked at: a message must not have any other file read.
    """
    nbytes, digest = _told(check)
    value = place.get(digest, nbytes) if isinstance(place, Objects) else _read(place / digest, nbytes)
    if hashlib.sha256(value).hexdigest() != digest:
        raise ValueError(f"its value in {place}/{digest} is not what was stored there: its sha256 is another")
    return value


def _read(path: Path, nbytes: int) -> bytes:
    try:
        with open(path, "rb", opener=lambda name, _: os.open(name, _OPEN)) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise ValueError(f"{path} is no file")
            if found.st_size != nbytes:  # before all of it is in memory
                raise ValueError(f"its value in {path} has {found.st_size} bytes, and had {nbytes} when it was stored")
            return file.read(nbytes)
    except OSError as error:
        raise ValueError(f"its value in {path} cannot be read: {error.strerror}") from None


def look(folder: Path) -> str | None:
    """Why values cannot be read from `folder`; None when they can."""
    if not folder.is_dir():
        return "there is no such folder: name the one that the sink stores values in"
    if not os.access(folder, os.R_OK | os.X_OK):
        return f"this user may not read it: chmod u+rx '{folder}'"
    return None


def _told(check: bytes | None) -> tuple[int, str]:
    """How many bytes the value has, and its digest, which can name a file and no folder."""
    try:
        told = json.loads(check or b"")
        nbytes, digest = told["bytes"], told["sha256"]
    except (ValueError, KeyError, TypeError, RecursionError):
        nbytes = digest = None
    if type(nbytes) is not int or nbytes < 0 or not isinstance(digest, str) or _DIGEST.fullmatch(digest) is None:
        raise ValueError("it does not say which value it stands for")
    return nbytes, digest
