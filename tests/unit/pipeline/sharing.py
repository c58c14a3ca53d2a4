"""A group of readers as one of its members sees it: lineages come and go while it works. Never decides when."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import ClassVar

from tailrace._native import BatchBuilder
from tailrace.contract import Positions
from tailrace.model import Assigned, Batch, Finding, Limits, Position, Revoked, Table
from tailrace.testing.fake import ORDERS


class Group:
    """What there is to read of each lineage, what was confirmed of it, and what is to happen to its only member."""

    def __init__(self, *lineages: str) -> None:
        self.confirmed: dict[str, int] = {}
        """The number of the last change that is."""
        self.ours = list(lineages)
        """What the member has, or will be given when it opens a stream."""
        self._written: list[Batch] = []
        """One change each, in the order of all lineages."""
        self._acts: deque[Callable[[GroupStream], object]] = deque()
        self._changed = threading.Condition()

    def insert(self, lineage: str, *keys: int, table: Table = ORDERS) -> list[int]:
        """More changes of a lineage, a transaction each; their numbers."""
        return self.commit(lineage, *({"id": str(key)} for key in keys), table=table)

    def commit(self, lineage: str, *rows: Mapping[str, str], table: Table = ORDERS) -> list[int]:
        """More rows of a lineage, a transaction each; the numbers of their changes."""
        with self._changed:
            for row in rows:
                number = len(self._written) + 1
                builder = BatchBuilder(lineage)
                builder.begin(xid=number, lsn=number << 16, committed_at_us=0)
                builder.add("c", table, after=row)
                builder.commit()
                self._written.append(builder.take())
            self._changed.notify_all()
            return list(range(len(self._written) - len(rows) + 1, len(self._written) + 1))

    def give(self, *lineages: str) -> None:
        """They come to the member."""
        self.ours += lineages
        self._act(lambda stream: stream.marks.append(Assigned(lineages)))

    def take(self, *lineages: str, timeout_s: float = 3600.0) -> Future[bool]:
        """They are taken away: whether the member was done with them in time (0: they are another's already)."""
        answer: Future[bool] = Future()
        self.ours = [lineage for lineage in self.ours if lineage not in lineages]

        def take(stream: GroupStream) -> None:
            for lineage in lineages:
                stream.began.pop(lineage, None)
            answer.set_result(stream.settle(Revoked(lineages), timeout_s))

        self._act(take)
        return answer

    def look(self, stream: GroupStream, timeout_s: float) -> list[Batch]:
        """Let happen what is to happen, on the reader thread as a driver's callbacks are; what there is to be read."""
        with self._changed:
            self._changed.wait_for(lambda: self._acts or stream.marks or self._rest(stream), timeout_s)
        while self._acts:
            self._acts.popleft()(stream)
        with self._changed:
            return self._rest(stream)

    def _rest(self, stream: GroupStream) -> list[Batch]:
        places = ((batch, batch[0].position) for batch in self._written)
        return [
            batch
            for batch, at in places
            if at.lineage in stream.began and ((after := stream.began[at.lineage]) is None or after < at)
        ]

    def _act(self, act: Callable[[GroupStream], object]) -> None:
        with self._changed:
            self._acts.append(act)
            self._changed.notify_all()


class GroupStream:
    """See `Stream` and `Shared`."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self.marks = deque([Assigned(tuple(group.ours))])
        self.began: dict[str, Position | None] = {}
        """Lineages that are read, and where: behind what."""
        self.settle: Callable[[Revoked, float], bool] = lambda revoked, timeout_s: True

    def attach(self, settle: Callable[[Revoked, float], bool]) -> None:
        self.settle = settle

    def begin(self, claimed: Mapping[str, Position | None]) -> None:
        self.began.update(claimed)

    def read(self, timeout_s: float) -> Batch | Assigned | None:
        rest = self._group.look(self, timeout_s)
        if self.marks:
            return self.marks.popleft()
        if not rest:
            return None
        [batch] = Batch.merge(rest)
        self.began.update((position.lineage, position) for position in batch.positions)
        return batch

    def tend(self) -> None:
        self._group.look(self, 0)

    def confirm(self, positions: Sequence[Position]) -> None:
        self._group.confirmed.update((at.lineage, int(at.text[:16], 16) >> 16) for at in positions)

    def release(self, lineages: Sequence[str]) -> None:
        pass

    def close(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class GroupSource:
    """The only member of a group."""

    kind: ClassVar[str] = "group"
    group: Group

    def check(self) -> list[Finding]:
        return []

    def open(
        self,
        name: str,
        positions: Positions,
        limits: Limits,
        *,
        until_current: bool = False,
        stop: threading.Event | None = None,
    ) -> GroupStream:
        return GroupStream(self.group)

    def drop(self, name: str) -> list[str]:
        return []
