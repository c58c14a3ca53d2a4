"""Starts the pipeline's process, kills it, and starts it again. Each kill is SIGKILL."""

import os
import random
import subprocess
import sys
from pathlib import Path

_PATIENCE_S = 300.0
_TOLD = ("open", "snapshot", "stream")
ROOT = Path(__file__).parents[2]


class Victim:
    """The pipeline's process, over many lives. `folder` gets what it prints and what it complains of."""

    def __init__(self, kind: str, url: str, target: str, *, folder: Path, seed: int) -> None:
        self._command = [sys.executable, "-m", "tests.crash.runner", kind, url, target]
        self._random = random.Random(seed)
        self._errors = folder / "stderr"
        self._errors.touch()
        self.printed = folder / "stdout"
        self.kills = 0
        self.lives: list[set[str]] = []
        """What the writes that were heard of each life were part of: `snapshot`, `stream`."""

    def live(
        self, *, failpoint: str | None = None, writes: int = 0, after_s: float = 0.0, most: int | None = None
    ) -> None:
        """One life, to its end: at a failpoint, or at a random instant up to `after_s` after so many writes.

        It rests after `most` of them, for a kill that comes later than it should.
        """
        command = self._command if most is None else [*self._command, f"--at-most={most}"]
        environment = os.environ | ({"TAILRACE_FAILPOINT": failpoint} if failpoint else {})
        heard: list[str] = []
        with (
            self.printed.open("ab") as printed,
            subprocess.Popen(
                command, stdout=printed, stderr=subprocess.PIPE, env=environment, cwd=ROOT, text=True
            ) as process,
        ):
            assert process.stderr is not None
            for line in process.stderr:
                heard.append(line)
                # The first line says that the sink is open.
                if failpoint is None and sum(line.startswith(_TOLD) for line in heard) > writes:
                    break
            if failpoint is None:
                try:
                    process.wait(self._random.uniform(0, after_s))
                except subprocess.TimeoutExpired:
                    process.kill()
            heard += process.stderr
            code = process.wait(_PATIENCE_S)
        with self._errors.open("a") as errors:
            errors.writelines(line for line in heard if not line.startswith(_TOLD))
        assert code == -9, f"it ended by itself with {code}: {self.errors}"
        self.kills += 1
        told = {line.split()[0] for line in heard if line.startswith(_TOLD) and line.endswith("\n")}
        self.lives.append(told - {"open"})

    @property
    def streams(self) -> bool:
        """A life got beyond the snapshot."""
        return any("stream" in life for life in self.lives)

    def finish(self) -> None:
        """Run until all that the source has committed is in the sink."""
        with self.printed.open("ab") as printed:
            done = subprocess.run(
                [*self._command, "--until-current"],
                stdout=printed,
                stderr=subprocess.PIPE,
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
