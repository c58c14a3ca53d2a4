"""Where a stream begins on a slot that another reader left (I6)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tailrace.error import ConfigError, HistoryLost
from tailrace.source.postgres.place import Place
from tailrace.source.postgres.resume import Road, decide
from tailrace.source.postgres.takeover import Takeover
from tests.unit.source.test_resume import SLOT, at, situation

TAKEOVER = Takeover(committed_lsn="0/2000", xid=7, row_lsn="0/2100")


def test_it_begins_where_the_former_reader_was() -> None:
    decision = decide(situation(None, known={}, takeover=TAKEOVER))
    assert (decision.road, decision.place, decision.saved) == (Road.STREAM, Place.progress(0x2000, 1), False)


def test_a_claim_without_a_position_is_not_taken_for_an_interrupted_snapshot() -> None:
    assert decide(situation(None, takeover=TAKEOVER)).place == Place.progress(0x2000, 1)


def test_what_is_saved_comes_first() -> None:
    assert decide(situation(at(0x3000), takeover=TAKEOVER)).place == Place.of(at(0x3000))


def test_behind_a_snapshot_it_begins_where_the_slot_stands() -> None:
    takeover = Takeover(snapshot_lsn="0/1800")
    assert decide(situation(None, known={}, takeover=takeover)).place == Place.progress(0x1000, 1)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"slot": replace(SLOT, confirmed=0x2001)}, "beyond 0/2000, where takeover says"),
        ({"slot": None}, r"(?s)does not exist.*take `takeover` out"),
        ({"slot": replace(SLOT, invalidation="wal_removed")}, "wal_removed"),
        ({"published": False}, "publication"),
        ({"wal_end": 0x1FFF}, "after the end of the server's log"),
        ({"slot": replace(SLOT, confirmed=0x2001), "mode": "when_needed"}, "beyond 0/2000"),
    ],
)
def test_i6_a_slot_that_has_moved_on_or_is_gone_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(HistoryLost, match=reason):
        decide(situation(None, known={}, takeover=TAKEOVER, **changes))


def test_a_trusted_slot_may_be_further() -> None:
    trusted = replace(TAKEOVER, trust_slot=True)
    ahead = situation(None, known={}, takeover=trusted, slot=replace(SLOT, confirmed=0x2001))
    assert decide(ahead).place == Place.progress(0x2001, 1)
    assert decide(situation(None, known={}, takeover=trusted)).place == Place.progress(0x2000, 1)


def test_rows_are_left_out_until_a_whole_transaction_was_saved() -> None:
    assert TAKEOVER.part(Place.progress(0x2000, 1)) == (7, 0x2100)
    assert TAKEOVER.part(Place.progress(0x2008, 1)) is None
    assert TAKEOVER.part(Place.of(at(0x2000))) is None
    assert Takeover(committed_lsn="0/2000").part(Place.progress(0x2000, 1)) is None


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "committed_lsn or snapshot_lsn"),
        ({"committed_lsn": "0/1", "snapshot_lsn": "0/1"}, "and not both"),
        ({"committed_lsn": "0/1", "xid": 7}, "belong together"),
        ({"snapshot_lsn": "0/1", "xid": 7, "row_lsn": "0/1"}, "beside committed_lsn"),
        ({"committed_lsn": "0/1", "xid": 0, "row_lsn": "0/1"}, "xid is 0"),
        ({"committed_lsn": "17"}, "'17' is not an LSN"),
        ({"committed_lsn": "0/123456789"}, "is not an LSN"),
    ],
)
def test_contradictions_are_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        Takeover(**fields)
