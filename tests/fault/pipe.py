"""One pipeline, run by the command line in a process of its own, and what it said. Judges it by the declared end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tests.crash.ledger import Duck, Held, Lines, Repeated, Replica, settle
from tests.fault.image import Image, holds, image, same
from tests.fault.row import End
from tests.fault.traffic import Traffic
from tests.waiting import until

NAME = "fault"
CANARY = "canary-7341"
"""Stands in rows of the tests: no message may hold it (I9)."""
_PATIENCE_S = 300.0
_SLOT_MADE = "created replication slot"
_RESTARTS = "; trying again in "
LIMITS = {
    "segment_bytes": 64 << 10, "batch_bytes_max": 1 << 20, "shelf_bytes_max": 2 << 20,
    "transaction_bytes_max": 1 << 20, "progress_interval_s": 0.2, "save_interval_s": 0.2, "backoff_s_max": 0.5,
}  # fmt: skip
_FILES = {"file": "out.jsonl", "duckdb": "out.duckdb", "stdout": "stdout"}


@dataclass
class Pipe:
    """A configuration in `folder`, and the process that runs it."""

    folder: Path
    url: str
    """Of the source, as the pipeline reaches it."""
    kind: str
    end: End
    direct: str = ""
    """Of the source, as the test reaches it."""
    replica: str = ""
    """The target, if it is a PostgreSQL database."""
    through: str = ""
    """The target, as the pipeline reaches it."""
    source: Mapping[str, Any] = field(default_factory=dict)
    sink: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: Mapping[str, Any] = field(default_factory=dict)
    inside: Sequence[str] = ()
    """The command that runs it, such as one that enters a network namespace."""
    heir: bool = False
    """It begins where another process has left off, without a snapshot."""
    only: Sequence[str] | None = None
    """The tables of schema public that are compared; all, if None."""
    judged: bool = False
    """The end that was declared has been seen."""
    states: list[Image] = field(default_factory=list)
    """What the source held before and after each of the transactions that `commits` made."""
    process: subprocess.Popen[bytes] | None = None
    former: int = 0
    """The walsender that had the slot when this life began; 0 for none."""

    def __post_init__(self) -> None:
        self.direct = self.direct or self.url
        self.folder.mkdir(parents=True, exist_ok=True)
        self.slot = "fault_" + str(conninfo_to_dict(self.direct)["dbname"])
        self.target = Path(self.sink.get("path", self.folder / _FILES.get(self.kind, "")))
        self.held = self._held()
        self.configure()

    def configure(self) -> None:
        """Write the TOML of what its fields say now."""
        to = {"url": self.through or self.replica} if self.replica else {"path": str(self.target)}
        tables = {
            "source": {
                "kind": "postgres", "url": self.url, "tables": ["public.*"], "slot": self.slot,
                "publication": self.slot, **self.source,
            },
            "sink": {"kind": self.kind, **({} if self.kind == "stdout" else to), **self.sink},
            "limits": {**LIMITS, **self.limits},
            **({"checkpoint": self.checkpoint} if self.checkpoint else {}),
        }  # fmt: skip
        lines = []
        for table, keys in tables.items():
            lines.append(f"[pipeline.{NAME}.{table}]")
            lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in keys.items()]
        (self.folder / "t.toml").write_text("\n".join(lines))

    @property
    def shown_with(self) -> str:
        """The products of this pipeline and their versions, for the page."""
        return shown_with(self.direct, self.kind, self.replica)

    @property
    def at(self) -> Path | str:
        """Where its target is."""
        return self.replica or self.target

    @property
    def said(self) -> str:
        """All that its processes have printed to stderr."""
        path = self.folder / "stderr"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def words(self) -> str:
        """The last of what it said, for a failure."""
        return "\n".join(line[:300] for line in self.said.splitlines() if "snapshot of" not in line)[-3000:]

    @property
    def warnings(self) -> list[str]:
        """What it has logged as a warning or worse; a line that is being written is none yet."""
        whole, _, _ = self.said.rpartition("\n")
        lines = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        return [line["event"] for line in lines if line["level"] in ("warning", "error")]

    def start(self, *options: str, **environ: str) -> None:
        """Begin a life."""
        self.former = self._asked("active_pid") or 0
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
        with (self.folder / "stderr").open("ab") as stderr, (self.folder / "stdout").open("ab") as stdout:
            self.process = subprocess.Popen(
                [*self.inside, sys.executable, "-m", "tailrace", "run", str(self.folder / "t.toml"), *options],
                cwd=self.folder, env={**environment, **environ}, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr,
            )  # fmt: skip

    def wait(self) -> int:
        """The exit code, once it ends by itself or by what it was told."""
        assert self.process is not None
        code = self.process.wait(_PATIENCE_S)
        assert "Traceback" not in self.said
        assert CANARY not in self.said, "a message holds a value of a row"
        return code

    def kill(self) -> None:
        """SIGKILL, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(_PATIENCE_S)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> None:
        """End this life cleanly."""
        self.signal(signal.SIGTERM)
        assert self.wait() == 143, self.words

    def catch_up(self) -> None:
        """Wait until the snapshot is over, and all that the source has committed up to now is saved: confirmed (I1)."""
        slots = -1
        while slots != self.said.count(_SLOT_MADE):
            self._alive_until(self._snapshot_over, "for the snapshot")
            slots = self.said.count(_SLOT_MADE)
            # A slot that was made anew stands beyond the first record before it is told of, never beyond the second.
            for _ in range(2):
                self._confirmed()

    def _snapshot_over(self) -> bool:
        said = self.said  # an attempt before that was read whole, but not saved, has said that it is complete too
        made, complete = said.rfind(_SLOT_MADE), said.rfind("the snapshot is complete")
        return complete > made or (self.heir and made < 0)

    def _confirmed(self) -> None:
        with psycopg.connect(self.direct, autocommit=True) as connection:
            # A record of its own, so that the slot cannot stand there from the beginning; a commit brings it to disk.
            mark = "SELECT pg_create_restore_point('caught up')::text, pg_current_xact_id()"
            end = connection.execute(mark).fetchone()
        assert end is not None
        self._alive_until(lambda: self._slot(f"confirmed_flush_lsn >= '{end[0]}'"), f"for {end[0]} to be confirmed")

    def goes_on(self, traffic: Traffic | None = None) -> None:
        """The end that was declared: it is still the same process, it catches up, and nothing is lost or doubled."""
        assert self.end.code is None
        if traffic is not None:
            traffic.stop()
        self.catch_up()
        if self.end.message:
            assert self.waited, f"it did not say {self.end.message!r}: {self.words}"
        assert (_RESTARTS in self.said) == self.end.retries, f"it {self.end}, but said: {self.words}"
        self.stop()
        self.settle(traffic)

    def settle(self, traffic: Traffic | None) -> None:
        """Compare the target with the ledger of the traffic and with the source."""
        if traffic is not None:
            traffic.stop()
            settle(self.held, self.direct, traffic.committed)
        if self.kind in ("postgres", "duckdb") or (traffic is None and self.kind == "file"):
            logs = ("log",) if self.kind == "duckdb" and traffic is not None else ()
            same(self.direct, self.at, only=self.only, logs=logs)  # columns that came and went too
        self.judged = True

    @property
    def waited(self) -> bool:
        """It has said the declared message and tried again."""
        told = (line.removeprefix(f"{NAME}: ").partition(_RESTARTS)[0] for line in self.warnings)
        return any(self.end.said_in(line) for line in told)

    def attached(self) -> None:
        """Wait until it reads its slot; the walsender of a life before may hold that for a moment."""
        self._alive_until(lambda: self._slot(f"active_pid <> {self.former}"), "for the slot to be read")

    def waits(self) -> None:
        """Wait until it has said the declared message."""
        self._alive_until(lambda: self.waited, f"for {self.end.message!r}")

    def loses_slot(self) -> None:
        """Have its walsender ended and the slot dropped: both while it is paused, or it might be back in between."""
        self.signal(signal.SIGSTOP)
        with psycopg.connect(self.direct, autocommit=True) as connection:
            ended = "SELECT pg_terminate_backend(active_pid, 60000) FROM pg_replication_slots WHERE slot_name = %s"
            connection.execute(ended.encode(), [self.slot])
            connection.execute(b"SELECT pg_drop_replication_slot(%s)", [self.slot])
        self.signal(signal.SIGCONT)

    def says(self, text: str) -> None:
        """Wait until a line of its log has this in it."""
        self._alive_until(lambda: text in self.said, f"for {text!r}")

    def commits(self, *statements: str) -> None:
        """Commit each at the source; `stops` finds the target as the source was between any two of them."""
        self.states = self.states or [image(self.direct, self.only)]
        for statement in statements:
            with psycopg.connect(self.direct, autocommit=True) as connection:
                connection.execute(statement.encode())
            self.states.append(image(self.direct, self.only))

    def stops(self, traffic: Traffic | None = None) -> None:
        """The end that was declared: this code, this message, and a target that holds a prefix of what was committed.

        Of the traffic, whole transactions and each once; else of what `commits` made; nothing at all without either.
        """
        code = self.wait()
        assert code == self.end.code, f"exit code {code}: {self.words}"
        told = (line.removeprefix(f"{NAME}: ") for line in self.warnings)
        assert any(self.end.said_in(line) for line in told), self.words
        if traffic is not None:
            reached = self.held.prefix()
            until(lambda: traffic.has(reached), f"for the ledger to have what the target holds: {reached}")
        else:
            assert any(holds(self.at, state) for state in self.states or [{}]), "the target is at none of its states"
        self.judged = True

    def resets(self, traffic: Traffic | None = None) -> None:
        """`tailrace reset`, and the next run begins as a first one: with a snapshot, behind which nothing is lost."""
        if self.kind == "file":
            self.held = Appended(self.target)
        command = [sys.executable, "-m", "tailrace", "reset", str(self.folder / "t.toml"), NAME, "--yes"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=_PATIENCE_S)
        assert done.returncode == 0, done.stderr
        made = self.said.count(_SLOT_MADE)
        self.resumes(traffic)
        assert self.said.count(_SLOT_MADE) > made, "it went on where it had been"

    def resumes(self, traffic: Traffic | None = None) -> None:
        """After the cause was mended, a new life catches up and nothing is lost."""
        self.start()
        if traffic is not None:
            traffic.stop()
        self.catch_up()
        self.stop()
        self.settle(traffic)

    def _held(self) -> Held:
        if self.replica:
            return Replica(self.replica)
        return {"file": Lines, "duckdb": Duck, "stdout": Repeated}[self.kind](self.target)

    def _slot(self, condition: str) -> bool:
        return bool(self._asked(condition))

    def _asked(self, column: str) -> Any:
        """What the server says of the slot; None where it does not, or has none."""
        try:
            with psycopg.connect(self.direct, autocommit=True) as connection:
                query = f"SELECT {column} FROM pg_replication_slots WHERE slot_name = %s"
                found = connection.execute(query.encode(), [self.slot]).fetchone()
        except psycopg.OperationalError:  # it is being restarted
            return None
        return found and found[0]

    def _alive_until(self, condition: Callable[[], object], what: str) -> None:
        def met() -> object:
            ended = self.process is not None and self.process.poll() is not None
            assert not ended, f"it ended while the test waited {what}: {self.words}"
            return condition()

        try:
            until(met, what, timeout_s=_PATIENCE_S)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.words}") from None


class Appended(Lines):
    """What a file sink writes from now on, behind what was there, which `tailrace reset` keeps."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._before = super()._content()

    def _content(self) -> bytes:
        content = super()._content()
        assert content.startswith(self._before), "what was there is gone"
        return content[len(self._before) :]


def shown_with(source: str, kind: str, replica: str = "") -> str:
    """The products of a pipeline and their versions, by its source's URL, the kind of its sink and its target's URL."""
    product = f"DuckDB {version('duckdb')}" if kind == "duckdb" else kind
    return f"{_postgres(source)} → {_postgres(replica) if replica else product}"


def _postgres(url: str) -> str:
    with psycopg.connect(url) as connection:
        number = connection.info.server_version
    return f"PostgreSQL {number // 10000}.{number % 10000}"
