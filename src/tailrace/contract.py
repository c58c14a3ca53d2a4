"""The seams of a pipeline, as Protocols with their contracts in prose. Never imports a concrete source or sink.

Plug-ins implement these structurally; there are no base classes. `CONTRACT_VERSION` is declared by a plug-in's entry
point module as `tailrace_contract = 1`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import ClassVar, Protocol, runtime_checkable

from tailrace.model import (
    Assigned,
    Batch,
    Carried,
    Counter,
    Finding,
    Limits,
    Position,
    Rest,
    Revoked,
    Table,
    Unreadable,
)

CONTRACT_VERSION = 1

Transform = Callable[[Batch], Batch]
"""Makes a Batch from a Batch, on the writer thread. It may drop or alter changes, never reorder or invent positions:
`Batch.positions` of the result must equal those of the argument."""


class Positions(Protocol):
    """What is saved for one pipeline, opened. All methods run on the writer thread, save `known` and `claim`, which the
    source calls from `Source.open` before any batch exists. Lineages that come later (`Shared`) are claimed on the
    writer thread."""

    def known(self) -> Mapping[str, Position | None]:
        """Every lineage that this pipeline ever claimed, with its saved position (None: claimed, nothing saved yet).

        Read-only; a source uses it to refuse another server's position and a slot that nobody claimed.
        """

    def claim(self, lineage: str) -> Position | None:
        """Record a new epoch for `lineage`, durably, before the source creates anything; return its saved position.

        From then on any older holder of this lineage gets `Fenced` at its next save.
        """

    def save(self, positions: Sequence[Position]) -> None:
        """Make these positions durable before returning; `Fenced` when a newer epoch exists. Idempotent."""

    def forget(self) -> None:
        """Remove every claim and position of this pipeline (`tailrace reset` and `drop`), durably."""

    def close(self) -> None:
        """Release files and locks; closing twice is harmless (I12)."""


class Checkpoint(Protocol):
    """A frozen dataclass that says where positions are kept when the sink cannot keep them."""

    def open(self, name: str) -> Positions:
        """Open what pipeline `name` has saved, under an operating system lock; `Retryable` while another holds it."""


class Stream(Protocol):
    """An open source. All methods run on the reader thread, save `confirm`, which may come from any."""

    def read(self, timeout_s: float) -> Batch | Assigned | Revoked | Unreadable | None:
        """The next batch, or None after `timeout_s` without one. A batch ends where a transaction ends, and each in it
        with a position to go on from: a Writer may cut it there (`Batch.cut`).
        `Unreadable` is for one record among others that can be read: it is parked, or stops the pipeline.

        Raises `EndOfStream` when the stream is bounded and done, `Retryable` when the connection broke, `HistoryLost`
        when the source cannot continue, `Fatal` on bytes that it does not understand (I10).
        """

    def tend(self) -> None:
        """Called instead of `read` while the shelf is full: keeps the connection alive, reads nothing (I11)."""

    def confirm(self, positions: Sequence[Position]) -> None:
        """These positions are durable: the server may forget what is before them. Cheap, idempotent, advice (I2)."""

    def release(self, lineages: Sequence[str]) -> None:
        """What was held of the revoked `lineages` is finished or dropped."""

    def close(self) -> None:
        """Send a last status, end the stream and release connections; closing twice is harmless (I12)."""


@runtime_checkable
class Shared(Protocol):
    """What a Stream is too whose lineages come and go, because other processes read the same (a consumer group).

    `Source.open` claims none of them. `read` returns `Assigned` for lineages that have come; the pipeline claims them
    on the writer thread and has the reader thread call `begin`. Their claims, not the group, keep a process that was
    given up from writing (I16): its `Fenced` makes the pipeline open again, since it may well own other lineages.
    """

    def attach(self, settle: Callable[[Revoked, float], bool]) -> None:
        """Called once, before the first `read`.

        When lineages are taken away, within `read` or `tend`, the stream calls `settle` with them and a timeout before
        it lets them go: True once all that it returned of them is written, or dropped, and how far it is written saved
        and confirmed; False when that took too long. The timeout is 0 where they have been another's for a while.
        """

    def begin(self, claimed: Mapping[str, Position | None]) -> None:
        """These are claimed: read each right after its position, which is any change's. Some may have gone since."""


@runtime_checkable
class Yielding(Protocol):
    """A `Positions` whose lineages others may claim while it lives also wants to know of each that it gave up."""

    def yield_up(self, lineages: Sequence[str]) -> None:
        """These are finished here: whoever claims them next has nothing to end first."""


@runtime_checkable
class Source(Protocol):
    """A frozen dataclass whose fields are its whole configuration."""

    @property
    def kind(self) -> str:
        """What it is called in TOML, and in messages: `postgres`."""

    def check(self) -> list[Finding]:
        """What the server or the role lacks, each with the statement that mends it. Read-only."""

    def open(
        self,
        name: str,
        positions: Positions,
        limits: Limits,
        *,
        until_current: bool = False,
        stop: threading.Event | None = None,
    ) -> Stream:
        """Start right after what `positions` holds for each lineage, or from the beginning, snapshot included.

        Refuses (`HistoryLost`) to start over a hole or over another server's position (I6). `name` is the pipeline's.
        With `until_current` the stream ends once everything that the source had committed at this call was delivered.
        Whatever waits here ends with `Retryable` as soon as `stop` is set: nobody wants the stream any more.
        """

    def drop(self, name: str) -> list[str]:
        """Remove what the pipeline created on the server (slot, publication); returns what was removed, in words."""


class Writer(Protocol):
    """An open sink. All methods run on the writer thread."""

    def write(self, batch: Batch) -> None:
        """Return only when the whole batch is durable. If it raises, the same changes come again (I4).

        May raise `Reject` for changes that can never succeed, by their indexes: the pipeline parks them durably (I14)
        and offers the rest again, without what is `written` of it. `EndOfStream` when nobody will ever take what it
        writes: a clean end. An empty batch is progress: keep its positions, if this writer keeps any. When the sink is
        `transactional`, the writer is a `Positions` too and stores `batch.positions` in the same transaction as the
        rows, epoch checked (`Fenced`); its `save` then does nothing. `batch.snapshot.begin` of a new attempt tells a
        table-like sink to forget rows of that table that an earlier attempt left (I15). The attempt is complete when
        the first batch without a mark moves the position on: a source sends one (progress, at least) right behind its
        snapshot. Changes without a mark that do not move the position on are dead letters, replayed: see `Replaying`.
        """

    def close(self) -> None:
        """Release everything; closing twice is harmless (I12)."""


@runtime_checkable
class Sink(Protocol):
    """A frozen dataclass whose fields are its whole configuration."""

    kind: ClassVar[str]
    table_like: ClassVar[bool]
    """It holds the current rows, not the events."""
    truncate: ClassVar[bool]
    """It can apply op t."""

    @property
    def transactional(self) -> bool:
        """Its Writer is a `Positions` too: position and rows are stored atomically (exactly-once).

        A variable of the class where it is always so; a property where the configuration decides.
        """

    def check(self) -> list[Finding]:
        """What the target lacks, each with the statement that mends it. Read-only."""

    def open(self, name: str, limits: Limits) -> Writer:
        """Open the target for pipeline `name`, before the source is opened (I13)."""


@runtime_checkable
class Awaiting(Protocol):
    """A Sink may also wait for its target while it opens: the pipeline then opens it so, and a stop ends that."""

    def open_unless(self, stopped: Callable[[], bool], name: str, limits: Limits) -> Writer:
        """`Sink.open`; `Retryable` once `stopped`."""


@runtime_checkable
class Beating(Protocol):
    """A Sink may also have heartbeats: records that tell its readers that nothing came."""

    @property
    def beat_interval_s(self) -> float:
        """How often; 0 for never. An idle pipeline offers a batch without changes, that ends where the last one did, so
        often, and its Writer writes the heartbeat with it."""


@runtime_checkable
class Measured(Protocol):
    """A Stream may also say how far it is behind; asked by `status()`, from any thread, so it must be cheap."""

    def lag_bytes(self) -> int | None:
        """Bytes of log between what was read and the server's end of log, as far as known."""


@runtime_checkable
class Dated(Protocol):
    """A `Measured` stream that asks its server only now and then also says of when the answer is."""

    def measured_at(self) -> float | None:
        """When the server was asked for what `lag_bytes` goes by, on the monotonic clock; None before that."""


@runtime_checkable
class Unheard(Protocol):
    """A Stream whose server can fall silent without an error also says so."""

    def unheard(self) -> str | None:
        """What it does not tell, in words, and then nothing is idle; None while it answers. On the reader thread."""


@runtime_checkable
class Partitioned(Protocol):
    """A Stream of several partitions may also say how far it is behind in each; asked as `Measured` is."""

    def lags(self) -> Mapping[str, int]:
        """Records between what was read and the end, as far as known, by `topic/partition`, of those that are ours."""


@runtime_checkable
class Interruptible(Protocol):
    """A Writer whose `write` may pause between tries, or take long, can also be told that the pipeline stops."""

    def interrupt(self) -> None:
        """End every pause, and break off what still runs after `limits.stop_timeout_s`: `write` raises `Retryable`.

        From any thread or signal handler; must not block.
        """


class BrokenOff(Exception):
    """No fault: a `write` ended early, as `Divisible.break_off` had asked; what is left is to be offered again.

    `undone` is the first change of each lineage that is not done; of a lineage that it does not name, all are.
    """

    def __init__(self, undone: Mapping[str, Position]) -> None:
        self.undone = undone
        super().__init__("broken off")


@runtime_checkable
class Divisible(Protocol):
    """A Writer that works change by change, and keeps no positions, may also break off within a batch.

    Then lineages that another reader takes over go as soon as the calls under way have ended, however much is left of
    the batch; without it they go when all that was read of them is written.
    """

    def break_off(self) -> None:
        """Begin nothing more: `write` raises `BrokenOff` once what is under way has ended, and so does each later one
        that has something to do, until `go_on`. From any thread; must not block."""

    def go_on(self, without: Collection[str]) -> None:
        """Begin again: the batch is offered once more, and nothing that was done of it is done again, but for the
        lineages in `without`: others had them since, and what comes of them is to be done. On the writer thread."""

    def undone(self) -> Mapping[str, Position]:
        """As `BrokenOff.undone`, of the batch for which `write` has just raised something else than `Reject`."""


@runtime_checkable
class Replaying(Protocol):
    """What the Writer of a transactional sink is too: then dead letters are replayed exactly once.

    A process may die between the sink's commit and the removal of the letters, and offers them again. So `write` stores
    the positions of replayed changes in the transaction of their rows, and leaves out a change that stands there.
    """

    def forget_replayed(self, positions: Sequence[Position]) -> None:
        """Their letters have gone, durably: these changes are never offered again."""


@runtime_checkable
class Rereading(Protocol):
    """A Source that returns `Unreadable` may also read such a record once more, when an operator has it replayed."""

    def read_again(self, batch: Batch) -> Batch:
        """What the records in the messages of `batch` say now, at their positions, in a batch that ends where it does.

        Opens no stream; on the writer thread. `Reject` for those that are still not understood, or cannot be now.
        """


@runtime_checkable
class Retaining(Protocol):
    """A Source may also say what its server keeps for the pipeline; asked by `tailrace status`, running or not."""

    def retained_bytes(self, name: str) -> int | None:
        """Bytes of log that the server cannot forget because of pipeline `name`; None when it keeps none for it."""

    def behind_bytes(self, name: str, saved: Mapping[str, Position | None]) -> int | None:
        """Bytes of log that the server has beyond what pipeline `name` has `saved`; None when it has saved nothing."""


@runtime_checkable
class Starting(Protocol):
    """A Source may also say what a pipeline would meet if it started now; asked by `tailrace check`."""

    def check_start(self, name: str) -> list[Finding]:
        """What `Source.check` says, with the names that pipeline `name` uses on the server. Read-only."""

    def outlook(self, name: str, saved: Mapping[str, Position | None]) -> list[Finding]:
        """Where pipeline `name` would go on with `saved`, which is what `Positions.known` would tell. Read-only.

        Raises what `Source.open` would: `HistoryLost` when it cannot go on. Nothing is told while a process reads it.
        """


@runtime_checkable
class Orphaning(Protocol):
    """A Source may also name what pipelines may have left on its server; asked by `tailrace check`."""

    def orphans(self, owners: Mapping[str, Source]) -> list[Finding]:
        """Each thing of ours on the server that is not in use and that none of `owners` (by pipeline) would use.

        With the statement that drops it where nobody can go on with it: one that is not in use may be that of a
        pipeline that is stopped. Read-only.
        """


@runtime_checkable
class Remembering(Protocol):
    """A Sink or a Checkpoint may also say what is saved without being opened; asked by `tailrace status`."""

    def saved(self, name: str) -> Mapping[str, Position | None]:
        """What `Positions.known` of pipeline `name` would tell. Takes no lock, makes no file, changes nothing."""


@runtime_checkable
class Checked(Protocol):
    """A Checkpoint or DeadLetters may also say what it lacks; asked by `tailrace check`."""

    def check(self) -> list[Finding]:
        """What keeps it from being opened; empty when nothing does. Takes no lock, makes no file, changes nothing."""


@runtime_checkable
class Movable(Protocol):
    """A Positions may also carry what is saved over to another lineage; asked by `tailrace adopt`, without a run."""

    def move(self, lineage: str, position: Position) -> None:
        """In one durable step, forget `lineage`, which this opening has claimed, and save `position`, of another.

        That one is claimed with it. `Fenced` when a newer epoch exists: then nothing has changed.
        """


@runtime_checkable
class Describing(Protocol):
    """A Source may also say which tables it would read now; asked by `tailrace check` and at the start."""

    def tables_now(self, name: str) -> Sequence[Table]:
        """The tables that pipeline `name` would read if it began now. Read-only."""


@runtime_checkable
class Receiving(Protocol):
    """A Sink that holds tables may also say whether it could take these; asked by `tailrace check`."""

    def check_tables(self, name: str, tables: Sequence[Table]) -> list[Finding]:
        """What keeps the targets of `tables` from being filled by pipeline `name`, with statements as in `Sink.check`.

        Read-only. `tables` are as the transforms leave them."""


@runtime_checkable
class Selective(Protocol):
    """A Transform may also say which of its names mean nothing; asked by `tailrace check` and at the start."""

    kind: ClassVar[str]

    def unmatched(self, tables: Sequence[Table]) -> list[str]:
        """The names and globs that match nothing of `tables`, which are as the transforms before leave them."""


@runtime_checkable
class Succeeded(Protocol):
    """A Source whose server may be replaced by its own upgrade, of another lineage; asked by `tailrace adopt`."""

    def successor(self, name: str, saved: Mapping[str, Position | None]) -> tuple[Position, Position]:
        """What pipeline `name` has saved, and the same place on the server that the source leads to now.

        Equal when there is nothing to carry over. `Fatal` in every case in which changes could be lost or come twice;
        `HistoryLost` when they are. Changes nothing.
        """


@runtime_checkable
class Retiring(Protocol):
    """A Source may also clear away at its server when a pipeline has stopped on purpose."""

    def retire(self, name: str) -> None:
        """Called once on the pipeline's thread after a stop or the end, when the stream is closed and all is saved.

        Never after a fault, which needs what is there to go on."""


@runtime_checkable
class Leavable(Protocol):
    """A Source may also say whether everything of it has gone over; asked by `tailrace cutover`."""

    def rest(self, name: str) -> Rest:
        """Look at the tables of pipeline `name`: who writes, where the log ends, where their sequences stand."""

    def passed(self, name: str, saved: Mapping[str, Position | None], upto: str) -> bool:
        """Whether pipeline `name`, of which this is `saved`, has all that was written before `Rest.upto`."""


@runtime_checkable
class Continuing(Protocol):
    """A Sink may also take over the sequences of its source; asked by `tailrace cutover`."""

    def set_sequences(self, counters: Sequence[Counter], *, margin: int) -> list[Carried]:
        """Let the sequences that fill the same columns go on `margin` steps after `counters`, all or none.

        One that is further already stays. What the target lacks is told with the statement that makes it.
        """


class Letters(Protocol):
    """Dead letters, opened: changes that the sink refused, in the order of their keys. Used on the writer thread."""

    def park(self, batch: Batch, reasons: Mapping[int, str], *, transform: str | None = None) -> None:
        """Store these changes (index in `batch` to reason), durably before returning (I14).

        A change whose position is stored already is left as it is: batches are offered again after a crash (I4).
        `transform` names the one that refused them, None the sink: they are stored as it was given them.
        """

    def parked(self, batch: Batch, *, transform: str | None = None) -> Mapping[int, str]:
        """Changes of `batch` that are stored, or that come after a stored change of their key: they must be parked
        behind it, or order would break. Only what the same `transform` was given counts. Cheap when none is."""

    def replay(
        self,
        write: Callable[[Batch, str | None], None],
        at: Mapping[str, Position],
        gone: Callable[[Sequence[Position]], None] | None = None,
    ) -> int:
        """Carry out what operators asked for since the last call, between batches; returns how many changes left.

        Offers the asked-for changes to `write` in order, each time those of one transform (or of the sink, None), as
        batches that end at `at[lineage]` (what was written last), so that a sink that keeps positions does not go back
        (an empty `at` is for sinks that keep none). What `write` rejects stays, with its new reason, if it is the
        first of its key (others had no try); what it took is removed, durably and in order, and then told to `gone`:
        a crash in between offers it again (`Replaying`). What `write` broke off (`BrokenOff`) stays asked for.
        """

    def count(self) -> int:
        """How many changes are stored."""

    def close(self) -> None:
        """Release files and locks; closing twice is harmless (I12)."""


@runtime_checkable
class Roaming(Protocol):
    """What Letters are too that all members of a consumer group share: each deals with those of its own lineages."""

    def take_over(self, lineages: Sequence[str]) -> None:
        """These are ours from now on: learn what others have parked of them, before any change of them is offered."""

    def hand_over(self, lineages: Sequence[str]) -> None:
        """These are another member's from now on, with all that is parked of them."""


class DeadLetters(Protocol):
    """A frozen dataclass that says where changes go that can never succeed."""

    def open(self, name: str, limits: Limits, *, stopped: Callable[[], bool] | None = None) -> Letters:
        """Open what pipeline `name` has parked, under an operating system lock; `Retryable` while another holds it, and
        as soon as `stopped` says that nobody wants it any more."""
