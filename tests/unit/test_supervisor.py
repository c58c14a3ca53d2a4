"""Many pipelines: one's failure leaves the others alone, and the worst exit code is told."""

import time

import pytest

from tailrace.checkpoint import Memory
from tailrace.error import ConfigError, Fatal, HistoryLost, Refused, Retryable
from tailrace.model import Limits
from tailrace.pipeline import Pipeline, State
from tailrace.supervisor import Supervisor, exit_code_of, worst
from tailrace.testing.fake import ListSink, Log, LogSource, Target
from tests.waiting import until


def make(name: str, log: Log, target: Target, *, stop_timeout_s: float = 60) -> Pipeline:
    return Pipeline(
        LogSource(log),
        ListSink(target),
        name=name,
        checkpoint=Memory(),
        state_dir=None,
        limits=Limits(stop_timeout_s=stop_timeout_s),
    )


def test_a_failure_stops_one_pipeline_and_not_the_others() -> None:
    good, bad = Log(), Log()
    good_target, bad_target = Target(), Target()
    bad.fail(HistoryLost("gone"))
    supervisor = Supervisor([make("bad", bad, bad_target), make("good", good, good_target)])
    supervisor.start()
    until(lambda: "bad" in supervisor.outcomes)
    good.insert(1)
    good_target.wait(1)
    supervisor.stop()
    assert supervisor.wait() == 4
    assert isinstance(supervisor.outcomes["bad"], HistoryLost)
    assert supervisor.outcomes["good"] is None
    assert [status.state for status in supervisor.status()] == [State.FAILED, State.STOPPED]


def test_all_done_is_0() -> None:
    log, target = Log(), Target()
    log.insert(1)
    supervisor = Supervisor([make(name, log, target) for name in ("a", "b", "c")])
    supervisor.start(until_current=True)
    assert supervisor.wait() == 0
    assert len(target.records) == 3


def test_without_retry_the_first_fault_is_the_end() -> None:
    log = Log()
    log.fail(Retryable("gone"))
    supervisor = Supervisor([make("a", log, Target())])
    supervisor.start(retry=False)
    assert supervisor.wait() == 75


@pytest.mark.parametrize(
    ("codes", "expected"),
    [([], 0), ([0, 75], 75), ([75, 2], 2), ([1, 2, 3], 1), ([1, 5], 5), ([5, 4, 1], 4), ([0, 99, 4], 99)],
)
def test_the_worst_exit_code_wins(codes: list[int], expected: int) -> None:
    assert worst(codes) == expected


def test_every_outcome_has_its_exit_code() -> None:
    outcomes = [None, Retryable("x"), Fatal("x"), ConfigError("x"), Refused("x"), ValueError("x")]
    assert [exit_code_of(outcome) for outcome in outcomes] == [0, 75, 1, 2, 5, 1]


def test_a_fatal_a_crash_and_a_stuck_sink_leave_the_other_alone_and_the_worst_is_told() -> None:
    logs = {name: Log() for name in ("good", "fatal", "crash", "stuck")}
    targets = {name: Target() for name in logs}
    targets["fatal"].fail(Refused("no such currency"))
    targets["crash"].fail(SystemExit(3))  # the gravest that a handler can do to the thread that calls it
    targets["stuck"].gate.clear()
    supervisor = Supervisor([make(name, logs[name], targets[name], stop_timeout_s=2) for name in logs])
    supervisor.start()
    for log in logs.values():
        log.insert(1)
    until(lambda: supervisor.outcomes.keys() == {"fatal", "crash"})
    targets["stuck"].wait_for(lambda: targets["stuck"].offers == 1)
    for key in range(2, 5):
        logs["good"].insert(key)
    assert targets["good"].wait(4)
    supervisor.stop()
    assert supervisor.wait() == 5, "the worst of 0, 1 (a crash), 1 (stuck) and 5"
    outcomes = supervisor.outcomes
    assert outcomes["good"] is None
    assert isinstance(outcomes["fatal"], Refused)
    assert isinstance(outcomes["crash"], SystemExit)
    assert "did not stop in time: sink list has been at work" in str(outcomes["stuck"])
    assert supervisor.left
    targets["stuck"].gate.set()
    until(lambda: not supervisor.left)


def test_a_stop_has_one_limit_for_all_pipelines_together() -> None:
    targets = [Target() for _ in range(6)]
    logs = [Log() for _ in targets]
    for target in targets:
        target.gate.clear()
    pairs = enumerate(zip(logs, targets, strict=True))
    supervisor = Supervisor([make(f"p{i}", log, target, stop_timeout_s=1) for i, (log, target) in pairs])
    supervisor.start()
    for log, target in zip(logs, targets, strict=True):
        log.insert(1)
        target.wait_for(lambda target=target: target.offers == 1)  # type: ignore[misc]
    began = time.monotonic()
    supervisor.stop()
    assert supervisor.wait() == 1
    assert 1 <= time.monotonic() - began < 30, "six after another would take 36"
    for target in targets:
        target.gate.set()
    until(lambda: not supervisor.left)
