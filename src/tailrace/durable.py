"""Files that survive a crash: atomic replacement, durable appends, locks. Never interprets what it stores."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from tailrace.error import ConfigError, Fatal, Retryable, TailraceError
from tailrace.model import Finding, Severity

__all__ = [
    "FULL",
    "Lock",
    "hold_to",
    "make_folder",
    "obstacles",
    "replace",
    "require_file",
    "require_there",
    "storage",
    "sync_folder",
    "watch",
]

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Errors of a disk, a quota or a file that is full: they pass."""


@contextlib.contextmanager
def storage(doing: str, path: Path) -> Iterator[None]:
    """Name the file in every OSError of the block: `Retryable` when space ran out, else `Fatal`."""
    try:
        yield
    except OSError as error:
        raise _explain(error, doing, path) from error


def _explain(error: OSError, doing: str, path: Path) -> TailraceError:
    reason = error.strerror or type(error).__name__
    message = f"cannot {doing} {path}: {reason}"
    if error.errno in FULL:
        return Retryable(message, hint="free some space or raise the quota; the saved position has not moved")
    return Fatal(message, hint="check the path, its owner and its permissions")


def make_folder(folder: Path) -> None:
    """Create `folder` and its parents, private to this user, when missing; durable on return."""
    with storage("create the folder", folder):
        missing = list(itertools.takewhile(lambda each: not each.exists(), (folder, *folder.parents)))
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for each in missing:
            sync_folder(each.parent)


def obstacles(path: Path) -> list[Finding]:
    """Why the file `path` could not be written, or be made together with its folders. Looks only; makes nothing."""
    whole = path.absolute()
    folder = next((parent for parent in whole.parents if os.path.lexists(parent)), whole)  # the root has none
    found = []
    if not folder.is_dir():
        found.append(Finding(Severity.ERROR, str(folder), "it is not a folder"))
    elif os.statvfs(folder).f_flag & os.ST_RDONLY:
        found.append(Finding(Severity.ERROR, str(folder), "its file system is mounted read-only"))
    elif not os.access(folder, os.W_OK | os.X_OK):
        found.append(Finding(Severity.ERROR, str(folder), "this user may not write here", f"chmod u+wx '{folder}'"))
    if os.access(path, os.F_OK) and not path.is_file():
        found.append(Finding(Severity.ERROR, str(path), "it is not a regular file"))
    elif os.access(path, os.F_OK) and not os.access(path, os.R_OK | os.W_OK):
        found.append(Finding(Severity.ERROR, str(path), "this user may not read and write it", f"chmod u+rw '{path}'"))
    return found


def require_file(path: str | Path) -> None:
    """`ConfigError` for a path that is a folder's whatever lies there: nothing can be named beside it."""
    if Path(path).name in {"", ".."}:
        raise ConfigError(f"path is {str(path)!r}: that is a folder", hint="give the path of a file")


def sync_folder(folder: Path) -> None:
    """Make the entries of `folder` (creations, renames, removals) durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace(path: Path, content: bytes, *, previous: Path | None = None) -> None:
    """Put `content` at `path`, whole or not at all, durable on return, mode 0600; keep the old file as `previous`."""
    fresh = path.with_name(path.name + ".new")
    with storage("write", path):
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise
        finally:
            os.close(descriptor)
        if previous is not None and path.exists():
            _keep(path, previous)
        fresh.replace(path)
        sync_folder(path.parent)


def _keep(path: Path, previous: Path) -> None:
    """`previous` becomes a second name of the old file, so that at no instant `path` is missing."""
    link = previous.with_name(previous.name + ".new")
    with contextlib.suppress(FileNotFoundError):
        link.unlink()
    link.hardlink_to(path)
    link.replace(previous)


def watch(path: Path) -> int:
    """A descriptor by which `require_there` knows the file that is at `path` now.

    It can neither read nor write: where one that can is closed, the process's locks on the file go, and with them those
    of a library that writes it.
    """
    with storage("open", path):
        return os.open(path, os.O_PATH | os.O_CLOEXEC)


def require_there(path: Path, descriptor: int, *, hint: str) -> None:
    """`Fatal` where another program moved, removed or replaced the file at `path` since `watch`."""
    there, held = _look(path, descriptor)
    # Some network file systems give an open file another number. The length of a database says little.
    if there is None or not (
        os.path.samestat(there, held) or (there.st_size, there.st_mtime_ns) == (held.st_size, held.st_mtime_ns)
    ):
        raise _taken(path, hint)


def hold_to(path: Path, descriptor: int, nbytes: int, *, hint: str) -> None:
    """`Fatal` where another program moved, removed or cut the file at `path`, of which `nbytes` count: what is written
    to `descriptor` is lost with it. What it wrote behind them is cut, as it is when the file is opened.

    Ask before a write, which must not come into another's file, and behind it, before what was written counts.
    """
    there, held = _look(path, descriptor)
    # Some network file systems give an open file another number: of the same length it is taken for the same. An empty
    # file, or a copy, that took its place before the write is not so long behind it.
    if there is None or not (os.path.samestat(there, held) or there.st_size == held.st_size):
        raise _taken(path, hint)
    if held.st_size < nbytes:
        raise Fatal(f"{path} has {held.st_size} bytes, but {nbytes} were written: another program cut it", hint=hint)
    if held.st_size > nbytes:
        with storage("cut", path):
            os.ftruncate(descriptor, nbytes)


def _look(path: Path, descriptor: int) -> tuple[os.stat_result | None, os.stat_result]:
    """What is at `path` now, and what is open."""
    with storage("look at", path):
        held = os.fstat(descriptor)
        try:
            return path.stat(), held
        except FileNotFoundError:
            return None, held


def _taken(path: Path, hint: str) -> Fatal:
    return Fatal(f"{path} was moved, removed or replaced while the pipeline wrote to it", hint=hint)


class Lock:
    """An exclusive lock that the operating system drops when the process dies; `Retryable` while another holds it.

    A process that is forked off, such as a worker of a pool that a handler has, does not hold it: it may live on.
    """

    def __init__(self, path: Path, what: str) -> None:
        """Take the lock file at `path` at once or raise; `what` names in messages what it guards."""
        make_folder(path.parent)
        with storage("open the lock", path):
            self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        _open.add(self)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            self.close()
            raise Retryable(
                f"{what} is in use by process {owner}", hint=f"stop that process, or wait; the lock is {path}"
            ) from None
        with contextlib.suppress(OSError):  # only a courtesy to whoever is refused; a full disk must not matter here
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Let go; closing twice is harmless (I12). The file stays: removing it would race with the next owner."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Lock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


_open: weakref.WeakSet[Lock] = weakref.WeakSet()


def _let_go() -> None:
    for lock in list(_open):
        lock.close()


os.register_at_fork(after_in_child=_let_go)
