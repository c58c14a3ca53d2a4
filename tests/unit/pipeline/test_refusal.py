"""Refused changes must leave the batch that they are parked from."""

from pathlib import Path

import pytest

from tailrace.checkpoint import Memory
from tailrace.dead_letters import File
from tailrace.error import Fatal
from tailrace.model import Change, Limits
from tailrace.pipeline import Pipeline
from tailrace.pipeline.line import Line, Stopping
from tailrace.pipeline.status import Gauge
from tailrace.testing.fake import ListSink, Log, LogSource, Target


def test_refused_changes_that_stay_in_the_batch_do_not_loop(tmp_path: Path) -> None:
    log, letters = Log(), File(tmp_path / "dead.jsonl")

    class Stubborn:
        """A batch that keeps what is taken out of it."""

        def __len__(self) -> int:
            return len(batch)

        def __getitem__(self, index: int) -> Change:
            return batch[index]

        def without(self, indexes: list[int]) -> "Stubborn":
            return self

    log.insert(1)
    batch = log._batches[0]
    pipeline = Pipeline(
        LogSource(log), ListSink(Target()), name="p", state_dir=None, checkpoint=Memory(), dead_letters=letters
    )
    line = Line(pipeline.plan(), Gauge("p"), Stopping(), until_current=False)
    line._letters = letters.open("p", Limits())
    with pytest.raises(Fatal, match="cannot be taken out"):
        line._park(Stubborn(), {0: "too long"})  # type: ignore[arg-type]
    line._letters.close()
