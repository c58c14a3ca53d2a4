"""Where reading of a partition begins, by what was saved, what the group says and what the log has."""

from __future__ import annotations

from typing import Literal

import pytest

from tailrace.error import Fatal, HistoryLost
from tailrace.model import Position
from tailrace.source.kafka.part import Part, Place, start

OutOfRange = Literal["stop", "earliest", "latest"]


def begun(out_of_range: OutOfRange, *, saved: int | None, committed: int | None, kept: Literal["group", "sink"]) -> int:
    """Of a log from 10 to 20; `saved` is the offset of the last record."""
    part = Part("t", 0, "kafka/c/t/0")
    position = None if saved is None else Position(part.lineage, f"{saved:020d}")
    place = Place(kept, "earliest", out_of_range, False)
    return start(part, place, saved=position, committed=committed, low=10, high=20)


@pytest.mark.parametrize("kept", ["group", "sink"])
@pytest.mark.parametrize("out_of_range", ["stop", "earliest", "latest"])
def test_i6_a_log_that_ends_before_what_was_saved_is_another_one(
    out_of_range: OutOfRange, kept: Literal["group", "sink"]
) -> None:
    """Its next records would have the positions of those that were read: they would be taken for repeats."""
    with pytest.raises(HistoryLost, match="offset 31 comes next, and the log ends at 20") as caught:
        begun(out_of_range, saved=30, committed=None, kept=kept)
    assert caught.value.hint == "`tailrace reset` begins anew"


@pytest.mark.parametrize(
    "text", ["", "15", "check", "00000000000000000015 ", "0000000000000015.2.0", "-0000000000000000001"]
)
def test_i6_a_position_that_is_no_offset_is_refused(text: str) -> None:
    part = Part("t", 0, "kafka/c/t/0")
    with pytest.raises(Fatal, match=r"position .* of kafka/c/t/0 is not one of Kafka's") as caught:
        start(
            part,
            Place("sink", "earliest", "earliest", False),
            saved=Position(part.lineage, text),
            committed=12,
            low=10,
            high=20,
        )
    assert "tailrace reset" in str(caught.value.hint)


@pytest.mark.parametrize(("out_of_range", "at"), [("earliest", 10), ("latest", 20)])
def test_a_hole_is_gone_over_where_that_is_said(out_of_range: OutOfRange, at: int) -> None:
    assert begun(out_of_range, saved=4, committed=None, kept="sink") == at
    assert begun(out_of_range, saved=None, committed=30, kept="group") == at
    for saved, committed in ((4, None), (None, 30)):
        with pytest.raises(HistoryLost, match="comes next, and the log") as caught:
            begun("stop", saved=saved, committed=committed, kept="group")
        assert "out_of_range" in str(caught.value.hint)
