"""Finds the shared library that psycopg calls, so that Rust can call the same one. Never loads a second libpq."""

from __future__ import annotations

import select
import sys
from functools import cache
from pathlib import Path

from psycopg import pq

from tailrace.error import ConfigError

_MAPS = Path("/proc/self/maps")
LARGE_HINT = "nothing was skipped: raise limits.frame_bytes_max, or leave the column out"
"""What to do about a message above the limit."""


@cache
def path() -> Path:
    """The libpq of this process; `ConfigError` when it cannot be told which one that is.

    A pointer of one libpq must never be given to another. `psycopg[binary]` brings its own beside the package; the
    other builds of psycopg use the system's, which the table of mapped files names.
    """
    found = _bundled() if pq.__impl__ == "binary" else _mapped()
    if len(found) == 1:
        return found[0]
    seen = ", ".join(str(library) for library in found) or "none"
    raise ConfigError(
        f"cannot tell which libpq psycopg ({pq.__impl__}) uses: found {seen}",
        hint="install the build that brings its own: pip install 'psycopg[binary]'",
    )


def pointer(pgconn: pq.abc.PGconn) -> int:
    """The address of libpq's own connection, which psycopg offers for uses like this; its protocol class omits it."""
    address: int | None = getattr(pgconn, "pgconn_ptr", None)
    if not address:
        raise ConfigError(f"psycopg ({pq.__impl__}) hides its libpq connection", hint="upgrade psycopg to 3.3.9")
    return address


def result(pgconn: pq.abc.PGconn) -> pq.abc.PGresult | None:
    """The next result of a command that was sent, waiting for it on the socket; None behind the last.

    PQgetResult waits as well, but psycopg holds the interpreter lock meanwhile: every other thread would stand still.
    """
    poll = select.poll()
    poll.register(pgconn.socket, select.POLLIN)
    while pgconn.is_busy():
        poll.poll()
        pgconn.consume_input()
    return pgconn.get_result()


def _bundled() -> list[Path]:
    package = Path(sys.modules["psycopg_binary"].__file__ or "").parent
    return [
        library
        for folder in (package.with_name("psycopg_binary.libs"), package / ".dylibs")
        for library in sorted(folder.glob("libpq[-.]*"))
    ]


def _mapped() -> list[Path]:
    if not _MAPS.exists():
        return []
    names = {line.split(maxsplit=5)[5].strip() for line in _MAPS.read_text().splitlines() if "/libpq" in line}
    return [Path(name) for name in sorted(names) if Path(name).name.startswith(("libpq.so", "libpq-"))]
