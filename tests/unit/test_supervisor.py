"""Many pipelines: one's failure leaves the others alone, and the worst exit code is told."""

import pytest

from tailrace.checkpoint import Memory
from tailrace.error import ConfigError, Fatal, HistoryLost, Refused, Retryable
from tailrace.model import Limits
from tailrace.pipeline import Pipeline, State
from tailrace.supervisor import Supervisor, exit_code_of, worst
from tailrace.testing.fake import ListSink, Log, LogSource, Target
from tests.waiting import until


def make(name: str, log: Log, target: Target) -> Pipeline:
    return Pipeline(
        LogSource(log),
        ListSink(target),
        name=name,
        checkpoint=Memory(),
        state_dir=None,
        limits=Limits(stop_timeout_s=5),
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
