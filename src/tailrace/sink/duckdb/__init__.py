"""Keeps tables in a DuckDB file equal to their sources, exactly once. Never reads what others wrote beside them.

Tables with a key hold the current rows; tables without one are a log of changes with `_op`, `_position` and
`_committed_at`. The position lies in `_tailrace.positions` and moves in the transaction of the rows.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tailrace.durable import obstacles, require_file
from tailrace.error import CheckFailed, ConfigError
from tailrace.model import Existing, Finding, Limits, Position, Severity, Table
from tailrace.sink.duckdb.ledger import saved
from tailrace.sink.duckdb.target import check_names, check_places
from tailrace.sink.duckdb.view import DuckDBImage, DuckDBView
from tailrace.sink.duckdb.writer import DuckDBWriter

__all__ = ["DuckDB", "Existing"]

tailrace_contract = 1


@dataclass(frozen=True, slots=True)
class DuckDB:
    """A DuckDB database file at `path`, made when it is missing: rows and position in one transaction, exactly once.

    `schema` maps a schema of the source to one of the target; others keep their names. A table with a key has the
    current rows, one without is a log of changes. `existing` says what to do with a table that holds rows which this
    pipeline did not write. `memory_limit` (DuckDB's spelling, such as "1GB") and `threads` bound DuckDB itself; it
    spills beside the file. `Retryable` while another process has the file open.
    """

    path: str | Path
    schema: Mapping[str, str] | None = None
    existing: Existing = Existing.REFUSE
    memory_limit: str = "256MB"
    threads: int = 1

    kind: ClassVar[str] = "duckdb"
    transactional: ClassVar[bool] = True
    table_like: ClassVar[bool] = True
    truncate: ClassVar[bool] = True
    shared: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.existing not in tuple(Existing):
            names = ", ".join(f'"{value}"' for value in Existing)
            raise ConfigError(f"sink.existing is {str(self.existing)!r}", hint=f"it can be {names}")
        if self.threads < 1:
            raise ConfigError(f"sink.threads is {self.threads}", hint="give 1 or more")
        if str(self.path) in {"", ":memory:"}:
            raise ConfigError(
                "the DuckDB sink needs a file: a database in memory would lose the position", hint="give a path"
            )
        require_file(self.path)

    def check(self) -> list[Finding]:
        """Whether the package is installed and the file can be written."""
        findings = obstacles(Path(self.path))
        if importlib.util.find_spec("duckdb") is None:
            findings.append(Finding(Severity.ERROR, "duckdb", "it is not installed", "pip install 'tailrace[duckdb]'"))
        return findings or [Finding(Severity.OK, str(self.path), "it can be written")]

    def check_tables(self, name: str, tables: Sequence[Table]) -> list[Finding]:
        """See `Receiving.check_tables`: names that DuckDB takes for one another. The file is not opened."""
        findings = list(check_places(tables, self.schema or {}))
        for table in tables:
            try:
                check_names(table)
            except CheckFailed as error:
                findings.append(Finding(Severity.ERROR, f"table {table}", str(error.args[0]), error.hint))
        return findings or [Finding(Severity.OK, str(self.path), f"can hold {len(tables)} table(s)")]

    def saved(self, name: str) -> Mapping[str, Position | None]:
        """See `Remembering.saved`; `Retryable` while a process has the file open to write."""
        return saved(Path(self.path), name) if Path(self.path).exists() else {}

    def view(self, name: str) -> DuckDBView:
        """See `ComparableSink.view`."""
        return DuckDBView(Path(self.path), name, self.schema or {})

    def image(self) -> DuckDBImage:
        """See `ComparableSink.image`."""
        return DuckDBImage(self.memory_limit)

    def open(self, name: str, limits: Limits) -> DuckDBWriter:
        """Open the file for pipeline `name`; `Retryable` while another process has it (DuckDB's own lock)."""
        return DuckDBWriter(
            Path(self.path),
            name,
            schemas=self.schema or {},
            existing=str(self.existing),
            memory_limit=self.memory_limit,
            threads=self.threads,
            stop_timeout_s=limits.stop_timeout_s,
        )
