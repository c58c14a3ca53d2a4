"""A real object store that speaks S3 (VersityGW, over a folder) on a free port of 127.0.0.1.

    with s3.start() as store:
        S3FileSystem(endpoint_override=store.address, scheme="http", access_key=s3.USER, secret_key=s3.PASSWORD)

It comes from the Go module proxy, which pins what it brings by go.sum and the checksum database. With TLS its
certificate is of an authority of its own.
"""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from servers import artifact, go
from servers.artifact import Unavailable
from servers.certificate import Authority
from servers.process import dying_with_us, free_port

USER, PASSWORD = "tailrace", "tailrace-secret"
_MODULE, VERSION = "github.com/versity/versitygw/cmd/versitygw", "v1.8.0"
_START_S, _STOP_S = 120.0, 60.0
_TRIES = 3
"""Go itself asks a proxy once."""


class Store:
    """A store that can be killed and launched again on its port. Its buckets are folders in `folder`, and their objects
    files."""

    def __init__(self, program: Path, root: Path, *, tls: bool) -> None:
        self.port = free_port()
        self.folder = root / "data"
        self.folder.mkdir()
        self.authority: Path | None = None
        """What to trust; None without TLS."""
        self._command = [str(program), "--port", self.address]
        self._log = root / "log"
        self._process: subprocess.Popen[bytes] | None = None
        if tls:
            authority = Authority(root / "authority")
            signed = authority.issue("localhost")
            self._command += ["--cert", str(signed.certificate), "--key", str(signed.key)]
            self.authority = authority.certificate

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    def url(self, prefix: str) -> str:
        """The URL of what is below `prefix`, which begins with the bucket's name; it does not say what to trust."""
        scheme = "http" if self.authority is None else "https"
        return f"s3://{prefix}?scheme={scheme}&endpoint_override={self.address}&region=us-east-1"

    def make_bucket(self, name: str) -> None:
        """A bucket is a folder of its own."""
        (self.folder / name).mkdir()

    def launch(self, *, password: str = PASSWORD) -> None:
        """Start it, for who shows this password, and wait until it answers; `Unavailable` when it does not."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                dying_with_us([*self._command, "posix", str(self.folder)]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "ROOT_ACCESS_KEY": USER, "ROOT_SECRET_KEY": password},
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    said = self._log.read_text(errors="replace").splitlines()[-3:]
                    raise Unavailable(f"the object store did not start: {' | '.join(said)[:1000]}") from None
                time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL, as a crash. Idempotent."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_STOP_S)


@contextmanager
def start(*, tls: bool = False) -> Iterator[Store]:
    """A running store without buckets; its data goes at the end. `Unavailable` when this machine cannot run it."""
    program = install()
    root = Path(tempfile.mkdtemp(prefix="tailrace-s3-"))
    with ExitStack() as undo:
        undo.callback(artifact.remove, root)
        store = Store(program, root, tls=tls)
        undo.callback(store.kill)
        store.launch()
        yield store


def install() -> Path:
    """The program, built the first time."""
    target = artifact.cache() / f"versitygw-{VERSION}"
    with artifact.locked(target.with_suffix(".lock")):
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=target.parent, prefix="versitygw-") as scratch:
                _build(Path(scratch))
                Path(scratch, "versitygw").rename(target)
    return target


def _build(folder: Path) -> None:
    command, env = [str(go.program()), "install", f"{_MODULE}@{VERSION}"], {**os.environ, "GOBIN": str(folder)}
    for _ in range(_TRIES):
        built = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        if built.returncode == 0:
            break
    else:
        raise Unavailable(f"{_MODULE} cannot be built: {(built.stderr.strip().splitlines() or ['?'])[-1]}")
