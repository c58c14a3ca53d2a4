"""Starts the pipeline's process, kills it, and starts it again. Each kill is SIGKILL."""

import os
import random
import subprocess
import sys
from pathlib import Path

_PATIENCE_S = 300.0
ROOT = Path(__file__).parents[2]


class Victim:
    """The pipeline's process, over many lives."""

    def __init__(self, kind: str, url: str, target: Path, *, seed: int) -> None:
        self._command = [sys.executable, "-m", "tests.crash.runner", kind, url, str(target)]
        self._random = random.Random(seed)
        self._errors = target.with_name(target.name + ".stderr")
        self.kills = 0
        self.lives: list[set[str]] = []
        """What the writes that were heard of each life were part of: `snapshot`, `stream`."""

    def live(self, *, failpoint: str | None = None, writes: int = 0, after_s: float = 0.0) -> None:
        """One life, to its end: at a failpoint, or at a random instant up to `after_s` after so many writes."""
        environment = os.environ | ({"TAILRACE_FAILPOINT": failpoint} if failpoint else {})
        heard = []
        with (
            self._errors.open("ab") as errors,
            subprocess.Popen(
                self._command, stdout=subprocess.PIPE, stderr=errors, env=environment, cwd=ROOT, text=True
            ) as process,
        ):
            assert process.stdout is not None
            for line in process.stdout:
                heard.append(line)
                if failpoint is None and len(heard) > writes:  # the first line says that the sink is open
                    break
            if failpoint is None:
                try:
                    process.wait(self._random.uniform(0, after_s))
                except subprocess.TimeoutExpired:
                    process.kill()
            heard += process.stdout
            code = process.wait(_PATIENCE_S)
        assert code == -9, f"it ended by itself with {code}: {self.errors}"
        self.kills += 1
        self.lives.append({line.split()[0] for line in heard if line.endswith("\n")} - {"open"})

    @property
    def streams(self) -> bool:
        """A life got beyond the snapshot."""
        return any("stream" in life for life in self.lives)

    def finish(self) -> None:
        """Run until all that the source has committed is in the sink."""
        done = subprocess.run(
            [*self._command, "--until-current"],
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
            timeout=_PATIENCE_S,
        )
        assert done.returncode == 0, done.stderr + self.errors

    @property
    def errors(self) -> str:
        """The last words of all lives."""
        return self._errors.read_text()[-3000:]
