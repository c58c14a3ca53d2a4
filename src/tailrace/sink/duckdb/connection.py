"""Opens a DuckDB file and says in our words what DuckDB's errors mean. Never lets a row value into a message."""

from __future__ import annotations

import contextlib
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tailrace.durable import storage
from tailrace.error import ConfigError, Fatal, Retryable, TailraceError
from tailrace.sink.duckdb.constraint import Broken, describe
from tailrace.sink.duckdb.sql import literal

if TYPE_CHECKING:
    import duckdb

__all__ = ["connect", "connect_beside", "connect_to_read", "explained"]

_NO_MEMORY = re.compile(r"(?:allocate|pin|offload)\b.*\bused\)")
"""What DuckDB says, whatever it calls the error: at a commit it is a TransactionException."""


def connect(path: Path, *, memory_limit: str, threads: int) -> duckdb.DuckDBPyConnection:
    """Open the file, alone (DuckDB locks it), and bound what DuckDB may use; one that is not there is made private.

    `Retryable` while another process has it, `ConfigError` without the package or for settings DuckDB does not know.
    """
    _require_package()
    import duckdb

    fresh = not path.exists()
    with explained(path):
        connection = duckdb.connect(str(path))
    try:
        if fresh:  # before a row is in it: DuckDB makes files by the umask, and takes none that is empty
            with storage("protect", path):
                path.chmod(0o600)
        # Set one by one: a file that this process has open already (a second pipeline) refuses another configuration.
        connection.execute(f"SET memory_limit = {literal(memory_limit)}")
        connection.execute(f"SET threads = {threads}")
        connection.execute("SET preserve_insertion_order = false")
        connection.execute("SET autoinstall_known_extensions = false")
    except duckdb.Error as error:
        connection.close()
        raise ConfigError(f"{path}: {_first_line(error)}", hint='memory_limit is, for example, "512MB"') from None
    return connection


def connect_to_read(path: Path) -> duckdb.DuckDBPyConnection:
    """Open the file without changing it; `Retryable` while another process may write it."""
    _require_package()
    import duckdb

    with explained(path):
        return duckdb.connect(str(path), read_only=True)


def connect_beside(path: Path) -> duckdb.DuckDBPyConnection:
    """Another session on the file, to read: on the database that this process has open already, if it has.

    Without one the file is opened as a writer would, since a pipeline of this process may start beside it; `Retryable`
    while another process has it.
    """
    _require_package()
    import duckdb

    with explained(path):
        return duckdb.connect(str(path))


def _require_package() -> None:
    if importlib.util.find_spec("duckdb") is None:
        raise ConfigError(
            "the DuckDB sink needs a package that is not installed", hint="pip install 'tailrace[duckdb]'"
        )


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn DuckDB's errors of the block into ours, and what it makes of a Ctrl-C into a KeyboardInterrupt again."""
    import duckdb

    try:
        yield
    except (duckdb.Error, RuntimeError) as error:
        if str(error) == "Query interrupted" or "KeyboardInterrupt" in str(error):
            raise KeyboardInterrupt from None
        if not isinstance(error, duckdb.Error):
            raise
        raise _explain(error, path) from None


def _explain(error: duckdb.Error, path: Path) -> TailraceError:
    import duckdb

    line = _first_line(error)
    if isinstance(error, duckdb.OutOfMemoryException) or _NO_MEMORY.search(line):
        return Fatal(f"DuckDB ran out of its memory limit on {path}", hint="give the sink a larger memory_limit")
    if isinstance(error, duckdb.IOException | duckdb.TransactionException | duckdb.FatalException) and _is_full(line):
        return Retryable(
            f"cannot write {path}: the disk is full", hint="free some space; the saved position has not moved"
        )
    if isinstance(error, duckdb.IOException):
        return _explain_io(line, path)
    if isinstance(error, duckdb.FatalException):
        return Retryable(
            f"DuckDB gave up on {path} and must open it again", hint="look for the cause in the lines before"
        )
    if isinstance(error, duckdb.InterruptException):
        return Retryable(f"a statement on {path} was broken off for a stop", hint="its batch comes again")
    if isinstance(error, duckdb.ConnectionException):
        return ConfigError(f"cannot open {path}: {line}", hint="open it with the same settings in this process")
    if isinstance(error, duckdb.TransactionException):
        return Retryable(f"DuckDB could not commit to {path}: {line}", hint="another writer of this process was first")
    if isinstance(error, duckdb.BinderException | duckdb.CatalogException | duckdb.DependencyException):
        return Fatal(f"DuckDB refused a statement on {path}: {line}", hint="compare the target table with its source")
    if isinstance(error, duckdb.ConstraintException):
        return Broken(
            f"DuckDB refused rows for {path}: {describe(line)}",
            hint="compare the constraints of the target table with its source",
        )
    # What is left (conversion, range) would name values of rows.
    kind = Broken if isinstance(error, duckdb.DataError | duckdb.InvalidInputException) else Fatal
    return kind(
        f"DuckDB refused rows for {path}: {type(error).__name__}",
        hint="compare the types of the target table with its source",
    )


def _explain_io(line: str, path: Path) -> TailraceError:
    if "Could not set lock" in line:
        holder = line.partition("(PID ")[2].partition(")")[0]
        by = f" by process {holder}" if holder else ""
        return Retryable(
            f"{path} is in use{by}: DuckDB lets one process at a time write", hint="stop the other process"
        )
    if "No space left" in line or "File too large" in line or "quota" in line.lower():
        return Retryable(
            f"cannot write {path}: the disk is full", hint="free some space; the saved position has not moved"
        )
    if "Is a directory" in line and path.is_dir():
        return Fatal(f"{path} is a folder", hint="give the path of a database, or of a file to create")
    if "not a valid DuckDB" in line:
        return Fatal(f"{path} is not a DuckDB database", hint="give the path of a database, or of a file to create")
    return Retryable(f"DuckDB cannot read or write {path}: {line}", hint="check the disk, and who may write there")


def _is_full(line: str) -> bool:
    return any(words in line for words in ("No space left", "File too large", "quota exceeded"))


def _first_line(error: duckdb.Error) -> str:
    return str(error).partition("\n")[0]
