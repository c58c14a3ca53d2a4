"""The seam to formats: what a batch becomes on the wire. Never sends anything, never names topics of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from tailrace.model import Batch

__all__ = ["Record", "Records", "Wire"]

Record = tuple[str, bytes | None, bytes | None, list[tuple[str, bytes]] | None]
"""Topic as Debezium would call it, value (None: a tombstone), key, headers."""


class Records(Protocol):
    """The records of one segment, in order; `_native.Encoded` is one."""

    @property
    def largest(self) -> int:
        """Bytes of key, value and headers of the largest record."""
        ...

    def messages(self) -> Sequence[Record]:
        """Every record."""
        ...

    def change(self, index: int) -> int:
        """Index in the batch of the change that record `index` belongs to."""
        ...

    @property
    def routed(self) -> bool:
        """The partition of some record was chosen already."""
        ...

    def partition(self, index: int) -> int | None:
        """The partition that was chosen for a record; None leaves it to the partitioner."""
        ...


class Wire(Protocol):
    """Encodes batches; kept as long as the writer, for its plans and schema ids. `tailrace.format.Encoder` is one."""

    def encode(self, batch: Batch) -> Iterator[Records]:
        """One `Records` a segment; `Reject` for changes that cannot be encoded, `Retryable` when a registry is down."""
        ...

    def close(self) -> None:
        """Close connections to registries. Idempotent."""
        ...
