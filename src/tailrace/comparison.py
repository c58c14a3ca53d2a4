"""The seam of `tailrace verify`: what a source and a sink offer so that their rows can be compared. Never does I/O.

Both sides are read in ranges of the key. A row stands for itself by its digest: equal digests mean cells that are equal
as the target keeps them. Everything that goes to the target's side is plain data, since it may travel to the process
that has the target open.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, runtime_checkable

from tailrace.model import Batch, Change, Table

__all__ = [
    "Checksum",
    "ComparableSink",
    "ComparableSource",
    "Compared",
    "Field",
    "Image",
    "Key",
    "Mirror",
    "Seen",
    "Shape",
    "SourceLook",
    "SourceView",
    "Span",
    "TargetLook",
    "TargetView",
]

Key = tuple[str, ...]
"""The texts of a row's key columns. Where both sides must agree on one spelling, it is the target's."""


@dataclass(frozen=True, slots=True)
class Span:
    """Keys after `after` up to and with `upto`, in the order of the key's index; None is no bound."""

    after: Key | None = None
    upto: Key | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """A column that is compared: its name in the source and in what is written, its portable and its native type."""

    source: str
    name: str
    type: str
    native: str


@dataclass(frozen=True, slots=True)
class Shape:
    """A table as the pipeline writes it: name, key (both after the transforms), and the columns that are compared."""

    schema: str
    name: str
    fields: tuple[Field, ...]
    key: tuple[str, ...]

    @property
    def of_key(self) -> tuple[Field, ...]:
        """The fields of the key, in its order."""
        named = {field.name: field for field in self.fields}
        return tuple(named[name] for name in self.key)


@dataclass(frozen=True, slots=True)
class Mirror:
    """The target's table for a shape. `types` are its columns' types, in the order of `shape.fields`.

    `binary` names the key columns that the target orders by the bytes of their text. `scope` are the columns that tell
    this pipeline's rows from those of others, with the text of their value. `probe` is what the target makes of a known
    row, so that a source which digests rows by itself can tell whether it would do the same.
    """

    shape: Shape
    schema: str
    name: str
    types: tuple[str, ...]
    binary: tuple[str, ...] = ()
    scope: Mapping[str, str] = field(default_factory=dict)
    probe: str = ""


@dataclass(frozen=True, slots=True)
class Compared:
    """One table at both ends."""

    table: Table
    mirror: Mirror


@dataclass(frozen=True, slots=True)
class Checksum:
    """Rows of a range, and one digest for all of them that does not depend on their order."""

    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class Seen:
    """One row, found by its key. `version` differs whenever the row was written meanwhile, even with the same cells.

    `free` says that no transaction has begun to change this version; a target need not know.
    """

    version: str
    digest: str
    free: bool = False


@dataclass(frozen=True, slots=True)
class SourceLook:
    """Rows of one snapshot of the source, in the order of the keys that were asked for (None: there is none).

    `pending` are the transactions that had not ended before the snapshot: one of them may have been committed in the
    log already, and not yet be visible. All that is visible lies in the log before `upto`. `keys` are the keys as the
    source spells them; `rows` are the rows themselves, when asked for.
    """

    keys: tuple[Key, ...]
    seen: tuple[Seen | None, ...]
    pending: frozenset[int]
    upto: str
    rows: Batch | None = None


@dataclass(frozen=True, slots=True)
class TargetLook:
    """Rows of one snapshot of the target (as in `SourceLook`), and what it had saved then, by lineage."""

    seen: tuple[Seen | None, ...]
    positions: Mapping[str, str]


class SourceView(Protocol):
    """A source, open to be compared: reads rows as they are now, never the log. Used by one thread at a time."""

    def tables(self) -> Sequence[Table]:
        """What the pipeline captures, each as it would be sent now."""
        ...

    def agrees(self, mirror: Mirror) -> bool:
        """Whether source and target make the same digest of the same row."""
        ...

    def boundary(self, what: Compared, span: Span, rows: int) -> Key | None:
        """The key of the row that is number `rows` of `span`; None when it has fewer."""
        ...

    def checksum(self, what: Compared, span: Span) -> Checksum:
        """Of the rows in `span`, digested as a target does that is a server of the same product."""
        ...

    def digests(self, what: Compared, span: Span) -> Sequence[tuple[Key, str]]:
        """Key and digest of each row in `span`."""
        ...

    def rows(self, table: Table, span: Span, *, binary: Sequence[str] = ()) -> Iterator[Batch]:
        """The rows of `span` as snapshot batches; `binary` as in `Mirror`, with the source's names."""
        ...

    def look(self, table: Table, keys: Sequence[Key], *, what: Compared | None = None) -> SourceLook:
        """These rows in one snapshot: digested as `checksum` does with `what`, else with the `rows` themselves."""
        ...

    def pending(self) -> frozenset[int]:
        """The transactions that are in progress."""
        ...

    def lineage(self, positions: Collection[str]) -> str | None:
        """Which of these lineages is the source's own."""
        ...

    def reached(self, positions: Mapping[str, str], upto: str) -> bool:
        """Whether a target that saved these positions has everything before `upto`."""
        ...

    def nudge(self) -> None:
        """Let the log move, so that an idle pipeline moves its position; does nothing where that is not possible."""
        ...

    def changes(self, table: Table, look: SourceLook, *, which: Sequence[int], lineage: str) -> list[Change]:
        """Changes that make a target's rows equal to the looked-at ones, each at a position of its own (I7)."""
        ...

    def close(self) -> None:
        """End the session; closing twice is harmless (I12)."""
        ...


class TargetView(Protocol):
    """A sink's target, open to be compared. Plain read rights are enough. Used by one thread at a time."""

    def mirror(self, shape: Shape) -> Mirror | str:
        """The target's table; a text says why it cannot be compared."""
        ...

    def checksum(self, mirror: Mirror, span: Span) -> Checksum:
        """Of the target's rows in `span`."""
        ...

    def digests(self, mirror: Mirror, span: Span) -> Sequence[tuple[Key, str]]:
        """Key and digest of each of the target's rows in `span`."""
        ...

    def look(self, mirror: Mirror, keys: Sequence[Key]) -> TargetLook:
        """These rows, and what is saved, in one snapshot."""
        ...

    def close(self) -> None:
        """End the session; closing twice is harmless (I12)."""
        ...


class Image(Protocol):
    """Digests rows as the target would if they were written to it. Used by one thread at a time."""

    def checksum(self, mirror: Mirror, rows: Iterator[Batch]) -> Checksum:
        """Of all these rows, which have been through the transforms."""
        ...

    def digests(self, mirror: Mirror, rows: Iterator[Batch]) -> Sequence[tuple[Key, str]]:
        """Key and digest of each of these rows."""
        ...

    def close(self) -> None:
        """Release what it holds; closing twice is harmless (I12)."""
        ...


@runtime_checkable
class ComparableSource(Protocol):
    """A Source whose rows can be compared with a target's."""

    def view(self, name: str) -> SourceView:
        """Open the source of pipeline `name` to be compared, and to repair what differs."""
        ...


@runtime_checkable
class ComparableSink(Protocol):
    """A Sink that holds current rows which can be compared with a source's."""

    shared: ClassVar[bool]
    """Other processes can open the target while a pipeline writes to it."""

    def view(self, name: str) -> TargetView:
        """Open the target of pipeline `name`; `Retryable` while another process has it for itself."""
        ...

    def image(self) -> Image | None:
        """What digests rows as the target does; None when a source of the same product does so by itself."""
        ...
