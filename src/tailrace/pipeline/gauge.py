"""The numbers behind a Status, and the log fields of the pipeline that a thread works for. Never holds row values.

Nothing here costs more than a few additions a batch: what can be worked out later is worked out when somebody asks.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tailrace.pipeline.status import State, Status

__all__ = ["CURRENT", "Gauge", "Look", "log_fields"]

_RATE_WINDOW_S = 10.0
_RUNNING = {State.SNAPSHOT, State.STREAMING, State.STOPPING}


@dataclass(frozen=True, slots=True)
class Look:
    """What can be seen of an open line now. `caught_at` is by the monotonic clock, `oldest` by the source's."""

    shelf_nbytes: int = 0
    lag_bytes: int | None = None
    lags: Mapping[str, int] = field(default_factory=dict)
    oldest: datetime | None = None
    caught_at: float | None = None
    opened: bool = False
    doing: str = ""


class Gauge:
    """Written by the writer thread, read by any."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._started_at = self._since = time.time()
        self._state = State.STOPPED
        self._changes = self._nbytes = self._batches = 0
        self._history: deque[tuple[float, int, int]] = deque(maxlen=256)
        self._progressed_at: float | None = None
        self._caught_up_at: float | None = None
        self._opened = False
        self._error: str | None = None
        self._error_at: float | None = None
        self.saved: dict[str, str] = {}
        self.dead_letters = 0
        self.restarts = 0

    @property
    def state(self) -> State:
        """Where the pipeline is; setting it notes the time."""
        return self._state

    @state.setter
    def state(self, state: State) -> None:
        if state is not self._state:
            self._state, self._since = state, time.time()

    @property
    def error(self) -> str | None:
        """The last fault, without row values; setting it notes the time."""
        return self._error

    @error.setter
    def error(self, error: str | None) -> None:
        self._error, self._error_at = error, None if error is None else time.time()

    @property
    def changes(self) -> int:
        """Changes that the sink has made durable since the start of this process."""
        return self._changes

    def begin(self) -> None:
        """A run begins: from now on there should be progress."""
        self.error, self.state = None, State.STARTING
        self._opened, self._progressed_at = False, time.monotonic()

    def progressed(self) -> None:
        """Something was made durable, or there is provably nothing to do."""
        self._progressed_at = time.monotonic()

    def wrote(self, changes: int, nbytes: int) -> None:
        """Count one batch that the sink has made durable."""
        now = time.monotonic()
        if not self._history or now - self._history[-1][0] >= _RATE_WINDOW_S / 100:
            self._history.append((now, self._changes, self._nbytes))
        self._changes += changes
        self._nbytes += nbytes
        self._batches += 1
        self._progressed_at = now

    def _rates(self) -> tuple[float, float]:
        """Changes and bytes a second, over the last ten seconds or since the pipeline began to write within them."""
        now = time.monotonic()
        within = (seen for seen in list(self._history) if now - seen[0] <= _RATE_WINDOW_S)
        if (first := next(within, None)) is None:
            return 0.0, 0.0
        at, changes, nbytes = first
        over_s = max(now - at, 1.0)
        return round((self._changes - changes) / over_s, 1), round((self._nbytes - nbytes) / over_s, 1)

    def status(self, look: Look) -> Status:
        """Freeze."""
        changes_per_s, bytes_per_s = self._rates()
        self._opened = self._opened or look.opened
        caught_up_at = _least(_unix(look.caught_at), look.oldest.timestamp() if look.oldest else None)
        if caught_up_at is not None:
            self._caught_up_at = max(caught_up_at, self._caught_up_at or 0.0)
        lag_s = self._lag_s(look) if self._state in _RUNNING else None
        return Status(
            name=self.name,
            state=self._state,
            reason=look.doing,
            pid=os.getpid(),
            since=self._since,
            started_at=self._started_at,
            positions=dict(self.saved),
            changes=self._changes,
            nbytes=self._nbytes,
            batches=self._batches,
            changes_per_s=changes_per_s,
            bytes_per_s=bytes_per_s,
            shelf_nbytes=look.shelf_nbytes,
            lag_bytes=look.lag_bytes,
            lags=look.lags,
            lag_s=None if lag_s is None else round(lag_s, 3),
            caught_up_at=self._caught_up_at,
            progressed_at=_unix(self._progressed_at),
            opened=self._opened,
            dead_letters=self.dead_letters,
            restarts=self.restarts,
            error=self._error,
            error_at=self._error_at,
        )

    def _lag_s(self, look: Look) -> float | None:
        """Age of the oldest change that is not durable: known of what was read, at most so much of what was not."""
        if look.oldest is not None:
            return max(0.0, (datetime.now(UTC) - look.oldest).total_seconds())
        if look.lag_bytes == 0:
            return 0.0
        if look.lag_bytes is None or look.caught_at is None:
            return None
        return max(0.0, time.monotonic() - look.caught_at)


def _unix(at: float | None) -> float | None:
    """A moment of the monotonic clock as seconds since the Unix epoch."""
    return None if at is None else time.time() - (time.monotonic() - at)


def _least(first: float | None, second: float | None) -> float | None:
    """The lesser one; None when the first is unknown."""
    return first if first is None or second is None else min(first, second)


CURRENT: ContextVar[Gauge | None] = ContextVar("tailrace_pipeline", default=None)
"""The gauge of the pipeline that this thread works for."""


def log_fields() -> Mapping[str, str]:
    """`pipeline`, `state` and the saved `position` for a line that is logged by this thread; empty outside of one."""
    gauge = CURRENT.get()
    if gauge is None:
        return {}
    position = ", ".join(list(gauge.saved.values()))
    return {"pipeline": gauge.name, "state": gauge.state, **({"position": position} if position else {})}
