"""A clock of one process that jumps when a test wants it. Leaves the system's clock and the monotonic one alone.

    clock = Clock(folder)
    subprocess.Popen(command, env={**os.environ, **clock.environment})
    clock.jump(-3 * 3600)

libfaketime cannot be had for this: it makes Python's `time.sleep` fail unless it may fake the monotonic clock too.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from servers.artifact import Unavailable

_SOURCE = Path(__file__).parent / "c" / "clock.c"


class Clock:
    """What the processes that are started with `environment` see; files go into `folder`."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            raise Unavailable("a clock that jumps needs a C compiler")
        folder.mkdir(exist_ok=True)
        self._offset = folder / "offset"
        library = folder / "clock.so"
        subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(_SOURCE)], check=True)
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_OFFSET": str(self._offset)}
        self.jump(0)

    def jump(self, seconds: int) -> None:
        """From now on show the time of day that is so far from the true one."""
        fresh = self._offset.with_suffix(".new")
        fresh.write_text(str(seconds))
        fresh.replace(self._offset)  # at once: a file that is half written would be another time
