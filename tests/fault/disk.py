"""A disk that is full when a test wants it: a tmpfs of a few megabytes. Only root may mount one."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

from servers.artifact import Unavailable


def mountable() -> None:
    """Raises `Unavailable` unless this process may mount a disk."""
    if os.geteuid() != 0:
        raise Unavailable("only root may mount a tmpfs")


class Disk:
    """A file system of its own, at `path`."""

    def __init__(self, path: Path, size: str) -> None:
        self.path = path
        self._ballast = path / "ballast"
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=1777", "tmpfs", path], check=True)

    def fill(self) -> None:
        """Leave no room."""
        ballast = os.open(self._ballast, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        with contextlib.suppress(OSError):
            while True:
                os.write(ballast, bytes(4096))
        os.close(ballast)

    def clear(self) -> None:
        """Make room again."""
        self._ballast.unlink()

    def close(self) -> None:
        """Unmount it."""
        subprocess.run(["umount", "-l", self.path], check=True)
