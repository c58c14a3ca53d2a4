"""Members of the group that `check_source` makes of a shared source, each on a thread of its own, as in a process.

A member plays the pipeline to its stream, and judges what each call does. Never decides what is to happen.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

from tailrace.contract import Shared, Source, Stream
from tailrace.error import EndOfStream
from tailrace.model import Assigned, Batch, Limits, Position, Revoked, Unreadable
from tailrace.testing.evidence import NAME, KeptPositions, confirm_aside
from tailrace.testing.expect import expect

__all__ = ["Group", "Member"]

_PATIENCE_S = 60.0
"""Groups take their time: members are heard every few seconds, and one waits for another."""
_READ_S = 0.05
_LOOK_S = 0.01


class Group:
    """Who reads the same, what is saved of it, and who has which lineage. Members are told what to do from outside."""

    def __init__(self, make_source: Callable[[], Source]) -> None:
        self.changed = threading.Condition(threading.RLock())
        """Guards all that is here and in its members; notified at each of their calls."""
        self.positions = KeptPositions()
        self.owners: dict[str, Member] = {}
        """Whom each lineage was offered to, until it was taken away from there."""
        self.members: list[Member] = []
        """All that there ever were."""
        self._make = make_source

    def join(self, *, until_current: bool = False, claims: bool = True, saves: bool = True) -> Member:
        """One member more; see `Member` for what it is to do."""
        member = Member(self._make(), self, until_current=until_current, claims=claims, saves=saves)
        self.members.append(member)
        member.start()
        return member

    def wait(self, condition: Callable[[], bool], promise: str) -> None:
        """Until `condition` holds; AssertionError with the promise when it does not in time. A member's fault is raised
        first: what holds then may hold because of it."""
        deadline = time.monotonic() + _PATIENCE_S
        with self.changed:
            while True:
                for member in self.members:
                    member.raise_fault()
                if condition():
                    return
                expect(time.monotonic() < deadline, f"{promise}: waited for {_PATIENCE_S:g} s in vain")
                self.changed.wait(_READ_S)

    def leave(self, *members: Member) -> None:
        """They close their streams, one after another, and have done nothing wrong."""
        for member in members:
            member.leave()
            self.wait(member.has_left, "I12 close() ends")
            member.raise_fault()

    def end(self) -> None:
        """Let all members go, whatever they have done."""
        for member in self.members:
            member.leave()
        deadline = time.monotonic() + _PATIENCE_S
        with self.changed:
            while not all(member.has_left() for member in self.members) and time.monotonic() < deadline:
                self.changed.wait(_READ_S)


class Member:
    """Reads until it is to leave. What it is told may be changed while it works.

    `claims` what is offered at once; else only when it is taken away again, as a pipeline whose writer thread comes to
    both marks late. `saves` what it has read of lineages when they go, and of all when it leaves; else drops it.
    `only_tends` calls nothing but `tend`, as while the shelf is full.
    """

    def __init__(self, source: Source, group: Group, *, until_current: bool, claims: bool, saves: bool) -> None:
        self._source, self._group, self._bounded = source, group, until_current
        self.claims, self.saves, self.only_tends = claims, saves, False
        self.ours = set[str]()
        """Offered, and not taken away since."""
        self.begun = set[str]()
        """Those of ours that `begin` was called with."""
        self.went = set[str]()
        """Taken away at some time."""
        self.batches: list[Batch] = []
        self.calls: Counter[str] = Counter()
        """How often each was called."""
        self.ended = False
        """A bounded stream has said that this was all."""
        self._stream: Stream | None = None
        self._latest: dict[str, Assigned] = {}
        self._marks: deque[Assigned] = deque()
        self._claimed: deque[tuple[Assigned, Mapping[str, Position | None]]] = deque()
        self._gone: deque[tuple[str, ...]] = deque()
        self._unsaved: dict[str, Position] = {}
        self._leaving = threading.Event()
        self._parted = self._left = False
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"{NAME}-reader", daemon=True)

    def start(self) -> None:
        """Open the stream and begin to read."""
        self._thread.start()

    def leave(self) -> None:
        """Close the stream after the call that runs; `has_left` tells when that is done."""
        self._leaving.set()

    def has_left(self) -> bool:
        """Its stream is closed."""
        return self._left

    def raise_fault(self) -> None:
        """Raise the first thing that went wrong here, if anything did."""
        if self._fault is not None:
            raise self._fault

    def save(self) -> None:
        """Save all that was read, and confirm it, from a thread of its own as a pipeline does."""
        with self._group.changed:
            ends = list(self._unsaved.values())
            self._unsaved.clear()
            self._group.positions.save(ends)
        if ends and self._stream is not None:
            confirm_aside(self._stream, ends)
            confirm_aside(self._stream, ends)

    def confirm(self, position: Position) -> None:
        """Confirm what may be no longer ours."""
        if self._stream is not None:
            confirm_aside(self._stream, [position])

    def _run(self) -> None:
        try:
            stream = self._open()
        except BaseException as error:  # noqa: BLE001 - raised where somebody waits for this member
            self._fail(error)
            self._note(left=True)
            return
        work: list[Callable[[], object]] = [partial(self._read_on, stream), self._part, stream.close, stream.close]
        for each in work:
            try:
                each()
            except BaseException as error:  # noqa: BLE001 - as above
                self._fail(error)
        self._note(left=True)

    def _open(self) -> Stream:
        known = self._group.positions.known().keys()
        stream = self._source.open(NAME, self._group.positions, Limits(), until_current=self._bounded)
        expect(isinstance(stream, Shared), "each stream of a shared source is Shared")
        expect(self._group.positions.known().keys() == known, "I16 open() of a shared source claims nothing")
        cast(Shared, stream).attach(self._settle)
        self._stream = stream
        return stream

    def _read_on(self, stream: Stream) -> None:
        while not self._leaving.is_set() and self._fault is None:
            self._answer(stream)
            if self.only_tends:
                stream.tend()
                self._leaving.wait(_LOOK_S)
                self._note(called="tend")
            else:
                self._take(stream.read(_READ_S))
                self._note(called="read")

    def _part(self) -> None:
        """What a pipeline does before it closes: whoever is offered its lineages while it closes finds them saved."""
        if self.saves and self._fault is None:
            self.save()
        with self._group.changed:
            self._parted = True
            self._let_go(self.ours)

    def _answer(self, stream: Stream) -> None:
        while self._gone:
            stream.release(self._gone.popleft())
        if self.claims:
            self._claim()
        while self._claimed:
            mark, saved = self._claimed.popleft()
            cast(Shared, stream).begin(saved)
            with self._group.changed:
                self.begun |= {name for name in saved if name in self.ours and self._latest[name] is mark}

    def _take(self, item: Batch | Assigned | Revoked | Unreadable | None) -> None:
        if isinstance(item, Assigned):
            self._offered(item)
        elif isinstance(item, Revoked):
            self._settle(item, _PATIENCE_S)
        elif isinstance(item, Unreadable):
            expect(False, f"what commit() wrote is understood: {item.reason}")
        elif item is not None:
            self._brought(item)

    def _offered(self, mark: Assigned) -> None:
        with self._group.changed:
            expect(not self.ours.intersection(mark.lineages), "a lineage is offered once, until it is taken away")
            self.ours.update(mark.lineages)
            self._latest.update(dict.fromkeys(mark.lineages, mark))
            self._group.owners.update(dict.fromkeys(mark.lineages, self))
            self._marks.append(mark)
            if self.claims:
                self._claim()

    def _brought(self, batch: Batch) -> None:
        touched = {position.lineage for position in batch.positions} | {change.position.lineage for change in batch}
        with self._group.changed:
            strange = touched - self.begun
            expect(
                not strange & self.went, "I16 nothing is read of a lineage that was taken away, until it is begun again"
            )
            expect(not strange, "I16 nothing is read of a lineage before it is claimed and begun")
            self.batches.append(batch)
            self._unsaved.update((position.lineage, position) for position in batch.positions)

    def _claim(self) -> None:
        with self._group.changed:
            while self._marks:
                mark = self._marks.popleft()
                self._claimed.append((mark, {name: self._group.positions.claim(name) for name in mark.lineages}))

    def _settle(self, revoked: Revoked, timeout_s: float) -> bool:
        """What a stream calls for lineages that go. It may catch what is raised here, so nothing is."""
        saves = self.saves
        if self._parted:
            return True
        try:
            with self._group.changed:
                lineages = set(revoked.lineages)
                expect(lineages <= self.ours, "settle() is called with lineages that are ours, and with no others")
                early = any(self._group.owners.get(name) is not self for name in lineages)
                expect(not early or timeout_s <= 0, "I16 a lineage is offered to another once settle() has answered")
                # The writer thread comes to the mark of what was offered before it comes to this one.
                self._claim()
                for name in () if saves else lineages:
                    self._unsaved.pop(name, None)
            if saves:
                self.save()
            with self._group.changed:
                self._let_go(lineages)
                self._gone.append(revoked.lineages)
        except BaseException as error:  # noqa: BLE001 - raised where somebody waits for this member
            self._fail(error)
        return saves

    def _let_go(self, lineages: set[str]) -> None:
        self.went |= lineages
        for name in [name for name in lineages if self._group.owners.get(name) is self]:
            del self._group.owners[name]
        self.begun -= lineages
        self.ours = self.ours - lineages
        self._group.changed.notify_all()

    def _note(self, *, called: str | None = None, left: bool = False) -> None:
        with self._group.changed:
            if called is not None:
                self.calls[called] += 1
            self._left |= left
            self._group.changed.notify_all()

    def _fail(self, error: BaseException) -> None:
        with self._group.changed:
            if isinstance(error, EndOfStream):
                self.ended = True
            elif self._fault is None:
                self._fault = error
            self._group.changed.notify_all()
