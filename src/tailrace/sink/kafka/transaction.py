"""Writes batches in Kafka's transactions, our position in the same one: exactly once for `read_committed` readers.

Fenced twice. Kafka lets only the newest holder of the transactional id commit. That says only that somebody came later,
or that the coordinator gave us up for being slow; so whoever takes the id over says so in the topic of positions, and
counts an epoch up with each claim: that tells the two apart. Never commits a part of a source's transaction, unless it
was told to.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from confluent_kafka import KafkaException

from tailrace.dialect.kafka.fault import error_of
from tailrace.error import Fatal, Fenced, Reject, Retryable, TailraceError
from tailrace.model import Batch, Position
from tailrace.sink.kafka import ledger
from tailrace.sink.kafka.fence import Takeovers
from tailrace.sink.kafka.ledger import Held
from tailrace.sink.kafka.sender import Refit, Sender

__all__ = ["Plan", "TransactionalWriter"]

_PAUSE_S = 1.0
_EXPLAIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a transactional writer is told: `reading` are the settings of a client that reads `topic`, `id` is the
    transactional id.

    A source's transaction above `nbytes_max` is an error, or, with `split`, several of Kafka's.
    """

    pipeline: str
    id: str
    takeovers: Takeovers
    topic: str
    reading: Mapping[str, Any]
    nbytes_max: int
    split: bool
    timeout_s: float
    stop_timeout_s: float


class _Refused(Exception):
    """The brokers refuse records of the transaction: it is aborted."""


class TransactionalWriter:
    """An open Kafka sink with transactions, and its `Positions`. See `contract.Writer`, `Replaying` and `Movable`."""

    def __init__(self, sender: Sender, plan: Plan) -> None:
        self._sender = sender
        self._plan = plan
        self._name = uuid.uuid4().hex
        self._claimed: dict[str, Held] = {}
        self._ready = False
        self._open = False
        self._began = 0.0, 0.0
        """When the last transaction was begun, by the clock that nobody sets and by the one that no sleep stops."""
        found = self._read()
        self._held: dict[str, Held] = dict(found.held)
        self._replayed: set[Position] = set(found.replayed)

    def known(self) -> Mapping[str, Position | None]:
        """Every lineage in the topic of positions, with the position that was committed last.

        Whoever wrote before is fenced off first: what it commits behind our back would make this untrue.
        """
        self._own()
        return {
            lineage: None if held.position is None else Position(lineage, held.position)
            for lineage, held in self._held.items()
        }

    def claim(self, lineage: str) -> Position | None:
        """Fence off whoever wrote for this pipeline before, record a new epoch; return the committed position."""
        self._own()
        held = self._held.get(lineage, Held(0))
        new = replace(held, epoch=held.epoch + 1)
        with self._transaction():
            self._put(lineage, new)
        self._held[lineage] = self._claimed[lineage] = new
        return self.known()[lineage]

    def save(self, positions: Sequence[Position]) -> None:
        """Does nothing: `write` committed them with the records."""

    def move(self, lineage: str, position: Position) -> None:
        """Carry the committed position over to another lineage, which is claimed with it."""
        new = Held(self._claimed[lineage].epoch, position.text)
        with self._transaction():
            self._put(lineage, None)
            self._put(position.lineage, new)
        del self._held[lineage], self._claimed[lineage]
        self._held[position.lineage] = self._claimed[position.lineage] = new

    def forget(self) -> None:
        """Remove every claim and position."""
        self._own()
        with self._transaction():
            for lineage in self._held:
                self._put(lineage, None)
            self._put_replayed(self._replayed, written=False)
        self._held.clear()
        self._claimed.clear()
        self._replayed.clear()

    def forget_replayed(self, positions: Sequence[Position]) -> None:
        """See `Replaying.forget_replayed`."""
        with self._transaction():
            self._put_replayed(positions, written=False)
        self._replayed.difference_update(positions)

    def yield_up(self, lineages: Sequence[str]) -> None:
        """See `Yielding`: whoever claims these from now on does not fence us off."""
        for lineage in lineages:
            self._claimed.pop(lineage, None)

    def write(self, batch: Batch) -> None:
        """Commit the records of `batch` and its positions together, one above the limit in pieces."""
        self._sender.watch()
        self._own()  # nobody may have claimed: dead letters are written without their source
        moves = any(self.known().get(position.lineage) != position for position in batch.positions)
        if batch.snapshot is None and not moves and len(batch):
            self._replay(batch)
        else:
            self._commit_shares(batch)

    def interrupt(self) -> None:
        """See `Interruptible.interrupt`."""
        self._sender.patience.end_at(time.monotonic() + self._plan.stop_timeout_s)

    def close(self) -> None:
        """Abort what is open; closing twice is harmless (I12)."""
        self._abort()
        self._sender.close()

    def _replay(self, batch: Batch) -> None:
        """Dead letters, save those that were written before a crash; that these are is remembered in turn, in the
        transaction that writes them."""
        kept = [index for index, change in enumerate(batch) if change.position not in self._replayed]
        begun = 0
        for part in self._parts(batch.only(kept)):
            places = [change.position for change in part]
            try:
                self._commit(part, (), replayed=places)
            except Reject as reject:
                reasons = {kept[begun + index]: reason for index, reason in reject.reasons.items()}
                raise Reject(reasons, written=set(range(len(batch))).difference(kept[begun:])) from None
            self._replayed.update(places)
            begun += len(part)

    def _parts(self, letters: Batch) -> Iterator[Batch]:
        """Within the limit each. A letter is a change by itself: its transaction may have gone on without it."""
        for piece in letters.cut(self._plan.nbytes_max):
            yield from self._cut(piece)

    def _commit_shares(self, batch: Batch) -> None:
        """Each with the positions that it reaches: a crash in between makes come again what lies behind them."""
        begun = 0
        for share, positions in self._shares(batch):
            try:
                self._commit(share, positions)
            except Reject as reject:
                reasons = {begun + index: reason for index, reason in reject.reasons.items()}
                raise Reject(reasons, written=range(begun)) from None
            begun += len(share)

    def _shares(self, batch: Batch) -> Iterator[tuple[Batch, Sequence[Position]]]:
        """What one of Kafka's transactions holds each, and the positions that go with it: whole transactions, but for
        one that is above the limit, whose position goes with its last part."""
        for piece in batch.cut(self._plan.nbytes_max):
            if piece.nbytes <= self._plan.nbytes_max:
                yield piece, piece.positions
            elif self._plan.split:
                *parts, last = (part for segment in piece.segments() for part in self._cut(segment))
                yield from ((part, ()) for part in parts)
                yield last, piece.positions
            else:
                raise Fatal(
                    f"a transaction of {piece.nbytes} bytes, and one of Kafka's may hold {self._plan.nbytes_max}",
                    hint="raise transaction_bytes_max, or set split_transactions = true:"
                    " that one is at-least-once then",
                )

    def _cut(self, part: Batch) -> Iterator[Batch]:
        """Within the limit each, but for a single change that is above it."""
        if part.nbytes <= self._plan.nbytes_max or len(part) < 2:
            yield part
            return
        middle = len(part) // 2
        yield from self._cut(part.only(range(middle)))
        yield from self._cut(part.only(range(middle, len(part))))

    def _commit(self, batch: Batch, positions: Sequence[Position], *, replayed: Sequence[Position] = ()) -> None:
        new = {at.lineage: Held(self._epoch(at.lineage), at.text) for at in positions}
        while True:
            try:
                with self._transaction():
                    self._sender.send(batch)
                    for lineage, held in new.items():
                        self._put(lineage, held)
                    self._put_replayed(replayed, written=True)
                break
            except Refit:
                self._sender.remake()
                self._take_over()
            except _Refused:
                raise self._refusals(batch) from None
        self._held.update(new)

    def _refusals(self, batch: Batch) -> Reject:
        """Learn in a transaction that is aborted which changes the brokers refuse: at least the first of them."""
        self._begin()
        try:
            return self._sender.refusals(batch)
        finally:
            self._abort()

    def _epoch(self, lineage: str) -> int:
        """The epoch of our claim; that of the last one when nobody claims (dead letters without their source)."""
        return self._claimed.get(lineage, self._held.get(lineage, Held(0))).epoch

    def _put(self, lineage: str, held: Held | None) -> None:
        key = ledger.key_of(self._plan.pipeline, lineage)
        self._sender.put(self._plan.topic, key, None if held is None else ledger.value_of(held))

    def _put_replayed(self, positions: Iterable[Position], *, written: bool) -> None:
        for position in positions:
            key = ledger.replayed_key(self._plan.pipeline, position)
            self._sender.put(self._plan.topic, key, b"{}" if written else None)

    def _read(self, *, settled: bool = False, patience_s: float | None = None) -> ledger.Ledger:
        plan = self._plan
        return ledger.read(
            plan.reading,
            plan.topic,
            plan.pipeline,
            settled=settled,
            patience_s=patience_s,
            stopped=self._sender.patience.over,
        )

    def _own(self) -> None:
        if not self._ready:
            self._take_over()
            self._ready = True

    def _take_over(self) -> None:
        """Fence off older holders of the transactional id, end what they left open, and read what they committed."""
        self._patiently(self._sender.producer.init_transactions, "taking over the transactional id")
        found = self._read(settled=True)
        self._check_owner(found)
        self._held, self._replayed = dict(found.held), set(found.replayed)
        key, value = ledger.holder_key(self._plan.pipeline), ledger.holder_value(self._name)
        with self._transaction():
            self._sender.put(self._plan.topic, key, value)

    def _check_owner(self, found: ledger.Ledger) -> None:
        """Raise when another process has claimed what is ours since, or has come to claim something."""
        for lineage, ours in self._claimed.items():
            if found.held.get(lineage, Held(0)).epoch != ours.epoch:
                raise Fenced(
                    f"another process has claimed {lineage} of the pipeline {self._plan.pipeline!r} since",
                    hint="let that one go on; this one stops",
                )
        if self._ready and found.holder != self._name:
            raise Fatal(
                f"another process has taken over the transactional id of the pipeline {self._plan.pipeline!r}",
                hint="one process writes a pipeline's transactions: one member only, where the source is a group",
            )

    def _explained(self, error: TailraceError) -> TailraceError:
        """What a refusal in the words of a fence was: raises when somebody else has come, else we were too slow."""
        given_up = self._age_s() >= self._plan.timeout_s
        try:
            found = self._read(settled=True, patience_s=_EXPLAIN_S)
        except Retryable:
            return error  # whoever has come: brokers that are away are to be told of first
        self._check_owner(found)
        if not isinstance(error, Retryable):
            return error
        if given_up:
            return Retryable(
                str(error.args[0]),
                hint=f"a transaction is given up after transaction_timeout_s = {self._plan.timeout_s:g}: "
                "raise it if writing a batch takes longer",
            )
        return self._taken_over(error) if self._sender.outdated else error

    def _taken_over(self, error: Retryable) -> TailraceError:
        """Somebody has come who is not of this pipeline. Once that may be anyone's mistake, and is over."""
        whose = f"the transactional id {self._plan.id!r}"
        hint = "give each pipeline, and each program, a transactional_id of its own"
        if self._plan.takeovers.note():
            return Fatal(f"another producer takes {whose} over again and again, as this one does in turn", hint=hint)
        return Retryable(f"{error.args[0]}: another producer has taken over {whose}", hint=hint)

    def _age_s(self) -> float:
        """Of the last transaction, at least."""
        monotonic, wall = self._began
        return max(time.monotonic() - monotonic, time.time() - wall)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """Begin; commit at the end of the block, when all is acknowledged; abort on any failure."""
        self._begin()
        try:
            yield
            if not self._sender.settle():
                raise _Refused
            self._patiently(self._sender.producer.commit_transaction, "committing")
            self._open = False
        except BaseException as error:
            refused = self._sender.refused and not isinstance(error, Reject | Refit | Fatal)
            self._abort()
            if refused:
                raise _Refused from None
            if self._sender.fenced and isinstance(error, TailraceError):
                raise self._explained(error) from None
            raise

    def _begin(self) -> None:
        try:
            self._sender.producer.begin_transaction()
        except KafkaException as error:
            raise self._sender.fault("beginning a transaction", error_of(error)) from None
        self._open = True
        self._began = time.monotonic(), time.time()

    def _abort(self) -> None:
        """Leave nothing open."""
        if self._open:
            self._open = False
            self._sender.abort()

    def _patiently(self, call: Callable[[float], None], doing: str) -> None:
        """Repeat a call that may take several times, as the client asks for."""
        since = time.monotonic()
        while True:
            try:
                call(_PAUSE_S)
            except KafkaException as error:
                if not error_of(error).retriable():
                    raise self._sender.fault(doing, error_of(error)) from None
                self._sender.check_patience(since)
            else:
                return
