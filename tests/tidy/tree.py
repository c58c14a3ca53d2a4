"""What the tidy tests look at: the files that belong to the repository. Never reads what is ignored or generated."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


@cache
def files(*suffixes: str) -> tuple[Path, ...]:
    """Every tracked or new file that is not ignored, with one of these suffixes (all files without any)."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    paths = (ROOT / name for name in listed if name and (not suffixes or name.endswith(suffixes)))
    return tuple(sorted(path for path in paths if path.is_file()))


def python(*folders: str) -> Iterator[tuple[Path, ast.Module]]:
    """Each Python file below these folders, parsed."""
    for path in files(".py"):
        if path.relative_to(ROOT).parts[0] in folders:
            yield path, ast.parse(path.read_text(), str(path))


def shown(path: Path, line: int = 1) -> str:
    """`path:line` relative to the repository, as editors open it."""
    return f"{path.relative_to(ROOT)}:{line}"
