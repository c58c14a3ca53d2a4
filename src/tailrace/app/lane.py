"""Runs the changes that one handler has gathered: as one list, one after another on the loop, or in parallel by key.

Never reorders two changes of one key: a change of key or without one, TRUNCATE and messages are barriers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from concurrent.futures import wait
from dataclasses import dataclass, field
from functools import partial

from tailrace.app.call import Broken, Caller, reasons_of
from tailrace.app.handler import Handler
from tailrace.app.route import Route
from tailrace.error import Reject
from tailrace.model import Change

Key = tuple[object, ...]
"""Schema, name and the texts of the key columns; schema and name alone stand for the whole table."""

BEHIND = "an earlier change of this key is parked"
"""Why a change is parked that did not fail itself."""


@dataclass(frozen=True, slots=True)
class Item:
    """A change for a handler: its index in the offered batch, as the batch has it, and by which route it goes."""

    index: int
    change: Change
    route: Route

    def show(self) -> Change:
        """As the handler sees it, made anew."""
        return self.route.show(self.change)


class Parked:
    """What is parked of a batch, and so blocks later changes: those of its key, or of its table where no key tells rows
    apart (a TRUNCATE, a table without a key)."""

    def __init__(self) -> None:
        self._first: dict[Key, int] = {}
        """Index of the first change that blocks a key, or a whole table."""
        self._tables: dict[Key, int] = {}
        """Index of the first change of a table: what touches the whole table waits for it."""

    def __bool__(self) -> bool:
        return bool(self._tables)

    def clear(self) -> None:
        """Nothing is parked."""
        self._first.clear()
        self._tables.clear()

    def update(self, other: Parked) -> None:
        """Learn what `other` knows."""
        for mine, theirs in ((self._first, other._first), (self._tables, other._tables)):
            for key, index in theirs.items():
                mine[key] = min(index, mine.get(key, index))

    def add(self, index: int, change: Change) -> None:
        """The change at `index` is parked; one that changes its key blocks the new key as well."""
        if change.op == "m":
            return
        table = (change.table.schema, change.table.name)
        self._tables[table] = min(index, self._tables.get(table, index))
        for key in keys_of(change) or (table,):
            self._first[key] = min(index, self._first.get(key, index))

    def blocks(self, index: int, change: Change) -> bool:
        """The change at `index` comes after a parked one that it must not overtake."""
        if not self._tables or change.op == "m":
            return False
        table = (change.table.schema, change.table.name)
        if table not in self._tables:
            return False
        # A key's own lane alone writes of it. What all lanes write of the table may stand later than the first of them.
        keys = keys_of(change)
        if not keys:
            return self._tables[table] < index
        return any(self._first.get(key, index) < index for key in (*keys, table))


@dataclass(slots=True)
class Gathered:
    """What waits for one handler, and what became of it: indexes that are `done`, and reasons of those to park.

    `keys` are those that it touches, where rivals ask for them; `barrier`: it touches rows that no key tells apart;
    `parked` says what is blocked from which index on; `cause` is what the handler raised first.
    """

    handler: Handler
    items: list[Item] = field(default_factory=list)
    keys: set[Key] = field(default_factory=set)
    barrier: bool = False
    done: set[int] = field(default_factory=set)
    rejected: dict[int, str] = field(default_factory=dict)
    cause: Exception | None = None
    parked: Parked = field(default_factory=Parked)


def keys_of(change: Change) -> tuple[Key, ...]:
    """The keys that a change touches: two when it changes its key, none when no key tells rows apart."""
    if change.op in ("m", "t"):
        return ()
    row, table = change.key, change.table
    if row is None:
        return ()
    names = table.key
    now = (table.schema, table.name, *(row.text(name) for name in names))
    before = change.before
    if change.op != "u" or before is None or any(name not in before for name in names):
        return (now,)
    then = (table.schema, table.name, *(before.text(name) for name in names))
    return (now,) if then == now else (now, then)


def run(gathered: Gathered, caller: Caller, parked: Parked) -> None:
    """Call the handler with everything gathered; raises what must stop the pipeline, after the calls under way ended.

    Changes that `parked` blocks are rejected without a call.
    """
    handler, items = gathered.handler, gathered.items
    gathered.parked.update(parked)
    if handler.batch:
        if handler.asynchronous:
            caller.run(handler, _whole_async(items, gathered, caller))
        else:
            _whole(items, gathered, caller)
    elif handler.asynchronous:
        caller.run(handler, _stretches_async(items, gathered, caller))
    else:
        pool = caller.pool(handler)
        for lanes in _stretches(items, handler.concurrency):
            futures = [pool.submit(_lane, lane, gathered, caller) for lane in lanes]
            wait(futures)
            _raise_any([future.exception() for future in futures])


def _whole(items: list[Item], gathered: Gathered, caller: Caller) -> None:
    """One call for all; when it fails for good, halves of it, until the changes at fault stand alone."""
    handler, todo = gathered.handler, [items]
    while todo:
        if part := _free(todo.pop(), gathered):
            error = caller.call(handler, partial(_shown, part))
            todo.extend(_divide(part, gathered, caller, error=error))


async def _whole_async(items: list[Item], gathered: Gathered, caller: Caller) -> None:
    handler, todo = gathered.handler, [items]
    while todo:
        if part := _free(todo.pop(), gathered):
            error = await caller.call_async(handler, partial(_shown, part))
            todo.extend(_divide(part, gathered, caller, error=error))


def _shown(part: list[Item]) -> list[Change]:
    return [item.show() for item in part]


def _free(part: list[Item], gathered: Gathered) -> list[Item]:
    """Those that follow no parked change of their key; the others are rejected."""
    return [item for item in part if not _behind(item, gathered)]


def _divide(part: list[Item], gathered: Gathered, caller: Caller, *, error: Exception | None) -> list[list[Item]]:
    """What is still to be called after a list succeeded or failed, last first."""
    if error is None:
        gathered.done.update(item.index for item in part)
        return []
    gathered.cause = gathered.cause or error
    reasons = reasons_of(gathered.handler, error, len(part))
    written = error.written if isinstance(error, Reject) else frozenset[int]()
    gathered.done.update(part[index].index for index in written)
    if len(reasons) == 1 or (isinstance(error, Reject) and error.named):  # the others are still to be done
        for index, reason in reasons.items():
            _reject(part[index], gathered, reason=reason)
        caller.refused()
        return [[item for index, item in enumerate(part) if index not in reasons and index not in written]]
    suspects = [part[index] for index in sorted(reasons)]
    middle = len(suspects) // 2
    return [suspects[middle:], suspects[:middle]]


def _behind(item: Item, gathered: Gathered) -> bool:
    """Reject an item that follows a parked change of its key."""
    if not gathered.parked.blocks(item.index, item.change):
        return False
    _reject(item, gathered, reason=BEHIND)
    return True


def _reject(item: Item, gathered: Gathered, *, reason: str) -> None:
    gathered.rejected[item.index] = reason
    gathered.parked.add(item.index, item.change)


def _stretches(items: Iterable[Item], concurrency: int) -> Iterator[list[list[Item]]]:
    """Lanes that may run side by side, stretch after stretch; a barrier is a stretch of its own."""
    lanes: list[list[Item]] = [[] for _ in range(concurrency)]
    for item in items:
        keys = keys_of(item.change)
        if len(keys) == 1:
            lanes[hash(keys[0]) % concurrency].append(item)
            continue
        yield [lane for lane in lanes if lane]
        yield [[item]]
        lanes = [[] for _ in range(concurrency)]
    yield [lane for lane in lanes if lane]


def _lane(lane: list[Item], gathered: Gathered, caller: Caller) -> None:
    for item in lane:
        if not _behind(item, gathered):
            _settle(item, gathered, caller, error=caller.call(gathered.handler, item.show))


async def _lane_async(lane: list[Item], gathered: Gathered, caller: Caller) -> None:
    for item in lane:
        if not _behind(item, gathered):
            error = await caller.call_async(gathered.handler, item.show)
            _settle(item, gathered, caller, error=error)


async def _stretches_async(items: list[Item], gathered: Gathered, caller: Caller) -> None:
    if gathered.handler.concurrency == 1:
        await _lane_async(items, gathered, caller)
        return
    for lanes in _stretches(items, gathered.handler.concurrency):
        tasks = (_lane_async(lane, gathered, caller) for lane in lanes)
        _raise_any(await asyncio.gather(*tasks, return_exceptions=True))


def _raise_any(ends: Iterable[BaseException | None]) -> None:
    """What lanes ended with; a break comes back to the changes of the others, a fault might not."""
    if raised := [end for end in ends if end is not None]:
        raise min(raised, key=lambda end: isinstance(end, Broken))


def _settle(item: Item, gathered: Gathered, caller: Caller, *, error: Exception | None) -> None:
    if error is None:
        gathered.done.add(item.index)
        return
    gathered.cause = gathered.cause or error
    _reject(item, gathered, reason=reasons_of(gathered.handler, error, 1)[0])
    caller.refused()
