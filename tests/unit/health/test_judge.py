"""The verdict on a pipeline, and where one may listen."""

import pytest

from tailrace.error import ConfigError
from tailrace.health import Address, judge
from tailrace.pipeline import State, Status

NOW = 1_000_000.0


def status(
    state: State, *, still_s: float | None = 1.0, opened: bool = True, error: str | None = None, error_s: float = 1.0
) -> Status:
    progressed_at = None if still_s is None else NOW - still_s
    return Status(
        name="p", state=state, pid=1, since=NOW - 5000, started_at=NOW - 5000, reason="at work",
        progressed_at=progressed_at, opened=opened, error=error,
        error_at=None if error is None else NOW - error_s,
    )  # fmt: skip


@pytest.mark.parametrize("state", [State.STARTING, State.SNAPSHOT, State.STREAMING, State.RETRYING, State.STOPPING])
def test_healthy_is_progress_lately_whatever_the_state(state: State) -> None:
    assert judge(status(state, still_s=59), stalled_s=60, now=NOW).healthy
    verdict = judge(status(state, still_s=61), stalled_s=60, now=NOW)
    assert not verdict.healthy
    assert verdict.reason == "no progress for 61 s: at work"


def test_a_failure_is_told_at_once_and_an_end_as_wanted_is_no_illness() -> None:
    failed = judge(status(State.FAILED, error="the slot is gone"), stalled_s=60, now=NOW)
    assert (failed.healthy, failed.reason) == (False, "failed: the slot is gone")
    assert judge(status(State.STOPPED, still_s=9999), stalled_s=60, now=NOW).healthy
    assert judge(status(State.STOPPED, still_s=None), stalled_s=60, now=NOW).healthy, "not started yet"


@pytest.mark.parametrize("state", [State.RETRYING, State.STARTING])
def test_a_fault_that_stays_is_no_idleness_however_long_a_write_may_take(state: State) -> None:
    assert judge(status(state, still_s=29, error="no server"), stalled_s=300, now=NOW).healthy
    assert not judge(status(state, still_s=31, error="no server"), stalled_s=300, now=NOW).healthy
    assert judge(status(State.STREAMING, still_s=31, error="an old one"), stalled_s=300, now=NOW).healthy


def test_what_is_waited_out_is_named() -> None:
    verdict = judge(status(State.RETRYING, still_s=100, error="no server"), stalled_s=60, now=NOW)
    assert verdict.reason == "no progress for 100 s: at work: no server"
    old = judge(status(State.STREAMING, still_s=100, error="no server"), stalled_s=60, now=NOW)
    assert "no server" not in old.reason, "that fault has passed"


@pytest.mark.parametrize(
    ("state", "still_s", "opened", "expected"),
    [
        (State.STARTING, 1.0, False, False),
        (State.STREAMING, 1.0, True, True),
        (State.RETRYING, 1.0, True, False),
        (State.STARTING, 1.0, True, False),
        (State.STOPPING, 1.0, False, False),
        (State.FAILED, 1.0, False, False),
        (State.STOPPED, 1.0, False, True),
        (State.STOPPED, None, False, False),
    ],
)
def test_ready_is_a_source_that_is_open_now(state: State, still_s: float | None, opened: bool, expected: bool) -> None:
    assert judge(status(state, still_s=still_s, opened=opened), stalled_s=60, now=NOW).ready is expected


@pytest.mark.parametrize(
    ("text", "host", "port", "local"),
    [
        ("127.0.0.1:9187", "127.0.0.1", 9187, True),
        ("9187", "127.0.0.1", 9187, True),
        (":9187", "127.0.0.1", 9187, True),
        ("localhost:0", "127.0.0.1", 0, True),
        ("[::1]:1", "::1", 1, True),
        ("0.0.0.0:9187", "0.0.0.0", 9187, False),
        ("[::]:9187", "::", 9187, False),
        ("db.internal:9187", "db.internal", 9187, False),
    ],
)
def test_only_what_is_written_out_leaves_this_machine(text: str, host: str, port: int, local: bool) -> None:
    address = Address.parse(text)
    assert (address.host, address.port, address.local) == (host, port, local)


@pytest.mark.parametrize("text", ["", "here", "127.0.0.1", "127.0.0.1:http", "127.0.0.1:70000", "1:-1"])
def test_what_is_no_address_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="cannot listen at"):
        Address.parse(text)


def test_what_waits_to_be_opened_long_after_a_fault_is_not_at_fault() -> None:
    waits = status(State.STARTING, still_s=65, error="no server", error_s=64)
    assert judge(waits, stalled_s=300, now=NOW).healthy
    assert not judge(waits, stalled_s=60, now=NOW).healthy
    pauses = status(State.RETRYING, still_s=65, error="no server", error_s=64)
    assert not judge(pauses, stalled_s=300, now=NOW).healthy
