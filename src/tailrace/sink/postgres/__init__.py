"""Keeps tables in a PostgreSQL database equal to their sources, exactly once. Never reads what others wrote there.

Whole transactions of the source are applied in order, so that what holds there between tables holds here at every
moment. The position lies in `tailrace.position` and moves in the transaction of the rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import ClassVar

from tailrace.dialect.postgres.session import connect, parse
from tailrace.model import Finding, Limits, Position
from tailrace.sink.postgres.ledger import saved
from tailrace.sink.postgres.writer import PostgresWriter

__all__ = ["Postgres"]

tailrace_contract = 1


@dataclass(frozen=True, slots=True)
class Postgres:
    """A PostgreSQL database, 14 to 18, as a replica. `url` is a libpq URI or conninfo string."""

    url: str = field(repr=False)

    kind: ClassVar[str] = "postgres"
    transactional: ClassVar[bool] = True
    table_like: ClassVar[bool] = True
    truncate: ClassVar[bool] = True

    def __post_init__(self) -> None:
        parse(self.url)

    def check(self) -> list[Finding]:
        """What the target lacks, each with the statement that mends it."""
        return []

    def saved(self, name: str) -> Mapping[str, Position | None]:
        """See `Remembering.saved`."""
        with closing(connect(self.url)) as connection:
            return saved(connection, name)

    def open(self, name: str, limits: Limits) -> PostgresWriter:
        """Open the target for pipeline `name`."""
        return PostgresWriter(self.url, name)
