"""Two databases, and a pipeline from each to the other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from tailrace.model import Finding
from tailrace.pipeline import Pipeline
from tailrace.sink.postgres import Existing
from tailrace.sink.postgres import Postgres as Sink
from tailrace.source import Postgres as Source


@dataclass(frozen=True, slots=True)
class Pair:
    """Two databases with the same table, and a role of either side that is no superuser."""

    left: psycopg.Connection[Any]
    right: psycopg.Connection[Any]
    urls: tuple[str, str]
    role: str
    folder: Path

    def there(self, *, user: str | None = None, **source: Any) -> Pipeline:
        """From the left, read as `user`, to the right."""
        return self._make("there", self.urls, reader=user, **source)

    def back(self, *, user: str | None = None, **source: Any) -> Pipeline:
        """From the right to the left, written as `user`."""
        return self._make("back", self.urls[::-1], writer=user, **source)

    def _make(
        self, name: str, urls: tuple[str, ...], *, reader: str | None = None, writer: str | None = None, **source: Any
    ) -> Pipeline:
        here, target = (
            make_conninfo(url, **({"user": user} if user else {}))
            for url, user in zip(urls, (reader, writer), strict=True)
        )
        slot = f"{name}_{self.role}"
        options: dict[str, Any] = {"tables": ["public.notes"], "snapshot": "never", **source}
        reading = Source(url=here, origin="none", slot=slot, publication=slot, **options)
        return Pipeline(reading, Sink(target, existing=Existing.APPEND), name=name, state_dir=self.folder)

    def grant(self, finding: Finding) -> None:
        """Do at the left what a finding says."""
        assert finding.fix is not None
        self.left.execute(finding.fix.encode())
