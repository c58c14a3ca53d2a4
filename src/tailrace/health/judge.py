"""Whether a pipeline is well, judged by its Status alone. Healthy means progress lately, or a source that is idle.

What is waited for in vain (a lock, a server that is down, a sink that takes nothing, a source that says nothing) makes
a pipeline ill only after a while: `stalled_s` is how long nothing may become durable although there is something. While
it tries again after a fault nothing is known of the source, so it is not idle, and nothing large is written: there
the while is half a minute at most, enough for a server to be started anew. What opens a source may wait by design, for
its slot or for old transactions: when the last fault is that long ago, this is no trying again.
"""

from __future__ import annotations

from dataclasses import dataclass

from tailrace.pipeline import State, Status

__all__ = ["Verdict", "judge", "ready"]


_FAULT_S = 30.0
_RUNNING = {State.SNAPSHOT, State.STREAMING, State.STOPPING}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is told of one pipeline; `reason` says what is wrong, or what it does."""

    healthy: bool
    ready: bool
    state: State
    reason: str


def judge(status: Status, *, stalled_s: float, now: float) -> Verdict:
    """The verdict at `now` (seconds since the Unix epoch). A pipeline that ended as wanted is healthy."""
    reason = _wrong(status, stalled_s, now)
    return Verdict(reason is None, ready(status), status.state, reason or status.reason)


def ready(status: Status) -> bool:
    """Its source is open and answers, or it has ended as wanted."""
    if status.state is State.STOPPED:
        return status.progressed_at is not None
    return status.opened and status.state in _RUNNING


def _wrong(status: Status, stalled_s: float, now: float) -> str | None:
    if status.state is State.FAILED:
        return f"failed: {status.error}"
    if status.state is State.STOPPED or status.progressed_at is None:
        return None
    still_s = now - status.progressed_at
    faulty = status.error is not None and (
        status.state is State.RETRYING or (status.state is State.STARTING and _lately(status.error_at, now))
    )
    if still_s <= (min(stalled_s, _FAULT_S) if faulty else stalled_s):
        return None
    cause = f": {status.error}" if faulty else ""
    return f"no progress for {still_s:.0f} s: {status.reason or status.state}{cause}"


def _lately(error_at: float | None, now: float) -> bool:
    return error_at is not None and now - error_at <= _FAULT_S
