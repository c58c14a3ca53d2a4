"""The halves of a comparison, each at its pace. The source's rows are digested by its server, or read, transformed and
digested as a target would; the target digests its own.

Rows are read here and nowhere else, so that none is read that is not paid for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from tailrace.comparison import (
    Checksum,
    Compared,
    Image,
    Key,
    Mirror,
    SourceLook,
    SourceView,
    Span,
    TargetLook,
    TargetView,
)
from tailrace.contract import Transform
from tailrace.model import Batch
from tailrace.verify.pace import Pace
from tailrace.verify.shape import through

__all__ = ["Direct", "Held", "Side", "Written"]


class Side(Protocol):
    """What is compared with the target's side."""

    def checksum(self, what: Compared, span: Span) -> Checksum:
        """Of the source's rows in `span`."""
        ...

    def digests(self, what: Compared, span: Span) -> Sequence[tuple[Key, str]]:
        """Key and digest of each of the source's rows in `span`."""
        ...

    def look(self, what: Compared, keys: Sequence[Key]) -> SourceLook:
        """These rows in one snapshot, digested."""
        ...


class Direct:
    """The source's server digests its rows as the target's does."""

    def __init__(self, source: SourceView, pace: Pace) -> None:
        self._source = source
        self._pace = pace

    def checksum(self, what: Compared, span: Span) -> Checksum:
        """See `Side.checksum`."""
        self._pace.wait()
        found = self._source.checksum(what, span)
        self._pace.spend(found.rows)
        return found

    def digests(self, what: Compared, span: Span) -> Sequence[tuple[Key, str]]:
        """See `Side.digests`."""
        self._pace.wait()
        found = self._source.digests(what, span)
        self._pace.spend(len(found))
        return found

    def look(self, what: Compared, keys: Sequence[Key]) -> SourceLook:
        """See `Side.look`."""
        self._pace.wait()
        look = self._source.look(what.table, keys, what=what)
        self._pace.spend(len(keys))
        return look


class Written:
    """Rows are read, go through the pipeline's transforms, and are digested as if they had been written."""

    def __init__(self, source: SourceView, pace: Pace, *, image: Image, transforms: Sequence[Transform]) -> None:
        self._source = source
        self._pace = pace
        self._image = image
        self._transforms = transforms

    def checksum(self, what: Compared, span: Span) -> Checksum:
        """See `Side.checksum`."""
        return self._image.checksum(what.mirror, self._rows(what, span))

    def digests(self, what: Compared, span: Span) -> Sequence[tuple[Key, str]]:
        """See `Side.digests`."""
        return self._image.digests(what.mirror, self._rows(what, span))

    def look(self, what: Compared, keys: Sequence[Key]) -> SourceLook:
        """See `Side.look`. `keys` are spelled as the target spells them."""
        self._pace.wait()
        look = self._source.look(what.table, keys)
        assert look.rows is not None
        self._pace.spend(len(keys) + len(look.rows))  # found by key for their versions, and read for their cells
        written = iter([through(self._transforms, look.rows)])
        digests = dict(self._image.digests(what.mirror, written))
        seen = tuple(
            replace(row, digest=digests[key]) if row is not None and key in digests else None
            for key, row in zip(keys, look.seen, strict=True)
        )
        return replace(look, seen=seen, rows=None)

    def _rows(self, what: Compared, span: Span) -> Iterator[Batch]:
        sources = {field.name: field.source for field in what.mirror.shape.fields}
        binary = [sources[name] for name in what.mirror.binary]
        self._pace.wait()
        read = 0
        for batch in self._source.rows(what.table, span, binary=binary):
            read += len(batch)
            yield through(self._transforms, batch)
        self._pace.spend(read)


class Held:
    """The target's half: what it holds, digested by itself."""

    def __init__(self, target: TargetView, pace: Pace) -> None:
        self._target = target
        self._pace = pace

    def checksum(self, mirror: Mirror, span: Span) -> Checksum:
        """See `TargetView.checksum`."""
        self._pace.wait()
        found = self._target.checksum(mirror, span)
        self._pace.spend(found.rows)
        return found

    def digests(self, mirror: Mirror, span: Span) -> Sequence[tuple[Key, str]]:
        """See `TargetView.digests`."""
        self._pace.wait()
        found = self._target.digests(mirror, span)
        self._pace.spend(len(found))
        return found

    def look(self, mirror: Mirror, keys: Sequence[Key]) -> TargetLook:
        """See `TargetView.look`; where the target stands costs nothing."""
        if keys:
            self._pace.wait()
        look = self._target.look(mirror, keys)
        self._pace.spend(len(keys))
        return look
