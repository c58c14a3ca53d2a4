"""A real object store that speaks S3 (VersityGW, over a folder) on a free port of 127.0.0.1.

    with s3.start() as store:
        S3FileSystem(endpoint_override=store.address, scheme="http", access_key=s3.USER, secret_key=s3.PASSWORD)

It comes from the Go module proxy, which pins what it brings by go.sum and the checksum database, and needs Go.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from servers import artifact
from servers.artifact import Unavailable
from servers.process import dying_with_us, free_port

USER, PASSWORD = "tailrace", "tailrace-secret"
_MODULE, VERSION = "github.com/versity/versitygw/cmd/versitygw", "v1.8.0"
_START_S, _STOP_S = 30.0, 10.0


@dataclass(frozen=True, slots=True)
class Store:
    """A running store."""

    port: int
    folder: Path
    """Its buckets are folders here, and their objects files."""

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    def url(self, prefix: str) -> str:
        """The URL of what is below `prefix`, which begins with the bucket's name."""
        return f"s3://{prefix}?scheme=http&endpoint_override={self.address}&region=us-east-1"

    def make_bucket(self, name: str) -> None:
        """A bucket is a folder of its own."""
        (self.folder / name).mkdir()


@contextmanager
def start() -> Iterator[Store]:
    """A running store without buckets; its data goes at the end. `Unavailable` when this machine cannot run it."""
    program = install()
    folder = Path(tempfile.mkdtemp(prefix="tailrace-s3-"))
    store = Store(free_port(), folder / "data")
    store.folder.mkdir()
    try:
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                dying_with_us([str(program), "--port", store.address, "posix", str(store.folder)]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "ROOT_ACCESS_KEY": USER, "ROOT_SECRET_KEY": PASSWORD},
                start_new_session=True,
            )
        try:
            _await(store, process, folder / "log")
            yield store
        finally:
            process.kill()
            process.wait(_STOP_S)
    finally:
        artifact.remove(folder)


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
    go = shutil.which("go")
    if go is None:
        raise Unavailable("the object store is built with Go (no go found)")
    command = [go, "install", f"{_MODULE}@{VERSION}"]
    built = subprocess.run(
        command, env={**os.environ, "GOBIN": str(folder)}, capture_output=True, text=True, check=False
    )
    if built.returncode != 0:
        raise Unavailable(f"{_MODULE} cannot be built: {(built.stderr.strip().splitlines() or ['?'])[-1]}")


def _await(store: Store, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", store.port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text(errors="replace").splitlines()[-3:]
                raise Unavailable(f"the object store did not start: {' | '.join(said)[:1000]}") from None
            time.sleep(0.05)
