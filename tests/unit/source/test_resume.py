"""Where a stream may begin, given what is saved and what the server has (I6)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tailrace.error import ConfigError, Fatal, HistoryLost, Retryable
from tailrace.model import Position
from tailrace.source.postgres.gap import Gap
from tailrace.source.postgres.place import PROGRESS, ROW, SNAPSHOT, Lineage, Place
from tailrace.source.postgres.resume import Road, Situation, averted, decide
from tailrace.source.postgres.slot import Slot
from tailrace.source.postgres.takeover import Takeover

HERE = Lineage("7711100563474511191", "shop", "tailrace_orders")
SLOT = Slot("tailrace_orders", "logical", "pgoutput", "shop", None, 0x1000, "reserved", None, False, 0)


def at(end: int, *, phase: int = ROW, timeline: int = 1) -> Position:
    return Place(end - 8, phase, 0, timeline, end).position(str(HERE))


def situation(saved: Position | None, **changes: object) -> Situation:
    made = Situation(
        lineage=HERE,
        known={str(HERE): saved},
        slot=SLOT,
        mode="initial",
        adopt=False,
        published=True,
        timeline=1,
        wal_end=0x9000,
        history=lambda: [(1, 0x5000)],
        diverged=lambda _: False,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_nothing_known_and_no_slot_begins_with_a_snapshot() -> None:
    assert decide(situation(None, known={}, slot=None)).road is Road.SNAPSHOT
    assert decide(situation(None, known={}, slot=None, mode="never")).road is Road.FRESH


def test_a_slot_that_nobody_claimed_is_refused() -> None:
    with pytest.raises(Fatal, match="no position of it is saved here"):
        decide(situation(None, known={}))


@pytest.mark.parametrize("known", [{}, {str(HERE): at(0x1000)}])
def test_a_slot_that_sends_what_is_only_prepared_is_refused(known: dict[str, Position]) -> None:
    slot = replace(SLOT, two_phase=True)
    with pytest.raises(ConfigError, match="two_phase"):
        decide(situation(None, known=known, slot=slot, mode="never", adopt=True))


def test_starting_anew_does_not_drop_a_slot_that_is_not_ours() -> None:
    elsewhere = {"postgres/1/shop/tailrace_orders": at(0x2000)}
    with pytest.raises(Fatal, match="no position of it is saved here"):
        decide(situation(None, known=elsewhere, mode="when_needed"))


def test_a_slot_made_by_hand_is_adopted_when_asked() -> None:
    decision = decide(situation(None, known={}, mode="never", adopt=True))
    assert (decision.road, decision.place, decision.saved) == (Road.STREAM, Place.progress(0x1000, 1), False)


@pytest.mark.parametrize("saved", [None, at(0x1000, phase=SNAPSHOT)])
def test_i15_an_interrupted_snapshot_is_made_anew(saved: Position | None) -> None:
    assert decide(situation(saved)).road is Road.SNAPSHOT


def test_without_snapshots_an_interrupted_start_goes_on_where_the_slot_stands() -> None:
    assert decide(situation(None, mode="never")).place == Place.progress(0x1000, 1)


@pytest.mark.parametrize("saved", [at(0x1000), at(0x2000), at(0x9000), at(0x1000, phase=PROGRESS)])
def test_i6_the_stream_goes_on_right_after_the_saved_position(saved: Position) -> None:
    decision = decide(situation(saved))
    assert (decision.road, decision.place, decision.saved) == (Road.STREAM, Place.of(saved), True)


@pytest.mark.parametrize(
    ("saved", "changes", "reason"),
    [
        (at(0x2000), {"slot": None}, "does not exist any more"),
        (at(0x2000), {"slot": replace(SLOT, invalidation="wal_removed")}, "wal_removed"),
        (at(0x2000), {"slot": replace(SLOT, confirmed=None)}, "invalidated"),
        (at(0x2000), {"published": False}, "publication"),
        (at(0xFFF), {}, "beyond the saved"),
        (at(0x9001), {}, "after the end of the server's log"),
        (at(0x2000), {"diverged": lambda place: place.end == 0x2000}, "another log than the one that was read"),
        (at(0x5001), {"timeline": 2}, "before the saved"),
        (at(0x2000, timeline=3), {"timeline": 2}, "no ancestor"),
        (at(0x2000, timeline=3), {"timeline": 4}, "no ancestor"),
        (at(0x2000), {"known": {"postgres/1/shop/tailrace_orders": at(0x2000)}}, "is of postgres/1/shop"),
    ],
)
def test_i6_a_hole_is_refused_or_answered_with_a_new_snapshot(
    saved: Position, changes: dict[str, object], reason: str
) -> None:
    with pytest.raises(HistoryLost, match=reason) as caught:
        decide(situation(saved, **changes))
    assert "tailrace reset" in str(caught.value)
    if str(HERE) not in changes.get("known", {str(HERE): None}):  # type: ignore[operator]
        changes = {**changes, "slot": None}
    anew = decide(situation(saved, mode="when_needed", **changes))
    assert anew.road is Road.SNAPSHOT and anew.lost is not None


@pytest.mark.parametrize(
    ("saved", "changes"),
    [
        (at(0x1000), {}),  # the slot was confirmed up to it: it was there
        (at(0x2000), {"timeline": 2}),  # judged by where the timelines part
        (at(0x2000), {"standby": True}),
        (at(0x2000), {"takeover": Takeover(committed_lsn="0/2000")}),  # an LSN of another reader
    ],
)
def test_the_log_is_looked_at_only_where_nothing_else_tells_it_from_that_of_a_backup(
    saved: Position, changes: dict[str, object]
) -> None:
    assert decide(situation(saved, diverged=lambda _: True, **changes)).road is Road.STREAM


def test_a_standby_that_has_not_replayed_what_is_saved_is_waited_for() -> None:
    with pytest.raises(Retryable, match="must catch up"):
        decide(situation(at(0x9001), standby=True))
    assert decide(situation(at(0x9000), standby=True)).road is Road.STREAM


def test_a_former_primary_is_told_by_its_older_timeline_whatever_it_has_written_since() -> None:
    for wal_end in (0x1000, 0xFFFFF):
        with pytest.raises(HistoryLost, match=r"(?s)no ancestor.*former primary"):
            decide(situation(at(0x9000, timeline=2), wal_end=wal_end))


def test_a_slot_that_is_missing_after_a_promotion_was_not_synchronised() -> None:
    with pytest.raises(HistoryLost, match="synchronised"):
        decide(situation(at(0x2000), slot=None, timeline=2))


def test_a_new_timeline_is_accepted_when_it_left_ours_after_the_saved_position() -> None:
    assert decide(situation(at(0x5000), timeline=2)).road is Road.STREAM


def test_a_finished_snapshot_is_not_made_twice() -> None:
    assert decide(situation(at(0x1000, phase=PROGRESS), mode="only", slot=None)).road is Road.DONE


@pytest.mark.parametrize(
    "slot", [replace(SLOT, plugin="wal2json"), replace(SLOT, type="physical"), replace(SLOT, database="crm")]
)
def test_a_slot_of_another_kind_or_database_is_refused(slot: Slot) -> None:
    with pytest.raises(ConfigError, match="give another name"):
        decide(situation(at(0x2000), slot=slot))


def test_a_slot_that_was_dropped_at_its_limit_is_told_from_one_that_went_otherwise() -> None:
    gap = Gap(
        lineage=str(HERE),
        confirmed="0/1000",
        wal_end="0/3000",
        retained_bytes=9000,
        retained_bytes_max=8000,
        dropped_at="2026-11-23T01:00:00+00:00",
    )
    missing = "dropped by this pipeline at 2026-11-23.* between {} and 0/3000, and since, is missing"
    with pytest.raises(HistoryLost, match=missing.format("0/2000")):
        decide(situation(at(0x2000), slot=None, gap=gap))
    with pytest.raises(HistoryLost, match="does not exist any more: the log after 0/4000"):
        decide(situation(at(0x4000), slot=None, gap=gap))
    with pytest.raises(HistoryLost, match=missing.format("0/1000")):
        decide(situation(None, slot=None, gap=gap, mode="never"))
    assert decide(situation(at(0x2000), gap=gap)).road is Road.STREAM
    for saved, still in ((at(0x2000), gap), (at(0x4000), None)):
        there = situation(saved, gap=gap)
        assert averted(there, decide(there)) == still
