"""The stub of the native module is the native module: names, signatures and defaults."""

from __future__ import annotations

import subprocess
import sys

from tests.tidy import tree

ALLOWED = "tests/tidy/stubtest.allowed"


def test_the_native_modules_stub_is_true() -> None:
    command = [sys.executable, "-m", "mypy.stubtest", "tailrace._native", "--concise", "--allowlist", ALLOWED]
    done = subprocess.run(command, cwd=tree.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
