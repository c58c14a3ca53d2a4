"""A real schema registry (Apicurio, which speaks Confluent's API) on a free port of 127.0.0.1.

    with registry.start() as server:
        SchemaRegistryClient({"url": server.url})

It comes from Maven and needs a JDK 17. Its subjects are gone when it stops, unless it was told where to keep them.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from servers import artifact, maven
from servers.artifact import Unavailable
from servers.certificate import Authority
from servers.process import dying_with_us, free_port
from tailrace.demo import broker

_JAR = "apicurio-registry-app-3.0.9-runner.jar"
_PATH = "/apis/ccompat/v7"
_START_S, _STOP_S = 240.0, 60.0


@dataclass(frozen=True, slots=True)
class Server:
    """A running registry."""

    port: int
    tls_port: int
    authority: Path | None
    """What to trust at the TLS port; None when it has none."""

    @property
    def url(self) -> str:
        """Where Confluent's API is."""
        return f"http://127.0.0.1:{self.port}{_PATH}"

    @property
    def tls_url(self) -> str:
        """The same over TLS."""
        return f"https://localhost:{self.tls_port}{_PATH}"


@contextmanager
def start(*, tls: bool = False, port: int | None = None, kept: Path | None = None) -> Iterator[Server]:
    """A running registry; on `port` if one is given, with what an earlier one left in the folder `kept`, or empty.
    `Unavailable` when this machine cannot run it."""
    root = maven.install("registry") / "archive"
    folder = Path(tempfile.mkdtemp(prefix="tailrace-registry-"))
    try:
        server = Server(port or free_port(), free_port(), folder / "authority" / "authority.crt" if tls else None)
        options = {"http.host": "127.0.0.1", "http.port": server.port, "http.ssl-port": server.tls_port}
        if tls:
            signed = Authority(folder / "authority").issue("localhost")
            options |= {"http.ssl.certificate.files": signed.certificate, "http.ssl.certificate.key-files": signed.key}
        command = [maven.java(), "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", broker.scratch(folder)]
        command += [f"-Dquarkus.{name}={value}" for name, value in options.items()]
        if kept is not None:
            command.append(f"-Dapicurio.datasource.url=jdbc:h2:file:{kept / 'registry'}")
        with Path(folder, "log").open("wb") as log:
            process = subprocess.Popen(
                dying_with_us([*command, "-jar", str(root / _JAR)]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                start_new_session=True,
            )
        try:
            _await(server, process, folder / "log")
            yield server
        finally:
            # When nothing of it is kept, an orderly end would only take longer.
            process.kill() if kept is None else process.terminate()
            process.wait(_STOP_S)
    finally:
        artifact.remove(folder)


def _await(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            with urllib.request.urlopen(f"{server.url}/subjects", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            if process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text(errors="replace").splitlines()[-3:]
                raise Unavailable(f"the schema registry did not start: {' | '.join(said)[:1000]}") from None
            time.sleep(0.1)
