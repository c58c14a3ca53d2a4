"""The unit tests on every other Python that this machine has: one abi3 build must serve 3.11 to 3.14."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.wanting import lacking

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements.lock"
CI_HAS = ("3.11", "3.12", "3.13")
OTHERS = [version for version in ("3.11", "3.12", "3.13", "3.14") if version != "{}.{}".format(*sys.version_info)]


def _python(version: str) -> Path | None:
    """An interpreter of `version`: on the path, or where pyenv keeps them (its shims answer only for one version)."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [*pyenv.glob(f"{version}.*/bin/python{version}"), shutil.which(f"python{version}")]
    for candidate in found:
        if candidate and not subprocess.run([candidate, "--version"], capture_output=True, check=False).returncode:
            return Path(candidate)
    return None


def _environment(python: Path, version: str) -> Path:
    """A virtual environment with the locked dependencies, made once a lock file."""
    home = ROOT / "build" / f"python{version}"
    made = home / "lock"
    if not made.exists() or made.read_bytes() != LOCK.read_bytes():
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([python, "-m", "venv", home], check=True)
        subprocess.run([home / "bin/pip", "install", "--quiet", "--require-hashes", "-r", LOCK], check=True)
        made.write_bytes(LOCK.read_bytes())
    return home / "bin/python"


@pytest.mark.parametrize("version", OTHERS)
def test_the_unit_tests_pass_on(version: str) -> None:
    python = _python(version)
    if python is None:
        lacking(f"Python {version}", fails=version in CI_HAS)
    command = [_environment(python, version), "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
