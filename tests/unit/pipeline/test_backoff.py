"""The pauses between two lives of a pipeline: they double, stop at a cap, differ at random and fall back."""

import time

import pytest

from tailrace._native import BatchBuilder
from tailrace.checkpoint import Memory
from tailrace.error import Fatal, Retryable
from tailrace.model import Batch, Limits, Position
from tailrace.pipeline import Pipeline
from tailrace.pipeline.pipeline import _ATTEMPTS, _Backoff
from tailrace.testing.fake import ORDERS, ListSink, Log, LogSource, Target

TRIES = 12


def test_pauses_double_up_to_the_cap_each_shortened_by_up_to_half() -> None:
    herd = [_Backoff(s_max=1.0) for _ in range(50)]
    for failure in range(TRIES):
        longest_s = min(1.0, 0.2 * 2**failure)
        pauses_s = [each.next_s() for each in herd]
        assert all(longest_s / 2 <= pause_s <= longest_s for pause_s in pauses_s)
        assert max(pauses_s) - min(pauses_s) > longest_s / 8, "a herd spreads out"


def test_a_success_makes_the_next_fault_a_first_one() -> None:
    backoff = _Backoff(s_max=60.0)
    for _ in range(TRIES):
        backoff.next_s()
    assert 30.0 <= backoff.next_s() <= 60.0
    backoff.reset()
    assert 0.1 <= backoff.next_s() <= 0.2


def test_what_is_written_between_two_faults_makes_the_next_one_a_first_one() -> None:
    log, target, limits = Log(), Target(), Limits(backoff_s_max=0.01)
    for key in range(TRIES):
        log.insert(key)
        log.fail(Retryable("the server is restarted"))
    pipeline = Pipeline(LogSource(log), ListSink(target), name="p", state_dir=None, checkpoint=Memory(), limits=limits)
    pipeline.run(until_current=True)
    assert target.keys == [str(key) for key in range(TRIES)]
    assert pipeline.status().restarts == TRIES > _ATTEMPTS


def test_a_fault_that_is_waited_out_says_what_to_do_about_it(caplog: pytest.LogCaptureFixture) -> None:
    log, limits = Log(), Limits(backoff_s_max=0.01)
    log.fail(Retryable("the slot is in use", hint="end the other reader"))
    log.insert(1)
    pipeline = Pipeline(
        LogSource(log), ListSink(Target()), name="p", state_dir=None, checkpoint=Memory(), limits=limits
    )
    pipeline.run(until_current=True)
    (told,) = [each for each in caplog.messages if "the slot is in use" in each]
    assert told.startswith("p: the slot is in use; trying again in ")
    assert told.endswith(" s\n  hint: end the other reader")


class Interrupted(Log):
    """A snapshot of which each attempt gets as far as the first."""

    def __init__(self) -> None:
        super().__init__()
        self.attempts = 0

    def after(self, position: Position | None) -> int:
        return 0

    def next(self, index: int, bound: int | None, timeout_s: float) -> Batch:
        if index > 0:
            raise Retryable("the disk is full")
        self.attempts += 1
        if self.attempts > TRIES:
            raise Fatal("tried for ever")
        builder = BatchBuilder(self.lineage)
        builder.begin(xid=self.attempts, lsn=self.attempts << 20, committed_at_us=time.time_ns() // 1000)
        builder.add("r", ORDERS, after={"id": "1", "note": ""})
        builder.commit()
        return builder.take(snapshot=(str(self.attempts), ORDERS, True, False))


def test_rows_of_a_snapshot_that_begins_anew_are_no_success() -> None:
    log, target, limits = Interrupted(), Target(), Limits(backoff_s_max=0.01)
    log.insert(1)
    pipeline = Pipeline(LogSource(log), ListSink(target), name="p", state_dir=None, checkpoint=Memory(), limits=limits)
    with pytest.raises(Retryable, match="the disk is full"):
        pipeline.run(until_current=True)
    assert len(target.keys) == log.attempts == _ATTEMPTS + 1
