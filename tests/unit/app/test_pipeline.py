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
    assert called.wait(120)
    pipeline.stop()
    runner.join(120)
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


@pytest.mark.parametrize("own", [True, False], ids=["App.pipeline", "Pipeline"])
@pytest.mark.parametrize("form", ["plain", "async", "list", "list that names it", "side by side"])
def test_without_dead_letters_the_first_change_that_is_given_up_ends_it(tmp_path: Path, form: str, own: bool) -> None:
    """A batch of thousands went through all of its tries, change by change, before anybody was told."""
    log, called = Log(), []
    app = tr.App(LogSource(log), name="strict")

    def fail(change: tr.Change) -> None:
        called.append(change.after["id"])
        if change.after["id"] > 2:
            raise ValueError

    async def fail_later(change: tr.Change) -> None:
        fail(change)

    def fail_all(changes: list[tr.Change]) -> None:
        for change in changes:
            fail(change)

    def name_one(changes: list[tr.Change]) -> None:
        called.extend(change.after["id"] for change in changes)
        raise tr.Reject({2: "not this one"})

    forms = {"plain": fail, "async": fail_later, "list": fail_all, "list that names it": name_one, "side by side": fail}
    app.on("public.orders", retries=0, concurrency=2 if form == "side by side" else 1)(forms[form])
    log.commit(*(("c", {"id": str(key)}) for key in range(1, 9)))
    made = tr.Pipeline(LogSource(log), app, name="strict", state_dir=tmp_path)
    with pytest.raises(tr.Refused) as refused:
        (app.pipeline(state_dir=tmp_path) if own else made).run(until_current=True)
    assert not log.confirmed
    if form == "side by side":
        assert len([key for key in called if key > 2]) <= 2, "one in each lane"
        return
    assert "refused 1 change(s), the first of public.orders at " in str(refused.value)
    if form == "list that names it":
        assert called == list(range(1, 9)), "the list is not offered again"
    else:
        assert set(called) == {1, 2, 3}, "a list that fails is halved"


def test_calls_before_the_change_that_ended_it_are_not_made_again_in_this_process(tmp_path: Path) -> None:
    log, called, refuses = Log(), [], [True]
    app = tr.App(LogSource(log), name="mended")

    @app.on("public.orders")
    def take(change: tr.Change) -> None:
        if change.after["id"] == 2 and refuses[0]:
            raise tr.Reject("not yet")
        called.append(change.after["id"])

    log.commit(*(("c", {"id": str(key)}) for key in (1, 2, 3)))
    with pytest.raises(tr.Refused):
        app.pipeline(state_dir=tmp_path).run(until_current=True)
    refuses[0] = False
    app.pipeline(state_dir=tmp_path).run(until_current=True)
    assert called == [1, 2, 3]


def test_a_try_that_failed_is_told_with_its_place_and_without_its_message(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = Log()
    app = tr.App(LogSource(log), name="told")

    @app.on("public.orders", retries=1)
    def fail(change: tr.Change) -> None:
        raise ValueError("a value")

    log.insert(1)
    with caplog.at_level(logging.WARNING), pytest.raises(tr.Refused):
        app.pipeline(state_dir=tmp_path).run(until_current=True)
    [told] = [record.getMessage() for record in caplog.records if "try 1" in record.getMessage()]
    assert " raised ValueError at test_pipeline.py:" in told
    assert "a value" not in told
