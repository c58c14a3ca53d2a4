"""The seven rooms: what is saved, confirmed, retried, refused; each invariant under its number."""

import errno
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tailrace.checkpoint import File, Memory
from tailrace.contract import Positions
from tailrace.error import ConfigError, Fatal, Fenced, HistoryLost, Refused, Reject, Retryable
from tailrace.model import Batch, Limits, Position, Revoked
from tailrace.pipeline import Pipeline, State
from tailrace.testing.fake import AtomicSink, ListSink, Log, LogSource, Target
from tests.waiting import until

QUICK = Limits(save_interval_s=0.02, backoff_s_max=0.05, stop_timeout_s=60)


def make(log: Log, target: Target, **options: object) -> Pipeline:
    options.setdefault("checkpoint", Memory())
    options.setdefault("limits", QUICK)
    return Pipeline(LogSource(log), ListSink(target), name="p", state_dir=None, **options)  # type: ignore[arg-type]


@contextmanager
def running(pipeline: Pipeline) -> Iterator[list[BaseException]]:
    """Run beside the test; the list holds what `run` raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            pipeline.run()
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            raised.append(error)

    # A daemon: where a test has failed its sink may still be stuck, and the process must end all the same.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield raised
    finally:
        pipeline.stop()
        thread.join(60)
        assert not thread.is_alive()


def test_until_current_writes_saves_and_confirms_everything_committed_before() -> None:
    log, target, checkpoint = Log(), Target(), Memory()
    last = [log.insert(key) for key in range(50)][-1]
    make(log, target, checkpoint=checkpoint).run(until_current=True)
    assert target.keys == [str(key) for key in range(50)]
    assert log.confirmed[-1] == last
    assert checkpoint.open("p").known() == {log.lineage: last}


def test_a_second_run_starts_right_behind_the_first() -> None:
    log, target = Log(), Target()
    pipeline = make(log, target)
    log.insert(1)
    pipeline.run(until_current=True)
    log.insert(2)
    pipeline.run(until_current=True)
    assert target.keys == ["1", "2"]


class Told(list[Position]):
    """What a server was told, and beside each what lay in the target at that moment."""

    def __init__(self, target: Target) -> None:
        super().__init__()
        self._target = target
        self.saved: list[Position | None] = []

    def extend(self, positions: Iterable[Position]) -> None:
        for position in positions:
            self.saved.append(self._target.saved.get(position.lineage))
            self.append(position)


@pytest.mark.parametrize("atomic", [False, True])
def test_i1_nothing_is_confirmed_before_it_is_saved(atomic: bool) -> None:
    log, target = Log(), Target()
    saved: list[Position] = []

    class Kept:
        def open(self, name: str) -> Positions:
            inner = Memory().open(name)
            save = inner.save

            def spy(positions: list[Position]) -> None:
                assert not set(positions) & set(log.confirmed)
                save(positions)
                saved.extend(positions)

            inner.save = spy  # type: ignore[method-assign, assignment]
            return inner

    for key in range(20):
        log.insert(key)
    if atomic:
        log.confirmed = told = Told(target)
        Pipeline(LogSource(log), AtomicSink(target), name="p", state_dir=None).run(until_current=True)
        assert told.saved == told
    else:
        make(log, target, checkpoint=Kept()).run(until_current=True)
        assert saved == log.confirmed
    assert log.confirmed


def test_i1_a_failed_save_confirms_nothing() -> None:
    log, target = Log(), Target()

    class Broken:
        def open(self, name: str) -> Positions:
            inner = Memory().open(name)

            def save(positions: object) -> None:
                raise Fatal("no")

            inner.save = save  # type: ignore[method-assign, assignment]
            return inner

    log.insert(1)
    with pytest.raises(Fatal, match="no"):
        make(log, target, checkpoint=Broken()).run(until_current=True)
    assert target.keys == ["1"]
    assert log.confirmed == []


def test_i2_reading_goes_on_while_nothing_is_confirmed() -> None:
    log, target = Log(), Target()
    pipeline = make(log, target, limits=Limits(save_interval_s=3600, stop_timeout_s=60))
    with running(pipeline):
        first = log.insert(0)
        target.wait(1)
        for key in range(1, 30):
            log.insert(key)
            target.wait(key + 1)
        assert set(log.confirmed) <= {first}
    assert log.confirmed[-1].text > first.text, "the stop saves and confirms the rest"


def test_i3_a_position_that_goes_back_stops_the_pipeline() -> None:
    log, target = Log(), Target()
    for key in range(3):
        log.insert(key)
    order = iter([0, 2, 1])

    class Jumping(Log):
        def next(self, index: int, bound: int | None, timeout_s: float) -> Batch | Revoked | None:
            return log.next(next(order), None, timeout_s)

    limits = Limits(batch_bytes_max=1, save_interval_s=0)
    with pytest.raises(Fatal, match="I3"):
        make(Jumping(), target, limits=limits).run()
    assert target.keys == ["0", "2"]


def test_i4_what_a_write_refused_for_now_is_offered_again_whole() -> None:
    log, target = Log(), Target()
    log.commit(("c", {"id": "1", "note": "a"}), ("c", {"id": "2", "note": "b"}))
    target.fail(Retryable("one"), Retryable("two"))
    make(log, target, limits=Limits(backoff_s_max=60)).run(until_current=True)
    assert target.keys == ["1", "2"]
    assert target.offers == 3
    assert log.events.count("open") == 3


def test_i8_a_stuck_sink_stops_the_reading_and_i11_the_stream_is_tended() -> None:
    log, target = Log(), Target()
    target.gate.clear()
    limits = Limits(shelf_bytes_max=5_000, batch_bytes_max=1_000, stop_timeout_s=60)
    pipeline = make(log, target, limits=limits)
    for key in range(100):
        log.insert(key)
    with running(pipeline):
        target.wait_for(lambda: target.offers > 0)
        until(lambda: "tend" in log.events)
        assert pipeline.status().shelf_nbytes < 7_000
        assert target.records == []
        target.gate.set()
        assert len(target.wait(100)) == 100
    assert target.keys == [str(key) for key in range(100)]


def test_i12_closing_and_stopping_twice_is_harmless(tmp_path: Path) -> None:
    log, target = Log(), Target()
    pipeline = make(log, target)
    with running(pipeline):
        log.insert(1)
        target.wait(1)
        pipeline.stop()
        pipeline.stop()
    pipeline.stop()
    pipeline.run()
    positions = File(tmp_path / "p").open("p")
    positions.close()
    positions.close()


def test_i13_the_writer_opens_before_the_stream_and_closes_after_it() -> None:
    events: list[str] = []

    class Noted(Log):
        def note(self, event: str) -> None:
            events.append(f"stream {event}")

    class Events(list[str]):
        def append(self, event: str) -> None:
            events.append(f"writer {event}")

    log, target = Noted(), Target()
    target.events = Events()
    log.insert(1)
    make(log, target).run(until_current=True)
    assert [event for event in events if event != "stream tend"] == [
        "writer open", "stream open", "stream close", "writer close",
    ]  # fmt: skip


def test_i13_a_sink_that_does_not_open_leaves_the_source_alone() -> None:
    log = Log()

    class Shut(ListSink):
        def open(self, name: str, limits: Limits) -> object:  # type: ignore[override]
            raise Fatal("shut")

    with pytest.raises(Fatal, match="shut"):
        Pipeline(LogSource(log), Shut(), name="p", checkpoint=Memory(), state_dir=None).run()
    assert log.events == []


def test_i16_of_two_runners_the_older_stops_at_its_next_write() -> None:
    log, target = Log(), Target()
    old = Pipeline(LogSource(log), AtomicSink(target), name="p", state_dir=None, limits=QUICK)
    with running(old) as raised:
        log.insert(1)
        target.wait(1)
        new = Pipeline(LogSource(log), AtomicSink(target), name="p", state_dir=None, limits=QUICK)
        with running(new):
            until(lambda: target.epochs[log.lineage] == 2)
            log.insert(2)
            target.wait(2)
            until(lambda: raised)
            log.insert(3)
            target.wait(3)
    assert isinstance(raised[0], Fenced)
    assert target.keys == ["1", "2", "3"]


def test_i16_on_one_host_a_second_process_waits_for_the_lock(tmp_path: Path) -> None:
    log, target = Log(), Target()

    def one() -> Pipeline:
        return Pipeline(LogSource(log), ListSink(target), name="p", state_dir=tmp_path, limits=QUICK)

    with running(one()):
        log.insert(1)
        target.wait(1)
        with pytest.raises(Retryable, match="in use by process"):
            one().run(until_current=True)
    one().run(until_current=True)
    assert target.keys == ["1"]


def test_a_fault_that_passes_reopens_from_the_saved_position() -> None:
    log, target = Log(), Target()
    log.insert(1)
    log.fail(Retryable("the connection broke"))
    log.insert(2)
    pipeline = make(log, target)
    pipeline.run(until_current=True)
    assert target.keys == ["1", "2"]
    assert pipeline.status().restarts == 1


def test_until_current_gives_up_on_a_server_that_stays_away() -> None:
    log, target = Log(), Target()
    for _ in range(100):
        log.fail(Retryable("no server"))
    with pytest.raises(Retryable, match="no server"):
        make(log, target).run(until_current=True)


def test_history_that_is_gone_is_reported_and_not_retried(tmp_path: Path) -> None:
    log, target, checkpoint = Log(), Target(), Memory()
    log.insert(1)
    make(log, target, checkpoint=checkpoint).run(until_current=True)
    other = Log()
    other.insert(7)
    other.insert(8)
    other._batches.pop(0)
    with pytest.raises(HistoryLost):
        make(other, target, checkpoint=checkpoint).run()


def test_a_transform_that_fails_is_named_and_its_message_kept_out_of_ours() -> None:
    log, target = Log(), Target()
    log.insert(1)

    def drop_the_secret(batch: Batch) -> Batch:
        raise ValueError("secret 4711")

    with pytest.raises(Fatal, match=r"drop_the_secret raised ValueError") as caught:
        make(log, target, transforms=[drop_the_secret]).run()
    assert "4711" not in str(caught.value)
    assert isinstance(caught.value.__cause__, ValueError)
    assert target.records == []
    assert log.confirmed == []


def test_a_transform_must_keep_the_positions() -> None:
    log, target = Log(), Target()
    log.insert(1)

    def forgetful(batch: Batch) -> Batch:
        return Batch.progress(Position("elsewhere", "1"))

    with pytest.raises(Fatal, match="other positions"):
        make(log, target, transforms=[forgetful]).run()


def test_a_refused_change_without_dead_letters_stops_with_exit_5_and_loses_nothing() -> None:
    log, target = Log(), Target()
    log.commit(("c", {"id": "1", "note": "a"}), ("c", {"id": "2", "note": "b"}))
    target.refuse = lambda change: "too long" if change.key is not None and change.key["id"] in (2, "2") else None
    with pytest.raises(Refused, match=r"1 change\(s\), the first of public.orders at .*: too long") as caught:
        make(log, target).run()
    assert caught.value.exit_code == 5
    assert log.confirmed == []
    target.refuse = lambda change: None
    make(log, target).run(until_current=True)
    assert target.keys == ["1", "2"]


def test_a_reject_that_names_no_change_does_not_loop() -> None:
    log, target = Log(), Target()
    log.insert(1)
    target.fail(Reject({}))
    with pytest.raises(Fatal, match="without naming"):
        make(log, target).run()


def test_what_is_revoked_is_finished_saved_and_released() -> None:
    log, target = Log(), Target()
    last = log.insert(1)
    log.fail(Revoked((log.lineage,)))
    with running(make(log, target)):
        until(lambda: log.released)
        assert log.confirmed[-1] == last
    assert log.released == [log.lineage]


def test_stop_finishes_what_is_held() -> None:
    log, target = Log(), Target()
    target.gate.clear()
    pipeline = make(log, target, limits=Limits(batch_bytes_max=1, stop_timeout_s=60))
    for key in range(20):
        log.insert(key)
    with running(pipeline) as raised:
        target.wait_for(lambda: target.offers > 0)
        until(lambda: pipeline.status().shelf_nbytes > 0)
        held = pipeline.status().shelf_nbytes
        pipeline.stop()
        target.gate.set()
    assert held
    assert raised == []
    assert pipeline.status().state is State.STOPPED
    assert target.keys == [str(key) for key in range(len(target.keys))]
    assert log.confirmed[-1].text[:16] == target.records[-1].position[:16]


def test_stop_gives_up_at_its_timeout() -> None:
    log = Log()
    for key in range(5):
        log.insert(key)

    class Slow(Target):
        def write(self, batch: Batch, commit: object = None) -> None:
            if self.records:
                until(lambda: pipeline._stopping.overdue or not pipeline._running, "for the end of the time for a stop")
            super().write(batch)

    target = Slow()
    pipeline = make(log, target, limits=Limits(batch_bytes_max=1, stop_timeout_s=0.05))
    with running(pipeline) as raised:
        target.wait(1)
        pipeline.stop()
    assert raised == []
    assert 1 <= len(target.records) <= 2
    make(log, target).run(until_current=True)


def test_an_interrupt_saves_what_was_written() -> None:
    log, target, checkpoint = Log(), Target(), Memory()
    first = log.insert(1)
    log.insert(2)
    limits = Limits(batch_bytes_max=1, save_interval_s=3600)

    def interrupt(batch: Batch) -> Batch:
        if target.records:
            raise KeyboardInterrupt
        return batch

    with pytest.raises(KeyboardInterrupt):
        make(log, target, checkpoint=checkpoint, limits=limits, transforms=[interrupt]).run()
    assert checkpoint.open("p").known() == {log.lineage: first}


def test_progress_without_data_moves_the_position_behind_the_data() -> None:
    log, target = Log(), Target()
    log.insert(1)
    log.commit()
    make(log, target, limits=Limits(batch_bytes_max=1, save_interval_s=0)).run(until_current=True)
    assert target.writes == [1, 0]
    assert len(log.confirmed) == 2


def test_a_sink_without_a_place_for_the_position_is_an_error_that_says_so() -> None:
    with pytest.raises(ConfigError, match="cannot keep the position"):
        Pipeline(LogSource(), ListSink(), name="p", state_dir=None).run()


@pytest.mark.parametrize("name", ["", "../x", "a b", ".x", "x" * 64])
def test_a_name_that_is_no_file_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be the name"):
        Pipeline(LogSource(), ListSink(), name=name)


def test_a_stop_does_not_wait_for_a_server_that_does_not_answer() -> None:
    opening, answer = threading.Event(), threading.Event()

    class Silent(Log):
        def note(self, event: str) -> None:
            opening.set()
            answer.wait(120)

    pipeline = make(Silent(), Target(), limits=Limits(stop_timeout_s=120))
    with running(pipeline) as raised:
        assert opening.wait(60)
        begun = time.monotonic()
        pipeline.stop()
        until(lambda: pipeline.status().state is State.STOPPED)
    assert time.monotonic() - begun < 60
    assert raised == []
    answer.set()


def test_a_stop_ends_the_pause_before_a_retry() -> None:
    log = Log()
    for _ in range(20):
        log.fail(Retryable("no server"))
    pipeline = make(log, Target(), limits=Limits(backoff_s_max=3600, stop_timeout_s=60))
    with running(pipeline) as raised:
        until(lambda: pipeline.status().restarts >= 3)
        assert pipeline.status().error == "no server"
    assert raised == []


def test_a_sink_without_space_is_tried_again_and_loses_nothing() -> None:
    log, target = Log(), Target()
    log.insert(1)
    target.fail(OSError(errno.ENOSPC, "No space left on device"))
    pipeline = make(log, target)
    pipeline.run(until_current=True)
    assert target.keys == ["1"]
    assert pipeline.status().restarts == 1


def test_i9_an_exception_of_a_sink_is_told_by_its_type_alone() -> None:
    log, target = Log(), Target()
    log.insert(1)
    target.fail(ValueError("secret 4711"))
    with pytest.raises(Fatal, match="sink list raised ValueError") as caught:
        make(log, target).run()
    assert "4711" not in str(caught.value)


def test_group_commit_what_waits_is_written_at_once() -> None:
    log, target = Log(), Target()
    target.gate.clear()
    pipeline = make(log, target)
    with running(pipeline):
        log.insert(0)
        target.wait_for(lambda: target.offers == 1)
        for key in range(1, 50):
            log.insert(key)
        line = pipeline._line
        assert line is not None
        until(lambda: len(line.shelf._items) == 49, "for all that waits")
        target.gate.set()
        target.wait(50)
    assert target.writes[:2] == [1, 49]
