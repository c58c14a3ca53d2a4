"""The whole boundary to Rust. Values and encoders of `crates/native`; no sockets, loops, logging or configuration
objects.

Everything here releases the interpreter lock while it decodes, encodes, reads or spills. Sizes are bytes, LSNs are
integers, times are microseconds since the Unix epoch where they are integers.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from os import PathLike
from typing import Any, Final, Generic, Literal, final

from typing_extensions import TypeVar

_RowT = TypeVar("_RowT", default=Row)
_NewT = TypeVar("_NewT")

__all__ = [
    "UNCHANGED",
    "ArrowStream",
    "Batch",
    "BatchBuilder",
    "Change",
    "Chunk",
    "Column",
    "CopyReader",
    "CopyRows",
    "DebeziumJson",
    "Encoded",
    "EventReader",
    "Globs",
    "Mask",
    "Message",
    "PgOutput",
    "Position",
    "Relation",
    "Rename",
    "Row",
    "Select",
    "SnapshotMark",
    "Table",
    "TypeDefinition",
    "Unchanged",
    "Unregistered",
    "__version__",
]

__version__: Final[str]

@final
class Unchanged:
    """A cell that the server did not send: it lies outside of its row (TOAST), and the update left it as it was.

    `UNCHANGED` is the only value of this type, and it is false; compare with `is`. With REPLICA IDENTITY FULL a table
    has none.
    """

    def __bool__(self) -> Literal[False]: ...

UNCHANGED: Final[Unchanged]

@final
class Position:
    """A place in one totally ordered stream: `text` orders within `lineage`; only its source reads either.

    PostgreSQL: lineage `postgres/<system identifier>/<database>/<slot>`, text
    `<LSN, 16 hex>.<phase>.<ordinal, 12 digits>/<timeline, 8 hex>/<end LSN, 16 hex>`. Phase 0 is a snapshot row, 1
    progress or a non-transactional message, 2 a row of the transaction whose commit record starts at LSN. Phase 1 at
    the snapshot's consistent point says that the snapshot is complete. Kafka: lineage
    `kafka/<cluster id>/<topic id>/<partition>`, text the offset of the last record that was read, 20 digits. Ordered,
    hashable, picklable.
    """

    def __new__(cls, lineage: str, text: str) -> Position: ...
    @property
    def lineage(self) -> str:
        """Which stream it is of: before or after says something only of two positions of one lineage."""
    @property
    def text(self) -> str:
        """Where in it: printable, and in the order of the stream."""
    def __lt__(self, other: Position, /) -> bool: ...
    def __le__(self, other: Position, /) -> bool: ...
    def __gt__(self, other: Position, /) -> bool: ...
    def __ge__(self, other: Position, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Column:
    """One column: `type` is the portable type's name (`int4`, `numeric(12,2)`, `text`, `timestamptz`, `int4[]`, …)."""

    def __new__(
        cls,
        name: str,
        type: str,
        *,
        native: str | None = None,
        nullable: bool = True,
        labels: Sequence[str] = ...,
        comment: str | None = None,
        identity: bool = False,
        backfill: str | None = None,
        default: str | None = None,
        defaulted: bool = False,
    ) -> Column: ...
    @property
    def name(self) -> str:
        """As the source has it, or as a transform renamed it."""
    @property
    def type(self) -> str:
        """The portable type."""
    @property
    def native(self) -> str:
        """The server's own spelling, as `format_type` prints it."""
    @property
    def nullable(self) -> bool:
        """Whether it can be null."""
    @property
    def labels(self) -> tuple[str, ...]:
        """An enum's labels in sort order; empty for other types."""
    @property
    def comment(self) -> str | None:
        """The source's comment on it; no part of equality, like `identity`, `backfill`, `default` and `defaulted`."""
    @property
    def identity(self) -> bool:
        """The server counts its values up: identity, serial."""
    @property
    def backfill(self) -> str | None:
        """What rows that are older than the column had in it when it was added, in the server's text, where the server
        knows that; a stream tells it only of a column that may be new."""
    @property
    def default(self) -> str | None:
        """The expression of its default, as the server prints it."""
    @property
    def defaulted(self) -> bool:
        """The server makes values for it, by a default or a generation, or it may have been there before it was sent:
        without a `backfill` older rows may have values that no event has told."""
    @property
    def arrow(self) -> str:
        """The name of the Arrow type that `Batch.arrow` gives this column."""
    @property
    def duckdb(self) -> str:
        """The DuckDB type of the closed table of types."""

@final
class TypeDefinition:
    """A type that is not the server's own, as its source defines it. `kind` is `enum` (`labels`), `domain` (one part:
    `base`), `composite` (a part an attribute), `range` (`subtype`, and `multirange`, the name of that one),
    `extension` (`extension`, which must be installed to have it), or what nobody but its owner can make: `row`, `base`.
    """

    def __new__(
        cls,
        schema: str,
        name: str,
        kind: str,
        *,
        labels: Sequence[str] = ...,
        parts: Sequence[tuple[str, str]] = ...,
    ) -> TypeDefinition: ...
    @property
    def schema(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def parts(self) -> tuple[tuple[str, str], ...]:
        """What it is made of: a name each, and a type in the server's own spelling."""
    def __str__(self) -> str:
        """`schema.name`."""
    def __hash__(self) -> int: ...

@final
class Table:
    """One version of a table: immutable; DDL makes a new version. Equal when name, columns and key are equal."""

    def __new__(
        cls,
        schema: str,
        name: str,
        columns: Sequence[Column],
        *,
        key: Sequence[str] = ...,
        comment: str | None = None,
        types: Sequence[TypeDefinition] = ...,
        oid: int | None = None,
    ) -> Table: ...
    @property
    def schema(self) -> str:
        """The schema that it lies in."""
    @property
    def name(self) -> str:
        """Without the schema; `str(table)` has both."""
    @property
    def columns(self) -> tuple[Column, ...]:
        """In the table's order; without those that the publication leaves out."""
    @property
    def key(self) -> tuple[str, ...]:
        """Names of the key columns in key order; empty when the table has no usable key."""
    @property
    def comment(self) -> str | None:
        """The source's comment on it; no part of equality, like `types`."""
    @property
    def types(self) -> tuple[TypeDefinition, ...]:
        """What its columns need that is not the server's own, each behind those that it needs itself."""
    @property
    def oid(self) -> int | None:
        """The source's number for it (`pg_class.oid`), which another table that takes its name does not have.

        None where the source has none; no part of equality.
        """
    @property
    def version(self) -> int:
        """Counts versions within this process; not stable over restarts."""
    def __str__(self) -> str:
        """`schema.name`."""
    def __hash__(self) -> int: ...

@final
class Row(Mapping[str, Any]):
    """A read-only mapping of column name to Python value, decoded cell by cell on first use.

    int, float, bool, str, bytes, Decimal, date, time, datetime (timestamptz aware in UTC, timestamp naive), UUID, list
    for arrays, json and jsonb as `json.loads` reads them (`text()` has every digit). An interval is text, and so are
    dates that Python cannot hold. Holds only the columns that the server sent: a key-only image has the key columns; an
    unsent TOAST cell is UNCHANGED.
    """

    def __getitem__(self, name: str, /) -> Any: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[str]: ...
    def values_of(self, names: Sequence[str]) -> tuple[Any, ...]:
        """The values of these columns, in this order; KeyError for a column that was not sent."""
    def get(self, key: str, default: Any = None, /) -> Any:
        """The value of a column; `default` for one that was not sent."""
    def asdict(self) -> dict[str, Any]:
        """All values, decoded, in a dict of their own."""
    def text(self, name: str) -> str | Unchanged | None:
        """The cell as the server sent it; KeyError for a column that was not sent."""
    def elements(self, name: str) -> list[Any] | str | Unchanged | None:
        """The elements of an array as the server sent them, in lists that are nested as it is; the text of what is no
        array."""
    def texts(self) -> dict[str, str | Unchanged | None]:
        """All cells as the server sent them: what `BatchBuilder` takes back."""
    @property
    def complete(self) -> bool:
        """Every column of the table was sent and none is UNCHANGED."""

@final
class Message:
    """A logical decoding message (`pg_logical_emit_message`)."""

    @property
    def prefix(self) -> str:
        """What `@app.on_message` goes by."""
    @property
    def content(self) -> bytes:
        """What was sent, as it is."""
    @property
    def transactional(self) -> bool:
        """It came with its transaction; otherwise at once, whether that committed or not."""

@final
class Change(Generic[_RowT]):
    """One row event, a read-only view into its batch, which lives as long as one of its changes is held.

    `Change[T]` is one whose rows are of type `T` (see `App.on`); without it they are `Row`.
    """

    @property
    def op(self) -> Literal["c", "u", "d", "r", "t", "m"]:
        """Created, updated, deleted, read by a snapshot, truncated, or a message: Debezium's letters, see `Op`."""
    @property
    def table(self) -> Table:
        """The table, as it was when this was committed; None for op m, of which the type is silent: a handler of tables
        never gets one."""
    @property
    def key(self) -> Row | None:
        """The key columns after the change (before it, for a delete); None without a key."""
    @property
    def before(self) -> _RowT | None:
        """The old image: all columns under replica identity full, the key columns when the key changed or on delete."""
    @property
    def after(self) -> _RowT | None:
        """The new row; None for a delete, a truncate and a message. A cell that an update left alone and that is too
        large to be sent again (TOAST) is UNCHANGED, unless the table has replica identity full."""
    @property
    def committed_at(self) -> datetime:
        """Commit time at the source, in UTC; for a snapshot row the time of the snapshot."""
    @property
    def position(self) -> Position:
        """Its own, unique, and the same on every replay (I7): the key by which a repetition is known. Of a snapshot's
        rows, within one attempt."""
    @property
    def transaction(self) -> int | None:
        """The source's transaction id; None where it told none."""
    @property
    def message(self) -> Message | None:
        """The message of op m; None for every other op."""
    @property
    def origin(self) -> str | None:
        """The replication origin that the transaction came through, if any."""
    @property
    def origin_lsn(self) -> int | None:
        """Where the transaction ended at that origin."""
    @property
    def source(self) -> tuple[str, str, int, int]:
        """What events say of their source: connector, database, LSN of the change, LSN of its commit (0: none)."""
    @property
    def truncate_options(self) -> tuple[bool, bool]:
        """TRUNCATE's (cascade, restart identity)."""
    def cast(self, convert: Callable[[Row], _NewT]) -> Change[_NewT]:
        """The same change with `before` (when complete) and `after` passed through `convert`, each once, at first
        access."""
    def replace(self, *, after: Mapping[str, Any] | None = None, before: Mapping[str, Any] | None = None) -> Change:
        """A copy with other cells; columns not named keep theirs, and so does a cell whose value is the one that it
        reads as. A text is taken as the server would print it; for json and jsonb it is a JSON string. KeyError for a
        column that the table does not have."""
    def __class_getitem__(cls, item: Any) -> Any: ...

@final
class SnapshotMark:
    """Which part of a snapshot a batch carries: `begin` and `end` are of this table within this attempt."""

    @property
    def attempt(self) -> str: ...
    @property
    def table(self) -> Table | None:
        """None when a transform left all of it out."""
    @property
    def begin(self) -> bool: ...
    @property
    def end(self) -> bool: ...

@final
class Encoded:
    """The records of one segment in one buffer. The buffer itself is JSON Lines as in interface.md (topic, key, value,
    headers, newline), so `memoryview(encoded)` can be written as it is; a record's parts are slices of it."""

    def __len__(self) -> int:
        """Number of records: a delete and its tombstone are two, a key change is three."""
    def __buffer__(self, flags: int, /) -> memoryview: ...
    @property
    def nbytes(self) -> int: ...
    def topic(self, index: int) -> str: ...
    def key(self, index: int) -> bytes | None: ...
    def value(self, index: int) -> bytes | None: ...
    def headers(self, index: int) -> list[tuple[str, bytes]]: ...
    def change(self, index: int) -> int:
        """Index in the batch of the change that this record belongs to; the length of the batch for a heartbeat."""
    @property
    def largest(self) -> int:
        """Bytes of key, value and headers of the largest record."""
    def messages(self) -> list[tuple[str, bytes | None, bytes | None, list[tuple[str, bytes]] | None]]:
        """Every record as (topic, value, key, headers or None), for a message broker's client, in one call. Headers are
        as Kafka Connect writes them: a text stands without quotes."""
    @property
    def routed(self) -> bool:
        """A transform chose the partition of some record."""
    def partition(self, index: int) -> int | None:
        """The partition that a transform chose for it; None leaves that to Kafka's partitioner."""

@final
class DebeziumJson:
    """A Debezium JSON profile; holds one encoding plan a table version, made once.

    `options` are those of `tailrace.format.OPTIONS` as texts, `topic_prefix` among them; `ValueError` names the one
    that is not known or has another value than it takes. `run_id` is for the header of that name. `transforms` are
    kinds of `tailrace.format.TRANSFORMS` with their options as texts, and for those in Python a function of a change,
    a part (`event`, `old_key`, `new_key`, `tombstone`, `old_tombstone`) and `topic` and `headers` by these names: what
    it returns keeps the record (True, None), drops it (False) or sends it to another topic (a text)."""

    def __new__(
        cls,
        options: dict[str, str],
        *,
        run_id: str = "",
        transforms: Sequence[
            tuple[str, dict[str, str], Callable[[Change, str, dict[str, Any]], bool | str | None] | None]
        ] = ...,
    ) -> DebeziumJson: ...
    def register(self, version: int, half: str, id: int) -> None:
        """The registry's id of a schema that `Unregistered` named: version and half as there."""

class Unregistered(Exception):
    """Keys or values have a schema of which the registry's id is not known yet: tell it (`DebeziumJson.register`), and
    ask the same iterator for its next part again."""

    schemas: list[tuple[int, Literal["key", "value"], str, str, Literal["AVRO", "JSON"], str]]
    """For each: table version, half, topic, the record's full name, the text's kind, the text."""

@final
class ArrowStream:
    """Record batches of one table, by the Arrow PyCapsule protocol; consumed once, one record batch a segment.

    A batch of one segment is encoded by `Batch.arrow` itself, which then raises `Reject`. Otherwise segments are
    encoded while the consumer pulls; a value that does not fit ends the stream with the consumer's own error, and
    `raise_reject` gives the `Reject`.
    """

    def raise_reject(self) -> None:
        """Raise the `Reject` that ended the stream early, if one did."""
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...
    def __arrow_c_schema__(self) -> object: ...

@final
class Batch:
    """A run of changes in commit order. It ends where a transaction ends and never cuts one; an empty one is progress.
    A list of segments of a few MB, in memory or in a spill file; every encoder works segment by segment."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Change]: ...
    def __getitem__(self, index: int, /) -> Change: ...
    @property
    def positions(self) -> tuple[Position, ...]:
        """Where the batch ends, one for each lineage that it touches."""
    @property
    def tables(self) -> tuple[Table, ...]:
        """The table versions that its changes are of, each once."""
    @property
    def nbytes(self) -> int:
        """Bytes of the cells, wherever they lie."""
    @property
    def resident_nbytes(self) -> int:
        """The part of `nbytes` that is in memory and not in a spill file."""
    @property
    def snapshot(self) -> SnapshotMark | None:
        """Which part of a snapshot it carries; None for changes of the stream."""
    @property
    def committed_at(self) -> datetime | None:
        """Commit time of the last transaction; None for progress."""
    def segments(self) -> Iterator[Batch]:
        """One batch a segment (I5: a segment holds one version of each table). Their positions are this batch's."""
    def json(self, profile: DebeziumJson) -> Iterator[Encoded]:
        """Encode for `profile`, one `Encoded` a segment; `Reject` for values that it cannot carry, `Fatal` for names
        that it cannot have, `Unregistered` when it needs ids first."""
    def arrow(self, table: Table) -> ArrowStream:
        """The changes of this table version as typed columns (the row after the change; before it for deletes) and
        `_op` utf8, `_position` utf8, `_committed_at` timestamp[us, UTC], `_index` uint64 (index in this batch),
        `_unchanged` list<utf8> (names of the UNCHANGED columns, null when none). `Reject` for values out of range."""
    def ops(self) -> str:
        """The letters of its changes, each once."""
    def copy_rows(
        self,
        table: Table,
        columns: Sequence[str],
        *,
        constants: Sequence[str] = ...,
        receivers: Sequence[str] = ...,
        staged: bool = False,
    ) -> Iterator[tuple[bytes, bool, tuple[int, int, int], list[list[str]]]]:
        """This table version's changes as rows of COPY, a segment at a time: the new image, of a delete the
        old one, then `constants`; whether they are binary (without the header and the trailer of the format); how many
        are op c or r, u, d; sets of columns that were not sent, the first empty. A `staged` row begins with its op and
        the index of its set; without that all must be sent.

        `receivers` are the functions of `pg_catalog` that read the binary form of each column and constant
        (`pg_type.typreceive`). Rows are text where one is not known, or a cell is not as a server writes it."""
    def latest(self, *, split_keys: bool = False) -> Batch:
        """One folded change a key and segment window: op c/u become u when the row may exist, unchanged cells are
        filled from earlier changes where possible; TRUNCATE and key changes are barriers. Apply its `segments()` in
        order: each holds either changes of distinct keys of one table, or one barrier (op t, or a single op u that
        changes a key). With `split_keys` a change of key that has its whole new row becomes op d and op c instead."""
    def without(self, indexes: Collection[int]) -> Batch:
        """All but these changes; positions stay as they are."""
    def only(self, indexes: Collection[int]) -> Batch:
        """Just these changes; positions stay as they are."""
    def cut(self, nbytes_max: int) -> Iterator[Batch]:
        """Pieces that end where transactions end, of up to `nbytes_max` bytes of cells each; a transaction above that
        is a piece by itself. A row of a snapshot and a record of a Kafka topic count as one each. The positions of a
        piece are those of its last changes, where its source can go on, and the last one's are this batch's. One piece
        if it is not larger, or if its changes are not in the order of their stream: a transform may have moved them."""
    def with_changes(self, changes: Sequence[Change]) -> Batch:
        """The same positions with these changes in place of the present ones (what `map_changes` uses)."""
    def with_arrow(self, table: Table, stream: object) -> Batch:
        """Replace the changes of `table` by these Arrow rows, matched by `_index`; rows that are missing are dropped.

        They show the old image of a delete and the new one of everything else; old images of updates stay as they are.
        `Fatal` for columns, types or values that the table does not have."""
    @staticmethod
    def merge(batches: Sequence[Batch]) -> list[Batch]:
        """Join neighbours into as few batches as their snapshot marks allow; order is kept."""
    @staticmethod
    def progress(position: Position) -> Batch:
        """A batch without changes that ends at `position`."""

@final
class Globs:
    """Patterns over names: shell patterns, `/regular expressions/` for the whole name in any case (Java's syntax as far
    as the Rust crate fancy-regex has it), and `!` before what is left out. `ValueError` for what is no expression."""

    def __new__(cls, patterns: Sequence[str]) -> Globs: ...
    def matches(self, name: str) -> bool:
        """Whether one of the patterns matches, and none that leaves out."""

@final
class Select:
    """Keeps what matches: `schema.table` globs, `schema.table.column` globs (key columns always stay), op letters.
    Like every transform object it keeps its plans: one table version always becomes the same new version."""

    def __new__(
        cls,
        *,
        tables: Sequence[str] | None = None,
        exclude_tables: Sequence[str] = ...,
        columns: Sequence[str] | None = None,
        exclude_columns: Sequence[str] = ...,
        ops: str | None = None,
    ) -> Select: ...
    def __call__(self, batch: Batch, /) -> Batch: ...

@final
class Rename:
    """Gives tables (`schema.table` to `schema.table`) and columns (`schema.table.column` to a name) other names.

    `ConfigError` when two tables, or two columns of one, would have one name."""

    def __new__(cls, names: Mapping[str, str]) -> Rename: ...
    def __call__(self, batch: Batch, /) -> Batch: ...

@final
class Mask:
    """Masks cells of columns that match the globs, in every image and in the key: `redact` to null (empty text where
    not nullable), `hash` to HMAC-SHA-256 of the text under `salt` in hex, `truncate` to `length` characters.

    `ConfigError` when a key column would be redacted or truncated: its rows would fall together."""

    def __new__(
        cls,
        columns: Sequence[str],
        method: Literal["redact", "hash", "truncate"],
        *,
        salt: bytes = ...,
        length: int = 0,
    ) -> Mask: ...
    def __call__(self, batch: Batch, /) -> Batch: ...

@final
class BatchBuilder:
    """Builds batches from text cells: for `tailrace.testing`, for dead letters that are replayed, for third parties."""

    def __new__(cls, lineage: str, *, connector: str = "postgresql", database: str = "test") -> BatchBuilder: ...
    def begin(
        self,
        *,
        xid: int,
        committed_at_us: int,
        lsn: int = 0,
        at: str | None = None,
        lsns: tuple[int, int] | None = None,
        origin: tuple[str, int] | None = None,
    ) -> None:
        """`at` is the text of the first change's position, in place of `lsn`: the following ordinals count from it.
        `lsns` are those of the change and of its commit, as far as `at` does not say them. `origin` is a replication
        origin's name and LSN."""
    def add(
        self,
        op: Literal["c", "u", "d", "r", "t"],
        table: Table,
        *,
        before: Mapping[str, str | Unchanged | None] | None = None,
        after: Mapping[str, str | Unchanged | None] | None = None,
        truncate_options: tuple[bool, bool] = ...,
    ) -> None: ...
    def message(self, prefix: str, content: bytes, *, transactional: bool = True) -> None: ...
    def commit(self) -> None: ...
    def take(self, *, snapshot: tuple[str, Table, bool, bool] | None = None) -> Batch:
        """What was committed since the last `take`; `snapshot` is (attempt, table, begin, end)."""

@final
class Chunk:
    """Whole protocol messages as libpq handed them out, in one buffer."""

    def __len__(self) -> int:
        """Number of messages."""
    @property
    def nbytes(self) -> int: ...
    @staticmethod
    def of(messages: Sequence[bytes]) -> Chunk: ...
    def __getitem__(self, index: int, /) -> bytes: ...

@final
class CopyReader:
    """Drains a libpq connection in COPY OUT or COPY BOTH through libpq's own functions, the interpreter lock
    released."""

    def __new__(cls, libpq: str | PathLike[str], pgconn_ptr: int, *, frame_bytes_max: int) -> CopyReader: ...
    def drain(self, bytes_max: int) -> Chunk:
        """Take all that waits, up to `bytes_max`; never blocks. OSError with libpq's message when the connection
        broke, OverflowError for a message above `frame_bytes_max`."""
    @property
    def done(self) -> bool:
        """The server ended the COPY."""

@final
class Relation:
    """A pgoutput Relation message that the decoder has not seen, or whose rows contradict what it was described as:
    look it up in the catalog, then `describe` it."""

    @property
    def oid(self) -> int: ...
    @property
    def schema(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def replica_identity(self) -> Literal["d", "n", "f", "i"]: ...
    @property
    def xid(self) -> int | None:
        """The transaction that it comes with, which has committed; None while that is streamed before its end."""
    @property
    def columns(self) -> tuple[tuple[str, int, int, bool], ...]:
        """(name, type oid, type modifier, part of the replica identity)."""
    @property
    def nullable(self) -> tuple[str, ...]:
        """Columns that can be null whatever the catalog says now: rows have shown it."""

@final
class PgOutput:
    """Decodes pgoutput (PostgreSQL manual, "Logical Replication Message Formats") inside XLogData and keepalives."""

    def __new__(
        cls,
        lineage: str,
        *,
        database: str,
        timeline: int,
        start_after: str | None,
        streaming: bool,
        segment_bytes: int,
        transaction_bytes_max: int,
        spill_bytes_max: int,
        spill_dir: str | PathLike[str],
    ) -> PgOutput:
        """`start_after` is a saved position's text: transactions at or before it are dropped."""
    def hand_over(self, xid: int, lsn: int) -> None:
        """Before anything is fed: another reader had delivered the first transaction, if it is `xid`, up to `lsn`.

        Rows before that LSN are dropped, and the first one there if it makes a single event. ValueError from `feed`
        when another transaction commits first."""
    def feed(self, chunk: Chunk | None) -> Relation | None:
        """Decode; stops at a Relation that must be described first: `describe` it and feed None to go on.
        ValueError names the message and offset that is not understood (I10); OSError when the spill limit is met."""
    def describe(self, oid: int, table: Table, *, settled: bool = True) -> None:
        """The table for a Relation: its columns must be the Relation's, in order. Unless `settled`, the Relation of a
        streamed transaction comes again when that commits, and its rows become those of the table given then."""
    def take(self) -> Batch | None:
        """Every transaction that is complete; None when there is none."""
    @property
    def ready_nbytes(self) -> int:
        """Bytes of complete transactions that `take` would return."""
    @property
    def open_nbytes(self) -> int:
        """Bytes of transactions whose end has not come yet, spilled or not."""
    @property
    def reply_requested(self) -> bool:
        """The server asked for a status since the last call; reading it clears it."""
    @property
    def received_lsn(self) -> int:
        """End of the WAL received so far."""
    @property
    def idle_lsn(self) -> int | None:
        """WAL end of the last keepalive if nothing committed lies before it that was not taken: safe progress."""

@final
class EventReader:
    """Reads the records of one Kafka partition back into changes: Debezium's JSON, with or without schemas, and plain
    JSON.

    With schemas, columns have the types that Connect's and Debezium's schemas name; without, those that the values
    show: int8, float8, numeric (integers beyond 64 bits), bool, text, json, widened when a value does not fit. A
    delete's tombstone is no change of its own; one without its delete is a delete. Plain values are op c, or op u with
    `plain="upsert"`, of the table that the topic's last two parts name (`public` and the topic when it has one).
    `binary_handling_mode` is that of whoever writes: with hex the contents of messages are taken for hex. A TRUNCATE
    of a table of which no row was read yet has a table without columns; without `truncates` it is not understood.
    """

    def __new__(
        cls,
        lineage: str,
        *,
        topic: str,
        partition: int = 0,
        plain: Literal["append", "upsert"] = "append",
        unavailable_value_placeholder: str = "__debezium_unavailable_value",
        binary_handling_mode: Literal["bytes", "base64", "base64-url-safe", "hex"] = "bytes",
        truncates: bool = True,
        segment_bytes: int = ...,
    ) -> EventReader: ...
    @property
    def truncates(self) -> bool:
        """Whether a TRUNCATE is understood; to be set between two calls."""
    @truncates.setter
    def truncates(self, value: bool) -> None: ...
    def feed(
        self,
        records: Sequence[tuple[bytes | None, bytes | None, int, int]],
        *,
        attributes: Mapping[int, bytes] | None = None,
    ) -> None:
        """Read records: key, value, time in milliseconds, offset. `ValueError` that names topic, partition and offset
        for one that is not understood; what was before it is not lost, and nothing behind it was read. `attributes`
        are those of CloudEvents in the binary form, by offset: JSON of texts, with the structured form's names."""
    def unknown(self, records: Sequence[tuple[bytes | None, bytes | None, int, int]]) -> list[int]:
        """Ids of schemas in Confluent's frames of keys and values that `add_schema` must be told before `feed`."""
    def add_schema(self, id: int, kind: str, text: str, *, references: Sequence[tuple[str, str]]) -> None:
        """What the registry says of an id (kind AVRO, JSON or PROTOBUF), with the name and text of each schema that it
        refers to, those first that others refer to. `ValueError` for a schema whose values cannot be read."""
    def take(self) -> Batch | None:
        """The changes that were read since the last call, up to the last record; None when there was none."""

@final
class CopyRows:
    """Decodes COPY TO STDOUT (text format) of one table into snapshot batches. Holds the last row back, to mark it."""

    def __new__(
        cls,
        lineage: str,
        table: Table,
        *,
        database: str,
        attempt: str,
        lsn: int,
        timeline: int,
        xid: int,
        at_us: int,
        first_ordinal: int,
        first_table: bool,
        segment_bytes: int,
    ) -> CopyRows: ...
    def feed(self, chunk: Chunk) -> None: ...
    def take(self) -> Batch | None:
        """Complete rows so far; the first batch of a table carries `begin`."""
    def finish(self, *, last_table: bool) -> Batch:
        """What is left, with `end`; comes also for an empty table."""
    @property
    def next_ordinal(self) -> int: ...
