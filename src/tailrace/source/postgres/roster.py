"""Says at once what a publication does not send any more. Changes nothing, and never asks the server itself.

The server does not tell a reader when a table is taken out of a publication: its changes just stop coming. So what is
published is looked at now and then (`Measure` asks), and compared with what it was when the source was opened.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence

from psycopg import sql

from tailrace.dialect.postgres.session import statement_text
from tailrace.source.postgres import pattern

__all__ = ["Roster"]

_log = logging.getLogger("tailrace.source.postgres")
_MISSED = "then `tailrace verify --repair` for what was missed"


class Roster:
    """What publication `name` sends of the tables that `globs` mean; all of them, if None."""

    def __init__(self, name: str, globs: Sequence[str] | None) -> None:
        self.name = name
        self._globs = globs
        self._tables: dict[str, tuple[str, str, str | None]] | None = None
        self._operations: frozenset[str] = frozenset()

    def look(self, answer: str) -> None:
        """Warn of what is missing compared with the look before; the first one only sets the mark."""
        found = json.loads(answer)
        tables = {
            oid: (schema, table, row_filter)
            for oid, (schema, table, row_filter) in found["tables"].items()
            if self._globs is None or pattern.matches(f"{schema}.{table}", self._globs)
        }
        operations = frozenset(found["operations"])
        if self._tables is not None:
            self._compare_tables(self._tables, tables)
            for name in sorted(self._operations - operations):
                _log.warning(
                    "publication %s sends no %s any more: what it does at the source is missed", self.name, name
                )
        self._tables, self._operations = tables, operations

    def _compare_tables(
        self, before: dict[str, tuple[str, str, str | None]], now: dict[str, tuple[str, str, str | None]]
    ) -> None:
        for oid, (schema, table, row_filter) in before.items():
            if oid not in now:
                statement = sql.SQL("ALTER PUBLICATION {} ADD TABLE {}").format(
                    sql.Identifier(self.name), sql.Identifier(schema, table)
                )
                _log.warning(
                    "%s.%s is not in publication %s any more (taken out, or dropped): its changes do not come; to get"
                    " them again: %s, %s",
                    schema, table, self.name, statement_text(statement), _MISSED,
                )  # fmt: skip
            elif now[oid][2] != row_filter:
                _log.warning(
                    "the row filter of %s.%s in publication %s was changed: rows that it takes in or leaves out are"
                    " told only when they change, %s",
                    schema, table, self.name, _MISSED,
                )  # fmt: skip
