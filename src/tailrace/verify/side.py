"""The source's half of a comparison: rows digested by its server, or read, transformed and digested as a target would.

Never touches the target.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from tailrace.comparison import Checksum, Compared, Image, Key, SourceLook, SourceView, Span
from tailrace.contract import Transform
from tailrace.model import Batch
from tailrace.verify.shape import through

__all__ = ["Direct", "Side", "Written"]


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

    def __init__(self, source: SourceView) -> None:
        self._source = source

    def checksum(self, what: Compared, span: Span) -> Checksum:
        """See `Side.checksum`."""
        return self._source.checksum(what, span)

    def digests(self, what: Compared, span: Span) -> Sequence[tuple[Key, str]]:
        """See `Side.digests`."""
        return self._source.digests(what, span)

    def look(self, what: Compared, keys: Sequence[Key]) -> SourceLook:
        """See `Side.look`."""
        return self._source.look(what.table, keys, what=what)


class Written:
    """Rows are read, go through the pipeline's transforms, and are digested as if they had been written."""

    def __init__(self, source: SourceView, image: Image, transforms: Sequence[Transform]) -> None:
        self._source = source
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
        look = self._source.look(what.table, keys)
        assert look.rows is not None
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
        for batch in self._source.rows(what.table, span, binary=binary):
            yield through(self._transforms, batch)
