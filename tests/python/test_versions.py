"""The unit tests on every other Python that is promised: one abi3 build must serve 3.11 to 3.14."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.python import environment
from tests.wanting import or_skip

OTHERS = [version for version in ("3.11", "3.12", "3.13", "3.14") if version != "{}.{}".format(*sys.version_info)]


@pytest.mark.parametrize("version", OTHERS)
def test_the_unit_tests_pass_on(version: str) -> None:
    # No server: what is packed comes from a proxy of Go modules, which a machine of CI's need not have.
    python = or_skip(lambda: environment.made(version), fails=version != environment.PACKED)
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit"]
    done = subprocess.run(
        command,
        cwd=environment.ROOT,
        env={**os.environ, "PYTHONPATH": str(environment.ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
