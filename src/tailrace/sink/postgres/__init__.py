"""Keeps tables in a PostgreSQL database equal to their sources, exactly once. Never reads what others wrote there.

Whole transactions of the source are applied in order, so that what holds there between tables holds here at every
moment. The position lies in `tailrace.position` and moves in the transaction of the rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import ClassVar

from tailrace.dialect.postgres.session import Login, connect
from tailrace.error import ConfigError
from tailrace.model import Carried, Counter, Existing, Finding, Limits, Position, Table
from tailrace.sink.postgres.check import check, check_tables
from tailrace.sink.postgres.ledger import saved
from tailrace.sink.postgres.sequence import carry
from tailrace.sink.postgres.target import Placing
from tailrace.sink.postgres.view import PostgresView
from tailrace.sink.postgres.writer import PostgresWriter

__all__ = ["Existing", "Postgres"]

tailrace_contract = 1


@dataclass(frozen=True, slots=True)
class Postgres:
    """A PostgreSQL database, 14 to 18, as a replica: rows and position in one transaction, exactly once.

    `url` is a libpq URI or conninfo string. Tables are made when they are missing, and follow the source's columns.

    `schema` maps a schema of the source to one of the target; others keep their names (tables and columns are renamed
    by the transform `rename`). `constants` are columns that the target has besides, with the value that all rows of
    this pipeline have in them: a tenant, where several sources share a table. They are part of the key. `existing` says
    what to do with a table that holds rows which this pipeline did not write (and which have its constants).
    `password_command` is run at every connection, without a shell; the one line that it prints is the password.
    """

    url: str = field(repr=False)
    schema: Mapping[str, str] | None = None
    constants: Mapping[str, str] | None = None
    existing: Existing = Existing.REFUSE
    password_command: str | None = field(default=None, repr=False)

    kind: ClassVar[str] = "postgres"
    transactional: ClassVar[bool] = True
    table_like: ClassVar[bool] = True
    truncate: ClassVar[bool] = True
    shared: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _ = self.login
        if self.existing not in tuple(Existing):
            names = ", ".join(f'"{value}"' for value in Existing)
            raise ConfigError(f"sink.existing is {str(self.existing)!r}", hint=f"it can be {names}")

    def check(self) -> list[Finding]:
        """See `Sink.check`: what concerns the server and the role."""
        return check(self.login)

    def check_tables(self, name: str, tables: Sequence[Table]) -> list[Finding]:
        """See `Receiving.check_tables`."""
        return check_tables(self.login, name, self._placing(), tables=tables)

    def saved(self, name: str) -> Mapping[str, Position | None]:
        """See `Remembering.saved`."""
        with closing(connect(self.login)) as connection:
            return saved(connection, name)

    def view(self, name: str) -> PostgresView:
        """See `ComparableSink.view`."""
        return PostgresView(self.login, name, self._placing())

    def image(self) -> None:
        """See `ComparableSink.image`: another PostgreSQL server digests rows as this one does."""
        return

    def open(self, name: str, limits: Limits) -> PostgresWriter:
        """Open the target for pipeline `name`."""
        return PostgresWriter(self.login, name, placing=self._placing())

    def set_sequences(self, counters: Sequence[Counter], *, margin: int) -> list[Carried]:
        """See `Continuing.set_sequences`."""
        with connect(self.login) as connection:
            return carry(connection, counters, schemas=self.schema or {}, margin=margin)

    @property
    def login(self) -> Login:
        """Where to connect, and how the password is come by; `ConfigError` when that contradicts itself."""
        return Login(self.url, self.password_command)

    def _placing(self) -> Placing:
        return Placing(self.schema or {}, self.constants or {}, str(self.existing))
