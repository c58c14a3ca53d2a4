"""A real PgBouncer in front of a PostgreSQL server, on a free port of 127.0.0.1. Never touches a system's own.

    with pgbouncer.start(server.port) as pooler:
        psycopg.connect(pooler.through(server.url))

It comes out of Debian's packages (servers/debian.py).
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from servers import artifact, debian
from servers.artifact import Unavailable
from servers.process import as_server_user, free_port, own

_PACKAGES = ("pgbouncer", "libc-ares2", "libevent-2.1-7")
_START_S, _STOP_S = 120.0, 60.0


@dataclass(frozen=True, slots=True)
class Pooler:
    """A running PgBouncer."""

    port: int

    def through(self, url: str) -> str:
        """`url` with the pooler's address in place of its host and port."""
        parts = urlsplit(url)
        login, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{login}{at}127.0.0.1:{self.port}"))


@contextmanager
def start(port: int, *, settings: Mapping[str, str] | None = None) -> Iterator[Pooler]:
    """A pooler of the server at `port` of 127.0.0.1, for every database and user, in transaction mode.

    `settings` go into the section [pgbouncer] over the defaults of this module.
    """
    root = install()
    folder = Path(tempfile.mkdtemp(prefix="tailrace-pgbouncer-"))
    pooler = Pooler(free_port())
    process: subprocess.Popen[bytes] | None = None
    try:
        _configure(folder, pooler, target=port, settings=settings or {})
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                as_server_user([str(root / "usr" / "sbin" / "pgbouncer"), str(folder / "pgbouncer.ini")]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=debian.environment(root),
                cwd="/",
                start_new_session=True,
            )
        _wait(process, pooler, folder)
        yield pooler
    finally:
        if process is not None:
            process.kill()
            process.wait(_STOP_S)
        artifact.remove(folder)


def install() -> Path:
    """The folder with PgBouncer and the libraries that it needs, downloaded the first time."""
    return debian.install("pgbouncer", _PACKAGES)


def _configure(folder: Path, pooler: Pooler, *, target: int, settings: Mapping[str, str]) -> None:
    known = {
        "listen_addr": "127.0.0.1",
        "listen_port": str(pooler.port),
        "unix_socket_dir": "",
        "auth_type": "any",
        "pool_mode": "transaction",
        **settings,
    }
    lines = ["[databases]", f"* = host=127.0.0.1 port={target} user=postgres", "[pgbouncer]"]
    lines += [f"{name} = {value}" for name, value in known.items()]
    (folder / "pgbouncer.ini").write_text("\n".join(lines) + "\n")
    own(folder)


def _wait(process: subprocess.Popen[bytes], pooler: Pooler, folder: Path) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            psycopg.connect(f"postgresql://postgres@127.0.0.1:{pooler.port}/postgres", connect_timeout=10).close()
        except psycopg.OperationalError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                said = (folder / "log").read_text(errors="replace").splitlines()[-3:]
                raise Unavailable(f"PgBouncer did not start: {' | '.join(said)}") from error
            time.sleep(0.02)
        else:
            return
