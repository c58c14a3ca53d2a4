"""The demonstrations run to their end, survive their own kills, and clean up when they are interrupted."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import psutil
import psycopg
import pytest

from servers import kafka, maven
from tailrace.demo import broker
from tailrace.demo.writer import trade
from tests.server.postgres.reading import Reading
from tests.terminal import terminal
from tests.tidy import tree
from tests.waiting import until
from tests.wanting import or_skip

RESULT = {"target", "identical", "rows", "changes", "seconds", "p50 lag", "p99 lag"}
TIMEOUT_S = 240.0


def _start(folder: Path, *options: str, home: Path | None = None) -> subprocess.Popen[str]:
    """With `home`, the folder of a Kafka, the demonstration that goes over it."""
    environment = {} if home is None else {"KAFKA_HOME": str(home)}
    kafka = () if home is None else ("--kafka",)
    return subprocess.Popen(
        [sys.executable, "-m", "tailrace", "demo", *kafka, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(folder), **environment},
    )


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that the server's user may pass through when we are root; none of pytest's, which any other run of it that
    begins closes to everybody else."""
    with tempfile.TemporaryDirectory(prefix="tailrace-demo-") as made:
        Path(made).chmod(0o711)
        yield Path(made)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder as that of an unpacked Kafka."""
    (tmp_path / "libs").symlink_to(or_skip(kafka.install))
    return tmp_path


def _interrupt(demo: subprocess.Popen[str], word: str) -> str:
    """Ctrl-C once `word` was said; everything that it said."""
    assert demo.stdout is not None
    heard = []
    for line in demo.stdout:
        heard.append(line)
        if word in line:
            break
    family = psutil.Process(demo.pid).children(recursive=True)
    demo.send_signal(signal.SIGINT)
    said, _ = demo.communicate(timeout=TIMEOUT_S)
    assert demo.returncode == 130, "".join(heard) + said
    assert "Traceback" not in said
    assert not psutil.wait_procs(family, timeout=60)[1]
    return "".join(heard) + said


def _writer(demo: subprocess.Popen[str]) -> list[str]:
    """What the demonstration's writer was told, once it writes: the URL of its server, rows a second, seconds."""
    found: list[str] = []

    def writes() -> bool:
        for child in psutil.Process(demo.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                module, *arguments = [*child.cmdline()[2:], ""]
                if module == "tailrace.demo.writer":
                    found[:] = arguments[:3]
        return bool(found) or demo.poll() is not None

    until(writes, "for the writer", timeout_s=TIMEOUT_S)
    return found


def _slots(url: str) -> list[str]:
    with psycopg.connect(url) as shop:
        rows = shop.execute("SELECT slot_name FROM pg_replication_slots WHERE NOT temporary ORDER BY 1").fetchall()
    return [name for (name,) in rows]


def test_as_it_comes_two_pipelines_on_two_slots_are_identical_after_two_kills(folder: Path) -> None:
    demo = _start(folder)
    url, rate, seconds = _writer(demo)
    slots = _slots(url)
    said, _ = demo.communicate(timeout=TIMEOUT_S)
    assert slots == ["tailrace_duckdb", "tailrace_handler"], said
    assert (float(rate), float(seconds)) == (3000, 25)
    assert demo.returncode == 0, said
    assert said.count("SIGKILL") == 2
    assert said.count("identical ") >= 10
    assert {word for line in said.splitlines() for word in re.split(r"\s{2,}", line.strip())} >= RESULT
    assert "\x1b" not in said, "an escape code, and there is no terminal"
    for target in ("duckdb", "handler"):
        # identical, rows, changes, seconds, p50 and p99 lag, kills survived
        lag = r"[\d.]+ m?s"
        told = re.search(rf"^ *{target} +yes +([\d,]+) +([\d,]+) +[\d.]+ +{lag} +{lag} +2 *$", said, re.MULTILINE)
        assert told is not None, said
        rows, changes = (int(number.replace(",", "")) for number in told.groups())
        assert rows > 1000 and changes > 1000, said
    assert not list(folder.iterdir())


def test_the_load_is_rows_that_come_change_and_go_in_transactions(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as shop:
        shop.execute(files("tailrace.demo").joinpath("shop.sql").read_bytes())
    it = Reading(database, f"demo_{database.rpartition('_')[2]}", snapshot="never", tables=["shop.*"]).open().first()
    with closing(it):
        writer = [sys.executable, "-m", "tailrace.demo.writer", database, "3000", "5"]
        last = json.loads(subprocess.run(writer, check=True, capture_output=True).stdout.splitlines()[-1])
        it.count(last["rows"])
    assert last["transactions"] > 20
    ops = Counter(change.op for change in it.seen)
    assert set(ops) == {"c", "u", "d"}, ops
    assert len({change.transaction for change in it.seen}) == last["transactions"] < last["rows"]


def test_the_load_has_the_rate_that_it_is_told(
    database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a clock of its own: on a slow machine the server is what limits it."""
    with psycopg.connect(database, autocommit=True) as shop:
        shop.execute(files("tailrace.demo").joinpath("shop.sql").read_bytes())
    clock = itertools.count()
    slow = SimpleNamespace(monotonic=lambda: next(clock) / 1000, sleep=lambda seconds: None)
    monkeypatch.setattr("tailrace.demo.writer.time", slow)
    trade(database, 300, 10)
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    assert 3000 <= rows < 3100


def test_on_a_terminal_it_is_a_live_panel_and_then_the_result(folder: Path) -> None:
    command = [sys.executable, "-m", "tailrace", "demo", "--seconds", "4", "--rate", "1000"]
    with terminal(command, folder=folder, environ={**os.environ, "TMPDIR": str(folder)}) as demo:
        code = demo.end(TIMEOUT_S)
        said = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", demo.shown)
    assert code == 0, said
    panel, _, result = said.rpartition("everything has arrived")
    for word in ("tailrace demo: streaming", "rows/s", "rows", "lag", "commits", "latest", "2 of 2 kills"):
        assert word in panel, panel[-4000:]
    for name in ("duckdb", "handler"):
        assert re.search(rf"PostgreSQL → {name} +streaming +[1-9][\d,]* +[1-9][\d,]* +[\d.]+ m?s", panel), panel[-4000:]
    assert "latest  " in panel and re.search(r"latest +[cudr] \S+", panel), "events"
    assert result.count("identical ") >= 10


def test_an_interrupt_leaves_neither_processes_nor_files(folder: Path) -> None:
    _interrupt(_start(folder), "streaming")
    assert not list(folder.iterdir())


def test_an_interrupt_while_its_server_is_made_leaves_neither_processes_nor_files(folder: Path) -> None:
    demo = _start(folder)
    family: list[psutil.Process] = []

    def makes() -> bool:
        family[:] = psutil.Process(demo.pid).children(recursive=True)
        names = []
        for child in family:
            with suppress(psutil.NoSuchProcess):
                names.append(child.name())
        return any("initdb" in name for name in names)

    try:
        until(makes, "for initdb")
        demo.send_signal(signal.SIGINT)
        said, _ = demo.communicate(timeout=TIMEOUT_S)
    finally:
        demo.kill()
    assert demo.returncode == 130 and "Traceback" not in said, said
    _, left = psutil.wait_procs(family, timeout=60)
    assert not left
    assert not list(folder.iterdir())


def test_over_kafka_two_consumers_have_every_row_once_after_a_kill_of_each(folder: Path, home: Path) -> None:
    demo = _start(folder, "--seconds", "8", "--rate", "1500", home=home)
    said, _ = demo.communicate(timeout=TIMEOUT_S)
    assert demo.returncode == 0, said
    assert said.count("SIGKILL for consumer-1") == said.count("SIGKILL for consumer-2") == 1
    assert said.count("identical ") >= 5
    assert not list(folder.iterdir())


def test_over_kafka_an_interrupt_leaves_neither_processes_nor_files(folder: Path, home: Path) -> None:
    _interrupt(_start(folder, home=home), "share the partitions")
    assert not list(folder.iterdir())


def _without(tmp_path: Path, *commands: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The demonstration over Kafka where only these commands are on the path, and no cache is filled."""
    only = tmp_path / "bin"
    only.mkdir()
    for command in commands:
        found = or_skip(maven.java) if command == "java" else command
        (only / command).symlink_to(found)
    return subprocess.run(
        [sys.executable, "-m", "tailrace", "demo", "--kafka"],
        env={"PATH": str(only), "XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )


@pytest.mark.parametrize(
    ("commands", "missing"),
    [((), "there is no java command"), (("java",), "Kafka comes through Maven, and there is no mvn")],
)
def test_over_kafka_what_is_missing_is_said_in_two_lines(
    tmp_path: Path, commands: tuple[str, ...], missing: str
) -> None:
    done = _without(tmp_path, *commands)
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert missing in first
    assert "install a JDK 17 or newer and Maven, or" in second
    assert not done.stdout


def test_over_kafka_a_home_without_kafka_is_named(tmp_path: Path) -> None:
    done = _without(tmp_path, "java", KAFKA_HOME=str(tmp_path))
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 2)
    assert f"KAFKA_HOME is {tmp_path}, and no Kafka 4 lies there" in done.stderr


def test_the_demonstration_gets_the_kafka_that_the_tests_run() -> None:
    wanted = (tree.ROOT / "servers" / "jars" / "kafka.txt").read_text().split("\n\n")[0]
    assert tuple(line.split("#")[0].strip() for line in wanted.splitlines()) == broker.ARTIFACTS
