"""The App as a sink's writer: walks each batch, calls handlers in order, retries, rejects. Never talks to a server.

The walk goes window by window (10,000 changes or 8 MB), so that what waits for a handler is bounded. Handlers that are
plain functions are called at once; lists, coroutines and concurrent handlers gather their changes, and run when order
demands it or the window ends. What is done of a batch that did not succeed whole is remembered: it is not called again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice

from tailrace.app import lane
from tailrace.app.call import Broken, Caller, reasons_of
from tailrace.app.done import Done
from tailrace.app.handler import Handler
from tailrace.app.lane import Gathered, Item, Key, Parked, keys_of
from tailrace.app.outcome import require_run
from tailrace.app.route import Route, Router
from tailrace.contract import BrokenOff
from tailrace.error import Fatal, Reject
from tailrace.model import Batch, Change, Position, Table

WINDOW_CHANGES_MAX = 10_000
WINDOW_BYTES_MAX = 8 << 20


class AppWriter:
    """Calls the handlers of an App. All methods run on the writer thread, save `interrupt` and `break_off`."""

    def __init__(self, handlers: Sequence[Handler], done: Done, caller: Caller) -> None:
        self._router = Router(handlers)
        self._gathers = any(not handler.direct for handler in handlers)
        self._rivals = {handler: [other for other in handlers if handler.rivals(other)] for handler in handlers}
        self._caller = caller
        self._done = done
        self._pending: dict[Handler, Gathered] = {}
        self._rejects: dict[int, str] = {}
        self._cause: Exception | None = None
        self._parked = Parked()
        self._from = self._next = 0
        self._undone: dict[str, Position] = {}
        self._turn: Handler | None = None

    def write(self, batch: Batch) -> None:
        """Return when every handler has succeeded with every change; `Reject` what failed for good."""
        self._caller.loop.raise_exit()  # with progress, too: no handler may be called for long
        self._pending.clear()
        self._rejects.clear()
        self._cause = None
        self._parked.clear()
        self._from = self._next = self._done.start(batch)
        first = nbytes = 0
        try:
            for segment in batch.segments():
                first, after = first + len(segment), first
                if first <= self._next:
                    continue
                changes = islice(segment, self._next - after, None)
                while self._next < first:
                    self._walk(islice(changes, min(first - self._next, self._from + WINDOW_CHANGES_MAX - self._next)))
                    full = self._next - self._from >= WINDOW_CHANGES_MAX
                    if full or (self._next == first and (nbytes := nbytes + segment.nbytes) >= WINDOW_BYTES_MAX):
                        nbytes = 0
                        self._end_window(batch)
            self._end_window(batch)
        except Reject:
            raise
        except BaseException as error:
            try:
                self._remember(batch)
            finally:  # what an earlier batch left undone is no answer for this one
                self._undone = self._look_for_undone(batch)
            if not isinstance(error, Broken):
                raise
            if self._rejects:  # to be parked before anything else, whoever has their lineages (I14), or told of
                raise Reject(self._rejects) from self._cause
            raise BrokenOff(self._undone) from None
        self._done.settle(batch.positions)

    def interrupt(self) -> None:
        """The pipeline is asked to stop: do not wait for next tries, and begin no call when the time for a stop is
        over. Called from any thread."""
        self._caller.interrupt()

    def break_off(self) -> None:
        """See `Divisible.break_off`: calls under way end, pauses before next tries end at once."""
        self._caller.break_off()

    def go_on(self, without: Collection[str]) -> None:
        """See `Divisible.go_on`."""
        self._caller.go_on()
        self._done.forget(without)

    def undone(self) -> Mapping[str, Position]:
        """See `Divisible.undone`."""
        return self._undone

    def close(self) -> None:
        """End the private loop and threads; closing twice is harmless (I12)."""
        self._caller.close()

    def _walk(self, changes: Iterable[Change]) -> None:
        """Call or gather for each change, from index `_next` on; at an error `_next` is the change that it befell."""
        table: Table | None = None
        plan: dict[str, tuple[Route, ...]] = {}
        careful = self._gathers or bool(self._rejects or self._done)
        index = self._next
        caller = self._caller
        self._turn = None
        try:
            for change in changes:
                op = change.op
                if op == "m":
                    routes = self._router.routes(change)
                else:
                    if change.table is not table:
                        self._turn = None  # of a change before: this one is nobody's yet, should its plan be refused
                        table = change.table
                        plan = self._router.plan(table)
                    routes = plan[op]
                for route in routes:
                    if careful:
                        self._carefully(route, index, change)
                        continue
                    if caller.told and (halt := caller.halted(route.handler)) is not None:
                        self._turn = route.handler
                        raise halt
                    seen = change
                    try:
                        if route.convert is not None:
                            seen = route.show(change)
                        if (result := route.call(seen)) is not None:
                            require_run(route.handler.name, result)
                    except Exception as error:  # noqa: BLE001 - a handler may raise anything
                        self._turn = route.handler
                        last = caller.again(route.handler, partial(route.show, change), error)
                        self._failed(route.handler, index, change=change, error=last)
                        careful = True
                index += 1
        finally:
            self._next = index

    def _carefully(self, route: Route, index: int, change: Change) -> None:
        """The same with every question asked: is it done, is its key parked, whose turn is it."""
        self._turn = handler = route.handler
        if index in self._rejects or (self._done and self._done.has(handler, change)):
            return
        if self._pending:
            self._make_way(handler, change)
        if self._parked.blocks(index, change):
            self._park(index, change, lane.BEHIND)
            return
        if route.direct:
            error = self._caller.call(handler, partial(route.show, change))
            self._failed(handler, index, change=change, error=error)
            return
        gathered = self._pending.setdefault(handler, Gathered(handler))
        gathered.items.append(Item(index, change, route))
        if self._rivals[handler]:
            keys = keys_of(change)
            gathered.keys.update(keys)
            gathered.barrier |= not keys

    def _make_way(self, handler: Handler, change: Change) -> None:
        """Run what others gathered, where it must come before `handler` gets `change`."""
        keys: tuple[Key, ...] | None = None
        for gathered in list(self._pending.values()):
            other = gathered.handler
            if other is handler:
                continue
            turn = other.strict and handler.strict
            if not turn and handler in self._rivals[other]:
                keys = keys_of(change) if keys is None else keys
                turn = gathered.barrier or not keys or not gathered.keys.isdisjoint(keys)
            if turn:
                self._run(gathered)

    def _run(self, gathered: Gathered) -> None:
        try:
            lane.run(gathered, self._caller, self._parked)
        finally:
            self._cause = self._cause or gathered.cause
            for item in gathered.items:
                if item.index in gathered.rejected:
                    self._park(item.index, item.change, gathered.rejected[item.index])
        del self._pending[gathered.handler]

    def _failed(self, handler: Handler, index: int, *, change: Change, error: Exception | None) -> None:
        if error is not None:
            self._cause = self._cause or error
            self._park(index, change, reasons_of(handler, error, 1)[0])
            self._caller.refused()

    def _park(self, index: int, change: Change, reason: str) -> None:
        self._rejects.setdefault(index, reason)
        self._parked.add(index, change)

    def _end_window(self, batch: Batch) -> None:
        """Run what is gathered; offer rejected changes to the dead letters before anything else is done."""
        self._turn = None
        for gathered in list(self._pending.values()):
            self._run(gathered)
        if self._rejects:
            if len(batch) > WINDOW_CHANGES_MAX:
                self._done.advance(batch, self._next, self._rejects)
                self._done.calls.clear()
            else:  # Spans would hide dead letters that are replayed later and lie between those of this replay.
                self._note(batch, range(self._next))
            raise Reject(self._rejects) from self._cause
        self._from = self._next

    def _remember(self, batch: Batch) -> None:
        """The batch did not succeed: note which calls of the open window are done, so that they are not made again."""
        first = 0
        if len(batch) > WINDOW_CHANGES_MAX:
            first = self._from
            self._done.advance(batch, first)
        waiting = {
            gathered.handler: {item.index for item in gathered.items} - gathered.done
            for gathered in self._pending.values()
        }
        # The change at `_next` is half done when one of its handlers failed: those before it in turn have succeeded.
        last = self._next if self._turn is None else self._next + 1
        self._note(batch, range(first, min(last, len(batch))), waiting)

    def _look_for_undone(self, batch: Batch) -> dict[str, Position]:
        """The first change of each lineage that some handler is not done with."""
        first: dict[str, Position] = {}
        for index in range(self._from, len(batch)):
            if len(batch) > WINDOW_CHANGES_MAX and len(first) == len(batch.positions):
                break  # letters that are replayed are of lineages that their batch does not end in, and fewer
            change = batch[index]
            position = change.position
            if position.lineage not in first and not self._is_done(change):
                first[position.lineage] = position
        return first

    def _is_done(self, change: Change) -> bool:
        try:
            routes = self._router.routes(change)
        except Fatal:  # of its table: to be told when its turn comes
            return False
        return all(self._done.has(route.handler, change) for route in routes)

    def _note(self, batch: Batch, indexes: range, waiting: Mapping[Handler, Collection[int]] | None = None) -> None:
        """These calls are done, save those of rejected changes, those `waiting`, and those from the one that failed."""
        for index in indexes:
            change = batch[index]
            for route in self._router.routes(change) if index not in self._rejects else ():
                if index == self._next and route.handler is self._turn:
                    break
                if waiting is None or index not in waiting.get(route.handler, ()):
                    self._done.calls.add((route.handler, change.position))
