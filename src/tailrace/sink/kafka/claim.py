"""Values that no broker takes, kept in a folder or a bucket: the message says where (a claim check). Never removes
one."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tailrace import durable
from tailrace.dialect.kafka import claim
from tailrace.dialect.kafka.objects import Objects

__all__ = ["ClaimCheck"]

Headers = list[tuple[str, bytes]]


class ClaimCheck:
    """Stores large values under their own digest, so that one that comes again takes no more room."""

    def __init__(self, place: Path | Objects) -> None:
        self._place = place
        if isinstance(place, Path):
            durable.make_folder(place)

    def store(self, value: bytes, headers: Headers | None) -> tuple[bytes, Headers]:
        """Make `value` durable; returns what goes to the topic in its place: a small JSON document, and its headers."""
        digest = hashlib.sha256(value).hexdigest()
        uri = self._keep(digest, value)
        return claim.said(uri, nbytes=len(value), digest=digest), [*(headers or []), (claim.HEADER, uri.encode())]

    def _keep(self, digest: str, value: bytes) -> str:
        if isinstance(self._place, Objects):
            return self._place.put(digest, value)
        path = self._place / digest
        if not path.exists():
            durable.replace(path, value)
        return path.absolute().as_uri()
