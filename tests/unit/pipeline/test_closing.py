"""What fails while a pipeline closes: it is told, and takes the place of nothing that was worse."""

import logging
from dataclasses import dataclass

import pytest

from tailrace.checkpoint import Memory
from tailrace.error import Fatal
from tailrace.model import Batch, Limits
from tailrace.pipeline import Pipeline
from tailrace.testing.fake import ListSink, Log, LogSource, Target

SECRET = "a row's value"


class _Jammed:
    """A writer that does not close."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def write(self, batch: Batch) -> None:
        self._target.write(batch)

    def close(self) -> None:
        raise OSError(SECRET)


@dataclass(frozen=True, slots=True)
class _Jamming(ListSink):
    def open(self, name: str, limits: Limits) -> _Jammed:  # type: ignore[override]
        return _Jammed(self.target)


class _Stuck(Log):
    """A log whose stream does not close."""

    def note(self, event: str) -> None:
        if event == "close":
            raise OSError(SECRET)


def _pipeline(log: Log, sink: ListSink) -> Pipeline:
    return Pipeline(LogSource(log), sink, name="p", checkpoint=Memory(), state_dir=None)


@pytest.mark.parametrize("end", ["sink", "source"])
def test_a_close_that_fails_is_told_by_its_type_alone_and_what_was_done_stays_done(
    end: str, caplog: pytest.LogCaptureFixture
) -> None:
    log, target = (_Stuck(), Target()) if end == "source" else (Log(), Target())
    caplog.set_level(logging.DEBUG)
    last = log.insert(1)
    _pipeline(log, ListSink(target) if end == "source" else _Jamming(target)).run(until_current=True)
    assert (target.keys, log.confirmed) == (["1"], [last])
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(told) == 1 and told[0].endswith("raised OSError")
    assert SECRET not in caplog.text


@pytest.mark.parametrize("end", ["sink", "source"])
def test_a_close_that_fails_does_not_hide_why_it_closes(end: str) -> None:
    log, target = (_Stuck(), Target()) if end == "source" else (Log(), Target())
    log.insert(1)
    target.fail(Fatal("the disk is gone"))
    with pytest.raises(Fatal, match="the disk is gone"):
        _pipeline(log, ListSink(target) if end == "source" else _Jamming(target)).run(until_current=True)
    assert not log.confirmed
