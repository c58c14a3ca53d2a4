"""The ledger finds out what is lost, doubled, torn or exchanged, between two writers and between tables too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.crash.ledger import UNSENT, Again, Replay, complete, current

Event = tuple[str, dict[str, Any]]


def event(table: str, op: str, **row: Any) -> Event:
    return table, {"op": op, "before": None, "after": row}


def account(op: str, writer: int, tx: int, version: int) -> Event:
    return event("accounts", op, id=7, version=version, writer=writer, tx=tx, note="x")


def transaction(writer: int, tx: int, place: int, version: int) -> list[Event]:
    """Two entries, the account that all share, and the log."""
    entries = [event("entries", "c", writer=writer, tx=tx, n=n, of=2) for n in (1, 2)]
    return [
        *entries,
        account("u", writer, tx, version),
        event("log", "c", writer=writer, tx=tx, account=7, place=place),
    ]


BEGIN = [
    event("entries", "r", writer=0, tx=0, n=1, of=1),
    account("r", 0, 0, 0),
    event("log", "r", writer=0, tx=0, account=None, place=1),
]
FIRST, SECOND, THIRD = transaction(1, 1, 2, 1), transaction(2, 1, 3, 2), transaction(2, 2, 4, 3)


def replayed(events: Sequence[Event]) -> Replay:
    replay = Replay()
    for table, change in events:
        replay.take(table, change)
    return replay


def test_two_writers_in_their_order_are_a_prefix() -> None:
    assert replayed(BEGIN + FIRST + SECOND + THIRD).complete() == {0: 0, 1: 1, 2: 2}


def without_accounts(events: Sequence[Event]) -> list[Event]:
    return [entry for entry in events if entry[0] != "accounts"]


@pytest.mark.parametrize(
    ("events", "fault"),
    [
        (BEGIN + SECOND + FIRST, "out of order"),
        (without_accounts(BEGIN + SECOND + FIRST), "two writers have changed places"),
        (without_accounts(BEGIN + FIRST[:2] + SECOND[:2] + FIRST[2:]), "another transaction stands within"),
        (without_accounts(BEGIN + SECOND), "two writers have changed places"),
        (BEGIN + FIRST[:2] + FIRST[3:], "of another time"),
        (BEGIN + FIRST + FIRST, "out of order"),
        (BEGIN + FIRST[1:], "torn"),
    ],
)
def test_what_is_exchanged_lost_or_torn_is_found_out(events: list[Event], fault: str) -> None:
    with pytest.raises(AssertionError, match=fault):
        replayed(events).complete()


def test_repeats_are_no_fault_but_leaving_out_a_commit_is() -> None:
    again = Again()
    for table, change in BEGIN + FIRST + SECOND + FIRST + SECOND + THIRD:
        again.take(table, change)
    assert again.complete() == {0: 0, 1: 1, 2: 2}
    skipping = Again()
    with pytest.raises(AssertionError, match="left out"):
        for table, change in BEGIN + SECOND:
            skipping.take(table, change)


def moved(id: int, *, torn: bool = False) -> list[Event]:
    """An account that gets another key and its own back; its note is not sent. All of it, or what a kill has left."""

    def row(key: int, version: int) -> dict[str, Any]:
        return {"id": key, "version": version, "writer": 1, "tx": 1, "note": UNSENT}

    away = id + 10_000
    events = [
        ("accounts", {"op": "d", "before": {"id": id}, "after": None}),
        ("accounts", {"op": "c", "before": None, "after": row(away, 1)}),
        ("accounts", {"op": "d", "before": {"id": away}, "after": None}),
        ("accounts", {"op": "c", "before": None, "after": row(id, 1)}),
    ]
    return events[:1] if torn else events


def test_a_note_that_is_not_sent_outlives_a_kill_within_a_change_of_key() -> None:
    again = Again()
    begin = [event("accounts", "r", id=id, version=0, writer=0, tx=0, note=f"of {id}") for id in (7, 9)]
    update = event("accounts", "u", id=7, version=1, writer=1, tx=1, note=UNSENT)
    for table, change in [*begin, *moved(9), *moved(7, torn=True), *moved(9), update, *moved(7)]:
        again.take(table, change)
    assert {id: account[4] for id, account in again.accounts.items()} == {7: "of 7", 9: "of 9"}


@pytest.mark.parametrize(
    ("check", "fault"),
    [
        (lambda logged: complete([(0, 0, 1, 1), (2, 1, 1, 1)], logged), "one that was committed before is not"),
        (lambda logged: current([(7, 0, 0)], logged), "of another time"),
        (lambda logged: current([(7, 1, 1)], logged), "of another time"),
    ],
)
def test_tables_that_are_of_two_times_are_found_out(check: Callable[[Any], object], fault: str) -> None:
    with pytest.raises(AssertionError, match=fault):
        check([(0, 0, None, 1), (2, 1, 7, 3)])
