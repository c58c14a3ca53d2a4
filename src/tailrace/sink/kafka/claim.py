"""Values that no broker takes, kept in a folder: the message says where (a claim check). Never removes one."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tailrace import durable
from tailrace.dialect.kafka import claim

__all__ = ["ClaimCheck"]

Headers = list[tuple[str, bytes]]


class ClaimCheck:
    """Stores large values under their own digest, so that one that comes again takes no more room."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        durable.make_folder(folder)

    def store(self, value: bytes, headers: Headers | None) -> tuple[bytes, Headers]:
        """Make `value` durable; returns what goes to the topic in its place: a small JSON document, and its headers."""
        digest = hashlib.sha256(value).hexdigest()
        path = self._folder / digest
        if not path.exists():
            durable.replace(path, value)
        uri = path.absolute().as_uri()
        return claim.said(uri, nbytes=len(value), digest=digest), [*(headers or []), (claim.HEADER, uri.encode())]
