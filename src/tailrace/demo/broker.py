"""Starts a throw-away Kafka broker (KRaft, one node) from a folder of JARs, on TCP. Never uses one that runs already.

The JARs are those of `KAFKA_HOME`, or come through Maven once, into the user's cache. `servers/kafka.py` runs the same
process for the tests, with listeners that a demonstration does not need.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tailrace.demo import maven
from tailrace.demo.interrupt import held
from tailrace.error import Fatal

__all__ = [
    "ARTIFACTS",
    "SETTINGS",
    "Broker",
    "Jars",
    "fetch",
    "find",
    "format_storage",
    "listening",
    "new_id",
    "scratch",
]

VERSION = "4.4.0"
ARTIFACTS = (f"org.apache.kafka:kafka_2.13:{VERSION}", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.5")
"""The second is the binding for its log, which says when it is ready and which the broker's own tree has not."""

SETTINGS: Mapping[str, str] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
}
"""What every broker started here has; callers add to it."""

_LOG4J = Path(__file__).parent / "kafka.properties"
_JAVA = 17
_NEEDS = f"install a JDK {_JAVA} or newer and Maven, or a JDK and Kafka 4 with KAFKA_HOME set to its folder"
_START_S, _STOP_S = 120.0, 30.0


@dataclass(frozen=True, slots=True)
class Jars:
    """Where a broker's JARs lie, and whether Maven must bring them there first."""

    folder: Path
    there: bool


def find() -> Jars:
    """The JARs of `KAFKA_HOME`, or those of the cache; `Fatal`, which says what is needed, when neither can be."""
    _require_java()
    home = os.environ.get("KAFKA_HOME")
    if home:
        libs = Path(home) / "libs"
        if not any(libs.glob("kafka-server-*.jar")):
            raise Fatal(f"KAFKA_HOME is {home}, and no Kafka 4 lies there", hint=_NEEDS)
        return Jars(libs, there=True)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tailrace" / f"kafka-{VERSION}"
    if not cache.exists() and shutil.which("mvn") is None:
        raise Fatal("Kafka comes through Maven, and there is no mvn", hint=_NEEDS)
    return Jars(cache, there=cache.exists())


def fetch(jars: Jars) -> None:
    """Have Maven bring the JARs unless they are there; the folder appears whole or not at all."""
    if jars.there or jars.folder.exists():
        return
    jars.folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=jars.folder.parent, prefix="kafka-") as scratch:
        got = Path(scratch, "got")
        maven.resolve(ARTIFACTS, got, scratch=Path(scratch))
        got.rename(jars.folder)


def format_storage(java: str, jars: Path, properties: Path) -> None:
    """Make the empty storage of a new cluster where `properties` says; `Fatal` with the tool's words."""
    command = [java, *_classes(jars), "kafka.tools.StorageTool", "format", "-t", new_id(), "-c", str(properties)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Fatal(f"Kafka's storage cannot be formatted: {(done.stderr or done.stdout)[-500:]}")


def new_id() -> str:
    """A UUID as Kafka spells it; one that begins with a hyphen would be taken for an option."""
    text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    return text if text[0] != "-" else new_id()


@dataclass(slots=True)
class Broker:
    """One broker in `folder` (settings, data, log), not running until `start`. Not safe for use by several threads.

    `wrap` may put another program around the command.
    """

    jars: Path
    folder: Path
    java: str = "java"
    java_options: Sequence[str] = ()
    wrap: Callable[[list[str]], list[str]] = field(default=lambda command: command)
    _process: subprocess.Popen[bytes] | None = None
    _begin: int = 0
    """Where the log of this life begins."""

    @property
    def properties(self) -> Path:
        """Its file of settings."""
        return self.folder / "server.properties"

    @property
    def pid(self) -> int:
        """The JVM's process id; raises RuntimeError when the broker is stopped."""
        if self._process is None:
            raise RuntimeError("the broker is stopped")
        return self._process.pid

    def log(self) -> str:
        """Everything that the broker has logged so far."""
        return self._log.read_text(errors="replace")

    def configure(self, settings: Mapping[str, str]) -> None:
        """Write settings, which win over those from before; a start reads them."""
        with self.properties.open("a") as file:
            file.writelines(f"{name}={value}\n" for name, value in settings.items())

    def start(self) -> None:
        """Start the broker and wait until it is ready; `Fatal` with its last words when it dies. Idempotent."""
        if self._process is None:
            self.launch()
            self.wait_ready()

    def launch(self) -> None:
        """Begin to start: one of several nodes is ready only once others are there."""
        with self._log.open("ab") as log, held():
            self._begin = log.tell()
            command = [self.java, "-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", scratch(self.folder), *self.java_options]
            command += [*_classes(self.jars), "kafka.Kafka", str(self.properties)]
            self._process = subprocess.Popen(
                self.wrap(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,  # a Ctrl-C at the terminal is for us, not for the broker
            )

    def wait_ready(self) -> None:
        """Until the broker that was launched is ready; `Fatal` with its last words when it dies."""
        deadline = time.monotonic() + _START_S
        while "Kafka Server started" not in self._log.read_bytes()[self._begin :].decode(errors="replace"):
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                said = [line for line in self.log().splitlines() if "ERROR" in line] or self.log().splitlines()
                raise Fatal(f"Kafka did not start: {' | '.join(said[-3:])[:1000]}", hint=f"read {self._log}")
            time.sleep(0.05)  # it tells by its log alone

    def stop(self) -> None:
        """Shut down in an orderly way. Idempotent."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """SIGKILL, as a crash. Idempotent."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_STOP_S)
            self._process = None

    @property
    def _log(self) -> Path:
        return self.folder / "server.log"


def scratch(folder: Path) -> str:
    """The option that has a JVM unpack its libraries below `folder`: one that is killed leaves them behind."""
    (made := folder / "scratch").mkdir(exist_ok=True)
    return f"-Djava.io.tmpdir={made}"


def listening(port: int, controller: int, data: Path) -> dict[str, str]:
    """The settings of a broker with one plain listener on 127.0.0.1."""
    return {
        **SETTINGS,
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "log.dirs": str(data),
    }


def _classes(jars: Path) -> list[str]:
    return [f"-Dlog4j2.configurationFile={_LOG4J}", "-cp", f"{jars}/*"]


def _require_java() -> None:
    java = shutil.which("java")
    if java is None:
        raise Fatal("Kafka needs Java, and there is no java command", hint=_NEEDS)
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', said)
    if found is None or int(found[1]) < _JAVA:
        version = f"Java {found[1]}" if found else "no Java that tells its version"
        raise Fatal(f"Kafka needs Java {_JAVA} or newer, and there is {version}", hint=_NEEDS)
