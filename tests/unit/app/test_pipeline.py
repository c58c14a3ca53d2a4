"""An App in a pipeline: it stops while a handler waits for its next try, and parks what it rejects."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import pytest

import tailrace as tr
from tailrace.dead_letters.journal import read_all
from tailrace.dead_letters.request import Action, submit
from tailrace.error import trace
from tailrace.pipeline import replay_alone
from tailrace.testing.fake import Log, LogSource


def test_a_stop_does_not_wait_for_the_tries_of_a_handler(tmp_path: Path) -> None:
    log, called = Log(), threading.Event()
    app = tr.App(LogSource(log), name="stubborn", limits=tr.Limits(backoff_s_max=3600.0))

    @app.on("public.orders", retries=100)
    def fail(change: tr.Change) -> None:
        called.set()
        raise ValueError

    log.insert(1)
    pipeline = app.pipeline(state_dir=tmp_path)
    runner = threading.Thread(target=pipeline.run)
    runner.start()
    assert called.wait(30)
    pipeline.stop()
    runner.join(30)
    assert not runner.is_alive()
    assert not log.confirmed


def test_i14_what_a_handler_rejects_is_parked_and_the_rest_goes_on(tmp_path: Path) -> None:
    log, seen = Log(), []
    parked = tr.DeadLetterFile(tmp_path / "dead.jsonl")
    app = tr.App(LogSource(log), name="picky", dead_letters=parked)

    @app.on("public.orders")
    def take(change: tr.Change) -> None:
        if change.after["id"] == 2:
            raise tr.Reject("not this one")
        seen.append(change.after["id"])

    for key in (1, 2, 3):
        log.insert(key)
    app.pipeline(state_dir=tmp_path).run(until_current=True)
    assert seen == [1, 3]
    assert (tmp_path / "dead.jsonl").read_text().count("not this one") == 1


@pytest.mark.parametrize("form", ["plain", "async", "list"])
def test_i14_what_fails_at_its_last_try_is_parked_with_its_error_and_the_next_goes_on(
    tmp_path: Path, form: str
) -> None:
    log, tried, seen = Log(), [], []
    parked = tr.DeadLetterFile(tmp_path / "dead.jsonl")
    app = tr.App(LogSource(log), name="failing", dead_letters=parked, limits=tr.Limits(backoff_s_max=0.01))

    def take(change: tr.Change) -> None:
        if change.after["id"] == 2:
            tried.append(2)
            raise KeyError("unheard of")
        seen.append(change.after["id"])

    async def take_later(change: tr.Change) -> None:
        take(change)

    def take_all(changes: list[tr.Change]) -> None:
        for change in changes:
            take(change)

    handler = {"plain": take, "async": take_later, "list": take_all}[form]
    app.on("public.orders", retries=2)(handler)
    log.insert(1)
    at = log.insert(2)
    log.insert(3)
    app.pipeline(state_dir=tmp_path).run(until_current=True)
    assert set(seen) == {1, 3} and seen[-1] == 3
    [letter] = read_all(parked.path)
    assert (letter.op, letter.key, letter.lineage) == ("c", {"id": "2"}, at.lineage)
    assert letter.reason.startswith("KeyError in ") and letter.reason.endswith(", 3 tries"), letter.reason
    assert f".{handler.__name__} at test_pipeline.py:" in letter.reason
    assert "unheard of" not in letter.reason, "a message may hold values of the row"
    assert letter.attempts == 1, "the pipeline's, not the handler's"
    if form != "list":  # a list that fails is halved, and its halves are tried too
        assert (seen, len(tried)) == ([1, 3], 3)


def test_a_retryable_fault_of_a_handler_reopens_the_pipeline_and_repeats_nothing(tmp_path: Path) -> None:
    log, seen, away = Log(), [], [True]
    app = tr.App(LogSource(log), name="patient")

    @app.on("public.orders", retries=0)
    def take(change: tr.Change) -> None:
        if change.after["id"] == 2 and away[0]:
            away[0] = False
            raise tr.Retryable("the index is away")
        seen.append(change.after["id"])

    log.commit(*(("c", {"id": str(key)}) for key in (1, 2, 3)))
    app.pipeline(state_dir=tmp_path).run(until_current=True)
    assert seen == [1, 2, 3]


def test_a_parked_change_that_is_replayed_reaches_its_handler(tmp_path: Path) -> None:
    log, seen, refuses = Log(), [], [True]
    path = tmp_path / "dead.jsonl"
    app = tr.App(LogSource(log), name="mended", dead_letters=tr.DeadLetterFile(path))

    @app.on("public.orders")
    def take(change: tr.Change) -> None:
        if change.after["id"] == 2 and refuses[0]:
            raise tr.Reject("not yet")
        seen.append(change.after["id"])

    log.commit(*(("c", {"id": str(key)}) for key in (1, 2, 3)))
    app.pipeline(state_dir=tmp_path).run(until_current=True)
    refuses[0] = False
    request = submit(path, Action.REPLAY, None)
    log.insert(4)
    app.pipeline(state_dir=tmp_path).run(until_current=True)
    assert seen == [1, 3, 4, 2]
    assert not request.path.exists()


def test_letters_that_were_refused_again_reach_the_handler_when_others_were_replayed_in_between(tmp_path: Path) -> None:
    seen, refusing = [], [True]
    app = tr.App(LogSource(log := Log()), name="app", dead_letters=tr.DeadLetterFile(tmp_path / "dead.jsonl"))

    @app.on("public.orders")
    def handle(change: tr.Change) -> None:
        if refusing[0]:
            raise tr.Reject("not yet")
        seen.append(change.after["id"])

    log.commit(*(("c", {"id": str(key), "note": ""}) for key in (1, 2, 3)))
    pipeline = app.pipeline(state_dir=tmp_path)
    pipeline.run(until_current=True)
    letters = read_all(tmp_path / "dead.jsonl")
    for refused, asked in ((True, (2, 0)), (False, (1,)), (False, (2,)), (False, (0,))):
        refusing[0] = refused
        submit(tmp_path / "dead.jsonl", Action.REPLAY, tuple(letters[index].id for index in asked))
        replay_alone(pipeline)
    assert seen == [2, 3, 1]


@pytest.mark.parametrize("form", ["plain", "async", "threads", "list"])
def test_what_a_handler_raised_is_the_cause_of_the_end_and_of_no_log_line(
    form: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = Log()
    app = tr.App(LogSource(log), name="raising")

    def fail(_change: object) -> None:
        raise ValueError(" ".join(("row", "1", "is", "bad")))  # a traceback quotes this line

    async def fail_later(change: object) -> None:
        fail(change)

    options: dict[str, Any] = {"threads": {"concurrency": 2}, "list": {"batch": True}}.get(form, {})
    app.on("public.orders", retries=0, **options)(fail_later if form == "async" else fail)
    log.insert(1)
    with caplog.at_level(logging.DEBUG), pytest.raises(tr.Refused) as refused:
        app.pipeline(state_dir=tmp_path).run(until_current=True)
    assert isinstance(refused.value.__cause__, ValueError)
    assert str(refused.value.__cause__) == "row 1 is bad"
    assert "row 1 is bad" not in caplog.text + str(refused.value) + trace(refused.value)
