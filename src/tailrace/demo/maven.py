"""Has Maven bring JARs with all that they need. Never checks what it brings: `servers/maven.py` does, for the tests."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tailrace.error import Fatal

__all__ = ["resolve", "run"]

_POM = """<project><modelVersion>4.0.0</modelVersion><groupId>tailrace</groupId><artifactId>{name}</artifactId>
<version>1</version><dependencies>{dependencies}</dependencies></project>"""
_DEPENDENCY = "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"
_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin"
_VERSION = "3.6.1"
"""Later ones resolve an artifact's parents even when it alone is wanted, and some of them cannot be had."""
_PATIENCE_S = 600.0


def resolve(artifacts: Sequence[str], into: Path, *, scratch: Path, mvn: str = "mvn") -> None:
    """Copy `artifacts` (`group:artifact:version`) and all that they need into a folder; `Fatal` as `run`.

    A POM is written into the folder `scratch`.
    """
    dependencies = "".join(_DEPENDENCY.format(*artifact.split(":")) for artifact in artifacts)
    (scratch / "pom.xml").write_text(_POM.format(name=scratch.name, dependencies=dependencies))
    run(scratch, f"{_VERSION}:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={into}", mvn=mvn)


def run(folder: Path, goal: str, *options: str, mvn: str = "mvn") -> None:
    """Run a goal (`version:name`) of Maven's dependency plug-in in a folder; `Fatal` with its words when it fails.

    `mvn` is the command, or the path of one that is not on the PATH.
    """
    maven = shutil.which(mvn)
    if maven is None:
        raise Fatal("this server comes from Maven (no mvn found)", hint="install Maven")
    command = [maven, "--quiet", "--batch-mode", f"{_PLUGIN}:{goal}", *options]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=_PATIENCE_S)
    except subprocess.TimeoutExpired:
        raise Fatal(f"Maven gave no answer within {_PATIENCE_S:g} s ({goal})", hint="try again") from None
    if done.returncode != 0:
        said = [line for line in done.stdout.splitlines() if "ERROR" in line] or ["it gave no reason"]
        raise Fatal(f"Maven failed ({goal}): {said[0][:300]}", hint="see whether it reaches its repository")
