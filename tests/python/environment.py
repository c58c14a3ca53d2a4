"""Interpreters of each version that is promised, and virtual environments with what is locked. Never tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from servers import artifact
from servers import python as packed

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements.lock"


def made(version: str) -> Path:
    """The `python` of an environment with what `requirements.lock` holds, and without Tailrace; made once a lock file.

    `Unavailable` where neither the machine nor a Debian in its reach has that version.
    """
    home = ROOT / "build" / f"python{version}"
    home.parent.mkdir(exist_ok=True)
    with artifact.locked(home.with_suffix(".lock")):
        lock = home / "lock"
        if not lock.exists() or lock.read_bytes() != LOCK.read_bytes():
            shutil.rmtree(home, ignore_errors=True)
            install(fresh(_interpreter(version), home), "--require-hashes", "-r", LOCK)
            lock.write_bytes(LOCK.read_bytes())
    return home / "bin" / "python"


def fresh(python: Path, home: Path) -> Path:
    """The `python` of an environment with nothing in it, not even pip: Debian packs that for itself."""
    subprocess.run([python, "-m", "venv", "--without-pip", home], check=True)
    return home / "bin" / "python"


def install(python: Path, *asked: str | Path) -> None:
    """Have the pip of the tests' own environment, which is locked, install into that of `python`: one that came with
    an older Python may not run on a newer one."""
    subprocess.run([sys.executable, "-m", "pip", "--python", python, "install", "--quiet", *asked], check=True)


def _interpreter(version: str) -> Path:
    """On the path, where pyenv keeps them (its shims answer only for one version), or out of Debian's packages."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [*pyenv.glob(f"{version}.*/bin/python{version}"), shutil.which(f"python{version}")]
    for candidate in found:
        if candidate and not subprocess.run([candidate, "--version"], capture_output=True, check=False).returncode:
            return Path(candidate)
    if version == packed.VERSION:
        return packed.install()
    raise artifact.Unavailable(f"Python {version}")
