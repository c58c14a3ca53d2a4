"""Programs and libraries out of Debian's packages, unpacked beside the other servers. Never installs into the system.

root = debian.install("faketime", ["libfaketime"])
preload = debian.libraries(root) / "faketime" / "libfaketime.so.1"

Where the system has no lists of packages, or old ones, we fetch our own, from where it would, beside what is unpacked;
its keys check them. Any user may.
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


def environment(root: Path) -> dict[str, str]:
    """Ours, with which a program of an unpacked package finds the shared libraries that came with it."""
    folder = Path("lib", f"{platform.machine()}-linux-gnu")
    return {**os.environ, "LD_LIBRARY_PATH": f"{root / 'usr' / folder}:{root / folder}"}


def _unpack(packages: Sequence[str], target: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise Unavailable(f"{target.name} comes from Debian's packages, and this system has no apt-get: install it")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f"{target.name}-") as scratch:
        filled = Path(scratch, "filled")
        _download(packages, Path(scratch), target.name)
        for package in Path(scratch).glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", str(package), str(filled)], check=True)
        _turn_inwards(filled)
        filled.chmod(0o755)
        filled.rename(target)


def _download(packages: Sequence[str], folder: Path, name: str) -> None:
    got = _apt_get(folder, "download", *packages)
    if got.returncode != 0:  # a fresh system has no lists of packages, or old ones
        own = artifact.cache() / "apt"
        options = [f"Dir::State::Lists={own / 'lists'}", f"Dir::Cache={own / 'cache'}", "Acquire::Languages=none"]
        with artifact.locked(own.with_suffix(".lock")):
            for each in (own / "lists" / "partial", own / "cache" / "archives" / "partial"):
                each.mkdir(parents=True, exist_ok=True)
            said = ""
            got = _apt_get(folder, "download", *packages, options=options)
            if got.returncode != 0:
                said = _apt_get(folder, "update", options=options).stderr
                got = _apt_get(folder, "download", *packages, options=options)
        if got.returncode != 0:
            wrong = [line for line in (said + got.stderr).splitlines() if line.startswith("E:")]
            raise Unavailable(f"{name} cannot be downloaded: {(wrong or ['?'])[-1]}")


def _apt_get(folder: Path, *command: str, options: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    # Its own user for downloads, to which root would change, may not write here.
    given = [f"-o{option}" for option in ("APT::Sandbox::User=root", *options)]
    return subprocess.run(["apt-get", *given, *command], cwd=folder, capture_output=True, text=True, check=False)


def _turn_inwards(root: Path) -> None:
    """Let links that are absolute point to what was unpacked with them, not to the system's."""
    for path in root.rglob("*"):
        if path.is_symlink() and (aim := path.readlink()).is_absolute():
            path.unlink()
            path.symlink_to(os.path.relpath(root / aim.relative_to("/"), path.parent))
