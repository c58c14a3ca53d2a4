"""Kafka Connect in standalone mode with Debezium's PostgreSQL connector, beside a broker. Never a dependency of ours.

    with connect.start(broker.address) as worker:
        worker.create("orders", connect.debezium(database, "shop"))

It comes from Maven and needs a JDK 17. Converters are JsonConverter without schemas unless a connector says otherwise.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from servers import maven
from servers.artifact import Unavailable
from servers.process import dying_with_us, free_port
from tailrace.demo import broker

_LOG4J = Path(__file__).parent / "java" / "log4j2.properties"
_FAST = ("-XX:TieredStopAtLevel=1",)
_START_S, _REQUEST_S = 240.0, 60.0


class Worker:
    """A running worker."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self._process = process
        self._url = f"http://127.0.0.1:{port}"
        self._log = log

    @property
    def pid(self) -> int:
        """The JVM's process id, to ask the system what it spends."""
        return self._process.pid

    def log(self) -> str:
        """Everything that the worker has logged so far: warnings and errors."""
        return self._log.read_text(errors="replace")

    def create(self, name: str, settings: Mapping[str, str]) -> None:
        """Start connector `name`; RuntimeError with the worker's words when it refuses the settings."""
        self._ask("POST", "/connectors", {"name": name, "config": dict(settings)})

    def stop(self, name: str) -> None:
        """Stop connector `name` and keep its settings and offsets. Its slot may stay active for a moment."""
        self._ask("PUT", f"/connectors/{name}/stop")

    def stopped(self, name: str) -> bool:
        """Whether connector `name` and its tasks have come to an end after `stop`."""
        state = self._ask("GET", f"/connectors/{name}/status")
        return state["connector"]["state"] == "STOPPED" and not state["tasks"]

    def connector(self, name: str) -> str:
        """What the worker tells of connector `name`, as JSON."""
        return json.dumps(self._ask("GET", f"/connectors/{name}"))

    def offsets(self, name: str) -> str:
        """The offsets that connector `name` has stored, as JSON."""
        return json.dumps(self._ask("GET", f"/connectors/{name}/offsets"))

    def remove(self, name: str) -> None:
        """Stop connector `name` and forget it. Its slot may stay active for a moment."""
        self._ask("DELETE", f"/connectors/{name}")

    def failures(self, name: str) -> list[str]:
        """The first line of each task's error, when connector `name` has failed."""
        state = self._ask("GET", f"/connectors/{name}/status")
        parts = [state["connector"], *state["tasks"]]
        return [part.get("trace", "?").splitlines()[0] for part in parts if part["state"] == "FAILED"]

    def wait(self) -> None:
        """Until the worker answers; `Unavailable` with its last words if it dies."""
        deadline = time.monotonic() + _START_S
        while True:
            try:
                self._ask("GET", "/connectors")
            except (urllib.error.URLError, ConnectionError, RuntimeError) as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    said = " | ".join(self.log().splitlines()[-3:])[:1000]
                    raise Unavailable(f"Kafka Connect did not start: {said}") from error
                time.sleep(0.1)
            else:
                return

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=_REQUEST_S) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"Kafka Connect refused {method} {path}: {error.read().decode()[:500]}") from None
        return json.loads(content) if content else None


def debezium(url: str, name: str, **options: str) -> dict[str, str]:
    """A Debezium connector's settings for the PostgreSQL database at `url`; `name` is prefix, slot and publication.

    `options` override, with underscores for dots.
    """
    parts = urlsplit(url)
    defaults = {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "tasks.max": "1",
        "database.hostname": parts.hostname or "127.0.0.1",
        "database.port": str(parts.port or 5432),
        "database.user": parts.username or "postgres",
        "database.password": unquote(parts.password or ""),
        "database.dbname": parts.path.lstrip("/"),
        "topic.prefix": name,
        "plugin.name": "pgoutput",
        "slot.name": f"{name}_debezium",
        "publication.name": f"{name}_debezium",
    }
    return defaults | {option.replace("_", "."): value for option, value in options.items()}


@contextmanager
def start(
    bootstrap: str,
    *,
    settings: Mapping[str, str] | None = None,
    java_options: tuple[str, ...] = _FAST,
    jars: Sequence[Path] = (),
) -> Iterator[Worker]:
    """A running worker beside the broker at `bootstrap`; `settings` override its own, by their full names, and `jars`
    hold converters that connectors may name.

    The default options make the JVM start fast; benchmarks pass none. `Unavailable` when this machine cannot run it.
    """
    root = install()
    with tempfile.TemporaryDirectory(prefix="tailrace-connect-") as scratch:
        folder, port = Path(scratch), free_port()
        properties = folder / "worker.properties"
        known = _settings(bootstrap, port, folder, plugins=root / "archive") | dict(settings or {})
        properties.write_text("".join(f"{name}={value}\n" for name, value in known.items()))
        command = [maven.java(), "-Xms128m", "-Xmx1g", "-XX:+UseSerialGC", broker.scratch(folder), *java_options]
        command += [f"-Dlog4j2.configurationFile={_LOG4J}", "-cp", ":".join([f"{root}/*", *map(str, jars)])]
        command += ["org.apache.kafka.connect.cli.ConnectStandalone", str(properties)]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                dying_with_us(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        try:
            worker = Worker(process, port, folder / "log")
            worker.wait()
            yield worker
        finally:
            process.kill()
            process.wait()


def install() -> Path:
    """The folder with Connect's JARs, and in `archive` the plug-ins; downloaded the first time."""
    return maven.install("connect")


def _settings(bootstrap: str, port: int, folder: Path, *, plugins: Path) -> dict[str, str]:
    return {
        "bootstrap.servers": bootstrap,
        "listeners": f"http://127.0.0.1:{port}",
        "rest.advertised.host.name": "127.0.0.1",
        "key.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "key.converter.schemas.enable": "false",
        "value.converter.schemas.enable": "false",
        "offset.storage.file.filename": str(folder / "offsets.dat"),
        "offset.flush.interval.ms": "1000",
        # STOPPED must mean that no task is left: one that takes longer is abandoned, and goes on sending.
        "task.shutdown.graceful.timeout.ms": "60000",
        "offset.flush.timeout.ms": "30000",
        "plugin.path": str(plugins),
        "plugin.discovery": "service_load",  # to scan every JAR takes half a minute
    }
