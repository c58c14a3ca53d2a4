"""Dead letters keep the contract of `Letters`, wherever they lie."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

import pytest

from tailrace.contract import BrokenOff, Letters
from tailrace.dead_letters.request import Action
from tailrace.error import Reject
from tailrace.model import UNCHANGED, Batch, Limits, Position, Table
from tests.contract.parking import Dead, ask_for_all, left, seen
from tests.unit.sink.feed import NOTES, ORDERS, Feed
from tests.waiting import until

Replayed = tuple[int, list[str], list[str]]


def row(key: int, note: str = "") -> Mapping[str, str]:
    return {"id": str(key), "note": note}


def three() -> Batch:
    return Feed().commit(("c", row(1)), ("c", row(2)), ("c", row(3)))


def opened(dead: Dead) -> contextlib.closing[Letters]:
    return contextlib.closing(dead.open("p", Limits()))


def replay(letters: Letters, batch: Batch, refused: Mapping[int, str] | None = None) -> Replayed:
    """How many have gone, the ids that were taken, and the positions that were told to have gone."""
    reasons = {batch[index].position: reason for index, reason in (refused or {}).items()}
    taken: list[str] = []
    gone: list[str] = []

    def write(part: Batch, transform: str | None) -> None:
        assert part.positions == batch.positions
        if wrong := {at: reasons[change.position] for at, change in enumerate(part) if change.position in reasons}:
            raise Reject(wrong)
        taken.extend(str(change.key.texts()["id"]) for change in part if change.key is not None)

    def forget(positions: Sequence[Position]) -> None:
        gone.extend(at.text for at in positions)

    count = letters.replay(write, {at.lineage: at for at in batch.positions}, forget)
    return count, taken, gone


def replay_asked(letters: Letters, batch: Batch, going: int, refused: Mapping[int, str] | None = None) -> Replayed:
    """Replays until so many have gone: what was just asked for comes to be known after a while, and maybe in pieces."""
    done: Replayed = (0, [], [])

    def replayed() -> bool:
        nonlocal done
        count, taken, gone = replay(letters, batch, refused)
        done = (done[0] + count, done[1] + taken, done[2] + gone)
        return done[0] >= going

    until(replayed, "for what was asked for")
    return done


def test_i12_i14_what_is_parked_is_there_for_whoever_opens_them_next(dead: Dead) -> None:
    batch = three()
    letters = dead.open("p", Limits())
    letters.park(batch, {0: "too long", 2: "too late"})
    assert letters.count() == 2
    letters.close()
    letters.close()
    assert [(letter.at, letter.reason) for letter in seen(dead)] == [
        (batch[0].position, "too long"),
        (batch[2].position, "too late"),
    ]
    with opened(dead) as again:
        assert again.count() == 2
        assert list(again.parked(batch)) == [0, 2]


def test_i4_a_change_that_is_offered_again_is_parked_once(dead: Dead) -> None:
    batch = three()
    with opened(dead) as letters:
        letters.park(batch, {0: "first"})
        letters.park(batch, {0: "second", 1: "behind"})
        assert letters.count() == 2
    with opened(dead) as again:
        again.park(batch, {0: "third"})
        assert again.count() == 2
    assert [letter.reason for letter in seen(dead)] == ["first", "behind"]


@pytest.mark.parametrize(
    ("changes", "table", "behind"),
    [
        ([("u", row(1)), ("u", row(2)), ("u", row(1))], ORDERS, [0, 2]),
        ([("u", row(1)), ("u", row(2), {"id": "1"}), ("u", row(2)), ("u", row(3))], ORDERS, [0, 1, 2]),
        ([("c", row(1)), ("c", row(2)), ("t", {}), ("c", row(3))], ORDERS, [0, 2, 3]),
        ([("c", {"line": "a"}), ("c", {"line": "b"})], NOTES, [0, 1]),
    ],
    ids=["a key", "a change of key", "a truncate", "no key"],
)
def test_what_comes_behind_a_parked_change_is_parked_behind_it(
    dead: Dead, changes: list[tuple[str, Mapping[str, str]]], table: Table, behind: list[int]
) -> None:
    batch = Feed().commit(*changes, table=table)  # type: ignore[arg-type]
    with opened(dead) as letters:
        letters.park(batch, {0: "no"})
        assert list(letters.parked(batch)) == behind
    with opened(dead) as again:
        assert list(again.parked(batch)) == behind


def test_each_transform_has_an_order_of_its_own(dead: Dead) -> None:
    batch = three()
    with opened(dead) as letters:
        letters.park(batch, {0: "no"}, transform="shape")
        assert list(letters.parked(batch, transform="shape")) == [0]
        assert letters.parked(batch) == {}
        assert letters.parked(batch, transform="other") == {}


def test_a_replay_leaves_what_is_refused_with_its_new_reason(dead: Dead) -> None:
    batch = three()
    with opened(dead) as letters:
        letters.park(batch, dict.fromkeys(range(3), "no"))
        assert replay(letters, batch) == (0, [], [])  # nobody asked for it
        ask_for_all(dead)
        places = [batch[0].position.text, batch[2].position.text]
        refusing = {1: "still not"}
        assert replay_asked(letters, batch, 2, refusing) == (2, ["1", "3"], places)

        def refused_again() -> bool:
            assert replay(letters, batch, refusing) == (0, [], [])
            return [(letter.reason, letter.attempts) for letter in seen(dead)] == [("still not", 2)]

        until(refused_again, "for the one that is refused")
        assert replay(letters, batch) == (0, [], [])  # nobody asks for it any more
    assert left(dead) == 1


def test_what_waits_behind_a_refused_change_stays_in_its_order(dead: Dead) -> None:
    batch = Feed().commit(("c", row(1)), ("u", row(1, "later")), ("c", row(2)))
    with opened(dead) as letters:
        letters.park(batch, dict.fromkeys(range(3), "no"))
        ask_for_all(dead)
        assert replay_asked(letters, batch, 1, {0: "still not"})[:2] == (1, ["2"])
        ask_for_all(dead)
        assert replay_asked(letters, batch, 2)[:2] == (2, ["1", "1"])
    assert left(dead) == 0


def test_a_replay_that_is_broken_off_stays_asked_for(dead: Dead) -> None:
    batch = three()
    with opened(dead) as letters:
        letters.park(batch, dict.fromkeys(range(3), "no"))
        ask_for_all(dead)
        written = 0

        def write(part: Batch, transform: str | None) -> None:
            nonlocal written
            if written + len(part) < 2:  # what was asked for may come to be known in pieces
                written += len(part)
                return
            second = part[1 - written]
            raise BrokenOff({second.position.lineage: second.position})

        def broken_off() -> bool:
            try:
                letters.replay(write, {at.lineage: at for at in batch.positions})
            except BrokenOff:
                return True
            return False

        until(broken_off, "for what was asked for")
        assert letters.count() == 2
    with opened(dead) as again:
        assert replay_asked(again, batch, 2)[:2] == (2, ["2", "3"])
    assert left(dead) == 0


def test_what_is_dropped_is_offered_to_nobody(dead: Dead) -> None:
    batch = three()
    with opened(dead) as letters:
        letters.park(batch, {1: "no"})
        ask_for_all(dead, Action.DROP)
        assert replay_asked(letters, batch, 1) == (1, [], [batch[1].position.text])
        assert letters.parked(batch) == {}
    assert left(dead) == 0


def test_a_letter_gives_back_the_change_that_was_parked(dead: Dead) -> None:
    batch = Feed().commit(("c", row(1, 'ü\n"')), ("u", {"id": "1", "note": UNCHANGED}), ("d", {"id": "1"}))
    with opened(dead) as letters:
        letters.park(batch, dict.fromkeys(range(3), "no"))
    ask_for_all(dead)
    offered: list[Batch] = []
    ends = {at.lineage: at for at in batch.positions}
    with opened(dead) as again:
        until(lambda: again.replay(lambda part, transform: offered.append(part), ends), "for what was asked for")
    for was, now in zip(batch, offered[0], strict=True):
        assert (was.op, was.table, was.position, was.transaction) == (now.op, now.table, now.position, now.transaction)
        for image in ("key", "before", "after"):
            old, new = getattr(was, image), getattr(now, image)
            assert (old and old.texts()) == (new and new.texts())
