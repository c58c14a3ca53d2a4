"""Whether a table of a source, or a column, is still the one whose rows a target holds. Never asks either of them.

A table that is dropped and created again, or that takes another's name, has another number (PostgreSQL's
`pg_class.oid`); one that is altered, rewritten or renamed keeps it, and so does pg_upgrade.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping

from tailrace.error import Fatal
from tailrace.model import Table

__all__ = ["added", "doubt", "keep", "remembered", "same", "tell_of_returned"]

log = logging.getLogger("tailrace.sink")


def same(table: Table, known: Table) -> bool:
    """Whether nothing is new of a table that was prepared; equality says nothing of its number."""
    return known == table and table.oid in (None, known.oid)


def doubt(table: Table, held: int | None, at: str) -> str | None:
    """What is wrong when `at` holds the rows of another table, `held`, as far as both numbers are known."""
    if None in (table.oid, held) or table.oid == held:
        return None
    return (
        f"{table} is another table at the source now (oid {table.oid}) than the one whose rows are in {at} at the"
        f" target (oid {held}): it was dropped and created again, or took the place of that one"
    )


def keep(table: Table, held: int | None, at: str, *, anew: str) -> int | None:
    """The number by which `table` is to be remembered; `Fatal` as `doubt` says.

    `anew` is the statement that lets the target take over whatever comes next.
    """
    wrong = doubt(table, held, at)
    if wrong is None:
        return held if table.oid is None else table.oid
    raise Fatal(
        wrong,
        hint="start again with a snapshot: tailrace reset; or, if its rows are the same, run this at the target and go"
        f" on, then `tailrace verify --repair` for what differs: {anew}",
    )


def added(table: Table, held: Collection[str], may_become: Callable[[str], bool]) -> frozenset[str]:
    """The columns of `table` that can only have been added, to those that a target has `held`.

    A new one comes behind all others: one before them was there, renamed or left out. So may one be that `may_become`:
    the step that brings it takes another away whose values its type can hold.
    """
    last = max((place for place, column in enumerate(table.columns) if column.name in held), default=-1)
    return frozenset(column.name for column in table.columns[last + 1 :] if not may_become(column.name))


def tell_of_returned(table: Table, known: Collection[str], *, held: Collection[str], at: str) -> None:
    """Warn of columns of `table` that it did not have when its columns were `known`, though `at` the target there are
    such: of one that was dropped, or renamed, those cells are, and not of the one that has its name now, or nobody has
    written them yet. Where versions take turns (a table without a number) nothing is told."""
    if table.oid is None or not known:
        return
    for name in (column.name for column in table.columns if column.name in held and column.name not in known):
        log.warning(
            "the column %s was in %s already (of one that was dropped, renamed or left out, or added there by hand):"
            " older rows keep what they have in it; `tailrace verify --repair` brings what they have at the source",
            name, at,
        )  # fmt: skip


def remembered(held: Mapping[str, str], now: Mapping[str, str], *, in_order: bool) -> dict[str, str]:
    """The columns of a table, each with its type, that the next version of it is to be compared with: those that are
    there `now`. A version that does not come `in_order`, as that of a dead letter, is not what the next one was made
    of: what was `held` stays, or a column that the letter does not have yet would pass for new once it is renamed."""
    return dict(now) if in_order else {**now, **held}
