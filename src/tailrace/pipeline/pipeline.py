"""A pipeline over its lives: starts a line, starts another after a fault that passes. Never touches a batch."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from tailrace.checkpoint.file import File
from tailrace.contract import Checkpoint, DeadLetters, Retiring, Sink, Source, Transform
from tailrace.durable import Lock, make_folder, storage
from tailrace.error import ConfigError, Fatal, Retryable, trace
from tailrace.model import Limits
from tailrace.pipeline.desk import Desk
from tailrace.pipeline.gauge import CURRENT, Gauge, Look
from tailrace.pipeline.line import Line
from tailrace.pipeline.plan import FailFast, Plan
from tailrace.pipeline.repair import Repairs
from tailrace.pipeline.status import State, Status, StatusServer, write_status
from tailrace.pipeline.stopping import LATE, Stopping

__all__ = ["Pipeline", "desk_path", "impossible_limit", "lock_path", "position_path", "socket_path", "status_path"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_DOING = {State.STARTING: "waiting for its lock", State.RETRYING: "pausing before the next try"}
"""What a pipeline does while it has no open line."""
_BACKOFF_S = 0.2
_ATTEMPTS = 5
_QUIET_S = 60.0
_BYTES_MAX, _DURATION_MAX_S = (1 << 63) - 1, 1_000_000_000
"""What Rust and the clocks of the system can count, the latter with room for sums."""

log = logging.getLogger("tailrace.pipeline")


def lock_path(state_dir: Path, name: str) -> Path:
    """The lock that whoever runs pipeline `name` holds."""
    return state_dir / f"{name}.lock"


def socket_path(state_dir: Path, name: str) -> Path:
    """Where a running pipeline `name` answers `tailrace status`."""
    return state_dir / f"{name}.sock"


def desk_path(state_dir: Path, name: str) -> Path:
    """Where a running pipeline `name` answers `tailrace verify`."""
    return state_dir / f"{name}.desk"


def status_path(state_dir: Path, name: str) -> Path:
    """The last status of pipeline `name`, written when it ended."""
    return state_dir / f"{name}.status"


def position_path(state_dir: Path, name: str) -> Path:
    """The default checkpoint of pipeline `name`, when its sink keeps no position."""
    return state_dir / f"{name}.position"


def impossible_limit(limits: Limits) -> str | None:
    """Which limit leaves room for nothing, so that nothing would ever be read, or is more than can be counted, and what
    it must be; a duration may be 0."""
    for each in fields(limits):
        number = getattr(limits, each.name)
        if not isinstance(number, int | float):
            continue
        may_be_0 = each.name.endswith("_s")
        if not (number > 0 or (may_be_0 and number == 0)):
            return f"{each.name}: this must be {'0 or above' if may_be_0 else 'above 0'}"
        most = _BYTES_MAX if "bytes" in each.name else _DURATION_MAX_S
        if number > most:
            return f"{each.name}: this must be {most} at most"
    return None


def _path_of_two(*parts: object) -> str | None:
    """Where two of the parts are to be kept, if they are files and two of them are to be in one place."""
    seen = set[str]()
    for part in parts:
        path = getattr(part, "path", None)
        if isinstance(path, str | os.PathLike):
            place = os.path.abspath(path)  # noqa: PTH100 - resolve() fails on a loop of links, which its owner tells of
            if place in seen:
                return place
            seen.add(place)
    return None


class _Backoff:
    """Pauses that double from 0.2 s to a cap, each shortened at random by up to half so that a herd spreads out.

    Ours because a pause must end at a stop and the count must fall back when something was written: with tenacity
    both need more lines than these, and its import costs as much as the rest of the package.
    """

    def __init__(self, s_max: float) -> None:
        self._s_max = s_max
        self.failures = 0
        self.since = time.monotonic()
        self._told = ("", 0.0)

    def reset(self) -> None:
        """It worked for a while: the next fault is a new one."""
        self._told = ("", 0.0)
        self.failures = 0
        self.since = time.monotonic()

    def next_s(self) -> float:
        """How long to pause now."""
        self.failures += 1
        longest_s: float = min(self._s_max, _BACKOFF_S * 2.0 ** min(self.failures - 1, 30))
        return random.uniform(0.5, 1.0) * longest_s

    def news(self, fault: str) -> bool:
        """Whether a fault is told: another one than the last, or the same a minute later. A long wait fills no log."""
        now = time.monotonic()
        known, told_at = self._told
        if fault == known and now - told_at < _QUIET_S:
            return False
        self._told = fault, now
        return True

    @property
    def exhausted(self) -> bool:
        """Nothing has worked several times, and for as long as the longest pause."""
        return self.failures >= _ATTEMPTS and time.monotonic() - self.since > self._s_max


@dataclass(eq=False, slots=True)
class Pipeline:
    """One source, through transforms, into one sink.

    `name` is what its position, slot, lock and dead letters are kept under. `checkpoint` keeps the position when the
    sink cannot, and is not used when it can; by default a file in `state_dir`, which is relative to the working
    directory. There also lie the lock that lets one process run the pipeline and the socket that answers `tailrace
    status`; with `state_dir=None` there is neither, and no default checkpoint. `dead_letters` is where changes go that
    the sink refused for good; without, they stop the pipeline (`Refused`). `ConfigError` for a name that cannot be one,
    and for a limit that leaves room for nothing.
    """

    source: Source
    sink: Sink
    name: str = field(kw_only=True)
    transforms: Sequence[Transform] = field(default=(), kw_only=True)
    checkpoint: Checkpoint | None = field(default=None, kw_only=True)
    dead_letters: DeadLetters | None = field(default=None, kw_only=True)
    limits: Limits = field(default_factory=Limits, kw_only=True)
    state_dir: str | os.PathLike[str] | None = field(default=Path(".tailrace"), kw_only=True)
    _stopping: Stopping = field(default_factory=Stopping, init=False, repr=False)
    _gauge: Gauge = field(init=False, repr=False)
    _repairs: Repairs = field(default_factory=Repairs, init=False, repr=False)
    _line: Line | None = field(default=None, init=False, repr=False)
    _running: bool = field(default=False, init=False, repr=False)
    _locked: bool = field(default=False, init=False, repr=False)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigError(
                f"{self.name!r} cannot be the name of a pipeline",
                hint="use up to 63 letters, digits, '_', '-' and '.', beginning with a letter or digit",
            )
        if (limit := impossible_limit(self.limits)) is not None:
            raise ConfigError(f"limits.{limit}", hint="leave it out for the default")
        if (path := _path_of_two(self.sink, self.checkpoint, self.dead_letters)) is not None:
            raise ConfigError(
                f"{self.name}: two of sink, checkpoint and dead_letters are to be kept in {path}",
                hint="give each a path of its own: what one writes there, another would cut off",
            )
        self._gauge = Gauge(self.name)

    @property
    def state_folder(self) -> Path | None:
        """`state_dir` as a path."""
        return None if self.state_dir is None else Path(self.state_dir)

    def run(self, *, until_current: bool = False, retry: bool = True) -> None:
        """Run until stopped, or until what the source had committed at the start is written and saved.

        The calling thread writes (handlers run in it): any thread may, for no signal is handled here. `stop` ends it,
        from another thread or a signal handler of yours. `Retryable` faults are waited out, with `until_current` only
        as long as the longest pause, without `retry` not at all; every other one is raised: `Fatal` and what is below
        it.
        """
        if self._running:
            raise Fatal(f"pipeline {self.name} is running already in this process")
        self._running = True
        self._gauge.begin()
        outside = CURRENT.set(self._gauge)
        log.info("%s: %s → %s", self.name, self.source.kind, self.sink.kind)
        if unused := self.unused_checkpoint:
            log.warning("%s: checkpoint %s: %s", self.name, getattr(self.checkpoint, "kind", ""), unused)
        try:
            self._live(until_current, retry)
            self._gauge.state = State.STOPPED
            log.info("%s: stopped after %d change(s)", self.name, self._gauge.changes)
        except KeyboardInterrupt:
            self._gauge.state = State.STOPPED
            raise
        except BaseException as error:
            self._gauge.error = str(error.args[0]) if error.args else type(error).__name__
            self._gauge.state = State.FAILED
            raise
        finally:
            self._repairs.end()
            self._leave_status()
            CURRENT.reset(outside)
            self._running = False
            self._stopping.clear()

    def stop(self) -> None:
        """Finish what is held, within `limits.stop_timeout_s`; `run` then returns. From any thread or signal handler.

        Before `run` it makes the next `run` return at once.
        """
        self._stopping.ask(self.limits.stop_timeout_s)
        if (line := self._line) is not None:
            line.shelf.wake()
            line.interrupt()

    def status(self) -> Status:
        """A frozen snapshot of what the pipeline is doing; from any thread."""
        line = self._line
        return self._gauge.status(line.look() if line else Look(doing=_DOING.get(self._gauge.state, "")))

    def drop(self) -> list[str]:
        """Remove what the pipeline made on its source (slot, publication) and its position; returns what was removed.

        The next run begins as a first one does. What the sink holds stays, and so do dead letters. `Retryable` while a
        process runs it: nothing was removed. With `state_dir=None` there is no lock that tells: stop it before.
        """
        from tailrace.pipeline.admin import alone, remove  # made of what is here

        with alone(self):
            return remove(self)

    @property
    def unused_checkpoint(self) -> str | None:
        """Why the checkpoint is not used, where the sink keeps the position itself; None where there is none such."""
        if self.checkpoint is None or not self.sink.transactional:
            return None
        return f"it is not used: sink {self.sink.kind} keeps the position itself, with the rows"

    def plan(self) -> Plan:
        """What a run is built of, the default checkpoint included."""
        checkpoint = None if self.unused_checkpoint else self.checkpoint
        folder = self.state_folder
        if checkpoint is None and not self.sink.transactional and folder is not None:
            checkpoint = File(position_path(folder, self.name))
        sink = self.sink
        if self.dead_letters is None and isinstance(sink, FailFast):
            sink = sink.failing_fast()
        return Plan(
            name=self.name,
            source=self.source,
            sink=sink,
            transforms=tuple(self.transforms),
            checkpoint=checkpoint,
            dead_letters=self.dead_letters,
            limits=self.limits,
        )

    def _live(self, until_current: bool, retry: bool) -> None:
        """Life after life, with pauses between them."""
        backoff = _Backoff(self.limits.backoff_s_max)
        plan = self.plan()
        with contextlib.ExitStack() as held:
            locked = False
            while not self._stopping:
                line = Line(plan, self._gauge, self._stopping, until_current=until_current, repairs=self._repairs)
                try:
                    if not locked:
                        self._hold(held)
                        locked = True
                    self._line = line
                    line.run()
                except Retryable as error:
                    if line.progressed:
                        backoff.reset()
                    if not retry or (until_current and backoff.exhausted):
                        raise
                    self._pause(error, backoff)
                else:
                    if isinstance(self.source, Retiring):
                        self.source.retire(self.name)
                    return
                finally:
                    self.status()  # keeps the moment until which everything is durable
                    self._line = None

    def _hold(self, held: contextlib.ExitStack) -> None:
        """Become the one process that runs this pipeline, and answer for it."""
        if (folder := self.state_folder) is None:
            return
        make_folder(folder)
        held.enter_context(Lock(lock_path(folder, self.name), f"pipeline {self.name}"))
        with storage("remove", folder):
            status_path(folder, self.name).unlink(missing_ok=True)
        self._locked = True
        try:
            # The desk first: once the status answers, what lies at its path is no leftover of a killed process.
            desk = Desk(desk_path(folder, self.name), self.name, sink=self.sink, submit=self._repairs.submit)
            held.callback(desk.close)
            server = StatusServer(socket_path(folder, self.name), self.status)
        except OSError as error:
            reason = error.strerror
            log.warning("%s: `tailrace status` and `verify` will not reach this process: %s", self.name, reason)
        else:
            held.callback(server.close)

    def _leave_status(self) -> None:
        """For `tailrace status` once nobody answers any more; a kill leaves none, which is the truth."""
        if self._locked and (folder := self.state_folder) is not None:
            self._locked = False
            try:
                write_status(status_path(folder, self.name), self.status())
            except OSError as error:
                log.info("%s: the last status was not kept: %s", self.name, error.strerror)

    def _pause(self, error: Retryable, backoff: _Backoff) -> None:
        if self._stopping:
            if self._stopping.overdue:
                log.warning(LATE, self.name, self.limits.stop_timeout_s)
            return
        pause_s = backoff.next_s()
        self._gauge.error = str(error.args[0])
        self._gauge.state = State.RETRYING
        self._gauge.restarts += 1
        told = {"error": str(error.args[0]), "error_type": type(error).__name__}
        level = logging.WARNING if backoff.news(str(error.args[0])) else logging.DEBUG
        hint = f"\n  hint: {error.hint}" if error.hint else ""
        log.log(level, "%s: %s; trying again in %.1f s%s", self.name, error.args[0], pause_s, hint, extra=told)
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s: the cause: %s", self.name, trace(error))
        self._stopping.wait(pause_s)
        self._gauge.state = State.STARTING
