"""Whether a pipeline is well, judged by its Status alone. Healthy means progress lately, or a source that is idle.

What is waited for in vain (a lock, a server that is down, a sink that takes nothing, a source that says nothing) makes
a pipeline ill only after a while: `stalled_s` is how long nothing may become durable although there is something.
"""

from __future__ import annotations

from dataclasses import dataclass

from tailrace.pipeline import State, Status

__all__ = ["Verdict", "judge", "ready"]


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
    """Its source has been open in this run, or it has ended as wanted."""
    return status.opened or (status.state is State.STOPPED and status.progressed_at is not None)


def _wrong(status: Status, stalled_s: float, now: float) -> str | None:
    if status.state is State.FAILED:
        return f"failed: {status.error}"
    if status.state is State.STOPPED or status.progressed_at is None:
        return None
    still_s = now - status.progressed_at
    if still_s <= stalled_s:
        return None
    cause = f": {status.error}" if status.state in {State.RETRYING, State.STARTING} and status.error else ""
    return f"no progress for {still_s:.0f} s: {status.reason or status.state}{cause}"
