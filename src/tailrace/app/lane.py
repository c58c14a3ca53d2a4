"""Runs the changes that one handler has gathered: as one list, one after another on the loop, or in parallel by key.

Never reorders two changes of one key: a change of key or without one, TRUNCATE and messages are barriers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import wait
from dataclasses import dataclass, field

from tailrace.app.call import Caller, reasons_of
from tailrace.app.handler import Handler
from tailrace.model import Change

Key = tuple[object, ...]

BEHIND = "an earlier change of this key is parked"
"""Why a change is parked that did not fail itself."""

UNNAMED = "rejected by the handler, which gave no reason for this change"
"""Why a change is parked when the handler's `Reject` names other changes than it was given."""


@dataclass(frozen=True, slots=True)
class Item:
    """A change for a handler: its index in the offered batch, as the batch has it, and as the handler sees it."""

    index: int
    change: Change
    seen: Change


@dataclass(slots=True)
class Gathered:
    """What waits for one handler, and what became of it: indexes that are `done`, and reasons of those to park.

    `keys` are those that it touches, where rivals ask for them; `barrier`: it touches rows that no key tells apart;
    `parked` says which keys are blocked from which index on.
    """

    handler: Handler
    items: list[Item] = field(default_factory=list)
    keys: set[Key] = field(default_factory=set)
    barrier: bool = False
    done: set[int] = field(default_factory=set)
    rejected: dict[int, str] = field(default_factory=dict)
    parked: dict[Key, int] = field(default_factory=dict)


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


def run(gathered: Gathered, caller: Caller, parked: Mapping[Key, int]) -> None:
    """Call the handler with everything gathered; raises what must stop the pipeline, after the calls under way ended.

    Changes whose key is in `parked` are rejected without a call.
    """
    handler, items = gathered.handler, gathered.items
    gathered.parked.update(parked)
    if handler.batch:
        if handler.asynchronous:
            caller.loop.run(_whole_async(items, gathered, caller))
        else:
            _whole(items, gathered, caller)
    elif handler.asynchronous:
        caller.loop.run(_stretches_async(items, gathered, caller))
    else:
        pool = caller.pool(handler)
        for lanes in _stretches(items, handler.concurrency):
            futures = [pool.submit(_lane, lane, gathered, caller) for lane in lanes]
            wait(futures)
            for future in futures:
                future.result()


def _whole(items: list[Item], gathered: Gathered, caller: Caller) -> None:
    """One call for all; when it fails for good, halves of it, until the changes at fault stand alone."""
    handler, todo = gathered.handler, [items]
    while todo:
        if part := _free(todo.pop(), gathered):
            error = caller.call(handler, [item.seen for item in part])
            todo.extend(_divide(part, gathered, error=error))


async def _whole_async(items: list[Item], gathered: Gathered, caller: Caller) -> None:
    handler, todo = gathered.handler, [items]
    while todo:
        if part := _free(todo.pop(), gathered):
            error = await caller.call_async(handler, [item.seen for item in part])
            todo.extend(_divide(part, gathered, error=error))


def _free(part: list[Item], gathered: Gathered) -> list[Item]:
    """Those that follow no parked change of their key; the others are rejected."""
    return [item for item in part if not _behind(item, gathered)]


def _divide(part: list[Item], gathered: Gathered, *, error: Exception | None) -> list[list[Item]]:
    """What is still to be called after a list succeeded or failed, last first."""
    if error is None:
        gathered.done.update(item.index for item in part)
        return []
    reasons = reasons_of(gathered.handler, error, len(part))
    if 0 < len(reasons) < len(part):  # a Reject that names its culprits: the others are still to be done
        for index, reason in reasons.items():
            _reject(part[index], gathered, reason=reason)
        return [[item for index, item in enumerate(part) if index not in reasons]]
    if len(part) == 1:
        _reject(part[0], gathered, reason=reasons.get(0, UNNAMED))
        return []
    middle = len(part) // 2
    return [part[middle:], part[:middle]]


def _behind(item: Item, gathered: Gathered) -> bool:
    """Reject an item that follows a parked change of its key; a change of key blocks its new key as well."""
    if not gathered.parked or all(gathered.parked.get(key, item.index) >= item.index for key in keys_of(item.change)):
        return False
    _reject(item, gathered, reason=BEHIND)
    return True


def _reject(item: Item, gathered: Gathered, *, reason: str) -> None:
    gathered.rejected[item.index] = reason
    for key in keys_of(item.change):
        gathered.parked[key] = min(item.index, gathered.parked.get(key, item.index))


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
            _settle(item, gathered, error=caller.call(gathered.handler, item.seen))


async def _lane_async(lane: list[Item], gathered: Gathered, caller: Caller) -> None:
    for item in lane:
        if not _behind(item, gathered):
            error = await caller.call_async(gathered.handler, item.seen)
            _settle(item, gathered, error=error)


async def _stretches_async(items: list[Item], gathered: Gathered, caller: Caller) -> None:
    if gathered.handler.concurrency == 1:
        await _lane_async(items, gathered, caller)
        return
    for lanes in _stretches(items, gathered.handler.concurrency):
        tasks = (_lane_async(lane, gathered, caller) for lane in lanes)
        for end in await asyncio.gather(*tasks, return_exceptions=True):
            if end is not None:
                raise end


def _settle(item: Item, gathered: Gathered, *, error: Exception | None) -> None:
    if error is None:
        gathered.done.add(item.index)
        return
    reason = next(iter(reasons_of(gathered.handler, error, 1).values()), UNNAMED)
    _reject(item, gathered, reason=reason)
