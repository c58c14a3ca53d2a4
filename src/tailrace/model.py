"""The values that walk through a pipeline, and the settings that bound it. Never does I/O.

`Batch`, `Change`, `Row`, `Table` and what lies in them are owned by Rust (`_native.pyi` documents them) and re-exported
here.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from tailrace._native import (
    UNCHANGED,
    Batch,
    Change,
    Column,
    Message,
    Position,
    Row,
    SnapshotMark,
    Table,
    TypeDefinition,
    Unchanged,
)

__all__ = [
    "BESIDE",
    "UNCHANGED",
    "Assigned",
    "Batch",
    "Carried",
    "Change",
    "Column",
    "Counter",
    "Existing",
    "Finding",
    "Limits",
    "Message",
    "Op",
    "Position",
    "Rest",
    "Revoked",
    "Row",
    "Severity",
    "SnapshotMark",
    "Table",
    "TypeDefinition",
    "Unchanged",
]

BESIDE: Final = frozenset(("_op", "_position", "_committed_at", "_index", "_unchanged"))
"""The columns that `Batch.arrow` sends beside those of a table."""


class Op(StrEnum):
    """Debezium's letters for what a change did."""

    CREATE = "c"
    UPDATE = "u"
    DELETE = "d"
    READ = "r"
    TRUNCATE = "t"
    MESSAGE = "m"


@dataclass(frozen=True, slots=True)
class Assigned:
    """Lineages that this process may read from now on: claim them, then call `Shared.begin` with what is saved."""

    lineages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Revoked:
    """Lineages that another reader takes over: finish or drop what is held of them, then call `Stream.release`."""

    lineages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that the source does not understand, as a message in `batch`, which ends behind it.

    `reason` names where it lies, not what is in it; `hint` says what to do when nobody parks it.
    """

    batch: Batch
    reason: str
    hint: str


class Severity(StrEnum):
    """How grave a finding is: `ERROR` keeps the pipeline from running, `WARNING` will hurt later, `OK` was verified."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `check()`: what was looked at, what was found, and the statement that mends it (if one does)."""

    severity: Severity
    subject: str
    message: str
    fix: str | None = None


class Existing(StrEnum):
    """What a table-like sink does with a target table that holds rows which its pipeline did not write."""

    REFUSE = "refuse"
    """Stop before any row is touched."""
    APPEND = "append"
    """Keep them: the source's rows are merged in by key (or appended, where there is no key)."""
    REPLACE = "replace"
    """Remove them."""


@dataclass(frozen=True, slots=True)
class Counter:
    """Where a sequence of the source stands: `last` was given out if it was `called`, else it is the next one.

    It counts by `increment` between `least` and `most`. It fills `column` (schema, table, column); `owned` when it
    belongs to that, and is not just named by a default.
    """

    schema: str
    name: str
    column: tuple[str, str, str]
    owned: bool
    last: int
    called: bool
    increment: int
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Rest:
    """How much a source is at rest: `writers` have written to its tables and not committed, `writes` counts rows that
    were ever written, `upto` is the end of its log, `counters` are the sequences that fill its tables."""

    writers: int
    writes: int
    upto: str
    counters: tuple[Counter, ...]


@dataclass(frozen=True, slots=True)
class Carried:
    """What became of a sequence at the target: its name there and where it stands; or, without one, what makes it."""

    source: str
    target: str | None
    last: int
    called: bool
    fix: str | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on everything that can grow (I8). Sizes in bytes, durations in seconds.

    `segment_bytes` is the unit of encoding and of spilling; `shelf_bytes_max` bounds what waits between the two
    threads, `batch_bytes_max` what the writer takes of it at once; `transaction_bytes_max` is what open transactions
    may hold in memory before they spill to `spill_dir` (default: the system's folder for temporary files), where they
    may take `spill_bytes_max`; a protocol message above `frame_bytes_max` stops the pipeline, and so do dead letters in
    a file above `dead_letters_bytes_max`. `stop_timeout_s` is how long a stop may take to finish what is held,
    `progress_interval_s` how often an idle pipeline moves its position, `save_interval_s` how often a checkpoint is
    saved (what may come twice after a crash), `backoff_s_max` the longest pause between tries.
    """

    segment_bytes: int = 1 << 20
    batch_bytes_max: int = 32 << 20
    shelf_bytes_max: int = 32 << 20
    transaction_bytes_max: int = 32 << 20
    spill_bytes_max: int = 64 << 30
    frame_bytes_max: int = (1 << 30) + (1 << 20)
    spill_dir: str | Path = field(default_factory=lambda: Path(tempfile.gettempdir()))
    stop_timeout_s: float = 30.0
    progress_interval_s: float = 10.0
    save_interval_s: float = 1.0
    backoff_s_max: float = 30.0
    dead_letters_bytes_max: int = 1 << 30
