"""Commands of this machine that a test hides, to see what is done without them."""

from __future__ import annotations

import os
from pathlib import Path


def path_without(folder: Path, *names: str) -> str:
    """A PATH of one new folder, which has every command of ours but these."""
    folder.mkdir()
    for place in filter(os.path.isdir, os.get_exec_path()):
        for command in os.scandir(place):
            if command.name not in names and not (folder / command.name).is_symlink():
                (folder / command.name).symlink_to(command.path)
    return str(folder)
