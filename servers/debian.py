"""Programs and libraries out of Debian's packages, unpacked beside the other servers. Never installs into the system.

root = debian.install("faketime", ["libfaketime"])
preload = debian.libraries(root) / "faketime" / "libfaketime.so.1"
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from servers import artifact
from servers.artifact import Unavailable


def install(name: str, packages: Sequence[str]) -> Path:
    """The folder `name` with what those packages hold, downloaded the first time; what they depend on is not fetched.

    Raises `Unavailable` on a system without apt-get, or when a package cannot be had.
    """
    target = artifact.cache() / name
    with artifact.locked(target.with_suffix(".lock")):
        if not target.exists():
            _unpack(packages, target)
    return target


def libraries(root: Path) -> Path:
    """Where the shared libraries of an unpacked package lie."""
    return root / "usr" / "lib" / f"{platform.machine()}-linux-gnu"


def _unpack(packages: Sequence[str], target: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise Unavailable(f"{target.name} comes from Debian's packages, and this system has no apt-get")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f"{target.name}-") as scratch:
        filled = Path(scratch, "filled")
        _download(packages, Path(scratch), target.name)
        for package in Path(scratch).glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", str(package), str(filled)], check=True)
        filled.chmod(0o755)
        filled.rename(target)


def _download(packages: Sequence[str], folder: Path, name: str) -> None:
    download = ["apt-get", "download", *packages]
    got = subprocess.run(download, cwd=folder, capture_output=True, text=True, check=False)
    if got.returncode != 0 and os.geteuid() == 0:  # a fresh system has no list of packages, or an old one
        subprocess.run(["apt-get", "update"], capture_output=True, check=False)
        got = subprocess.run(download, cwd=folder, capture_output=True, text=True, check=False)
    if got.returncode != 0:
        raise Unavailable(f"{name} cannot be downloaded: {(got.stderr.strip().splitlines() or ['?'])[-1]}")
