"""Names of transforms that mean nothing: a mask with a slip of the pen hides nothing, so the log tells."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from tailrace.checkpoint import Memory
from tailrace.error import Retryable
from tailrace.model import Batch, Limits, Table
from tailrace.pipeline import Pipeline
from tailrace.testing.fake import ORDERS, ListSink, Log, LogSource, Target
from tailrace.transform import Mask, Select

SLIP = "p: transform mask: public.orders.notes matches nothing that comes to it"
MASK = Mask(columns=["public.orders.note", "public.orders.notes"])


@dataclass(frozen=True)
class Described(LogSource):
    """A source that says which tables it would read."""

    def tables_now(self, name: str) -> Sequence[Table]:
        return [ORDERS]


def told(log: Log, *transforms: object, caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the log has at WARNING of names, over two lives of a pipeline."""
    log.insert(1)
    log.fail(Retryable("cut"))
    log.insert(2)
    pipeline = Pipeline(
        Described(log),
        ListSink(Target()),
        name="p",
        transforms=transforms,  # type: ignore[arg-type]
        checkpoint=Memory(),
        limits=Limits(backoff_s_max=0.01),
        state_dir=None,
    )
    with caplog.at_level(logging.WARNING, "tailrace.pipeline"):
        pipeline.run(until_current=True)
    assert log.events.count("open") == 2
    return [record.getMessage() for record in caplog.records if "matches nothing" in record.getMessage()]


def test_a_name_that_matches_nothing_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    assert told(Log(), MASK, caplog=caplog) == [SLIP]


def test_a_function_of_the_users_own_is_called_for_batches_alone(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[int] = []

    def own(batch: Batch) -> Batch:
        seen.append(len(batch))
        return batch

    assert told(Log(), own, MASK, caplog=caplog) == []
    assert all(seen)


def test_patterns_are_asked_as_the_transforms_read_them() -> None:
    select = Select(tables=("/PUBLIC\\.o.*/", "!public.secret"), exclude_columns=("!*.note", "/.*\\.gone/"))
    assert select.unmatched([ORDERS]) == ["!public.secret", "/.*\\.gone/"]
    assert Mask(("/.*\\.note/", "!public.orders.id", "[!a]*.notes")).unmatched([ORDERS]) == ["[!a]*.notes"]
