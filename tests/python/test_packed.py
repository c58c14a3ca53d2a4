"""The Python that comes with the servers: it has a libc of its own, whatever it imports, and leaves others theirs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from servers import artifact
from servers import python as packed
from tests.python import environment
from tests.wanting import or_skip

LINKED = """
import ctypes, curses, lzma, readline, sqlite3, ssl, subprocess, uuid
with open("/proc/self/maps") as maps:
    print("\\n".join({line.split()[-1] for line in maps if ".so" in line}))
print(subprocess.check_output(["getconf", "GNU_LIBC_VERSION"], text=True), end="")
"""


def test_it_and_the_wheels_link_its_libraries_and_its_children_the_systems(tmp_path: Path) -> None:
    program = or_skip(packed.install, fails=False)
    locked = or_skip(lambda: environment.made(packed.VERSION), fails=False).parents[1]
    [modules] = locked.glob("lib/python*/site-packages")
    python = environment.fresh(program, tmp_path / "home")
    [home] = (tmp_path / "home").glob("lib/python*/site-packages")
    (home / "locked.pth").write_text(str(modules))
    linked, child = _linked(python, "import pyarrow.parquet, duckdb, psycopg, pydantic, confluent_kafka\n" + LINKED)
    with_them = [path for path in linked if path.is_relative_to(modules)]
    assert len(with_them) > 5
    own = program.resolve().parents[2]
    assert [path for path in linked if path not in with_them and not path.is_relative_to(own)] == []
    system = subprocess.run(["getconf", "GNU_LIBC_VERSION"], capture_output=True, text=True, check=True)
    assert child == system.stdout.strip()


def test_it_works_where_its_tree_was_moved_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    or_skip(packed.install, fails=False)
    for name in (f"python{packed.VERSION}", "patchelf"):
        there, compiled = artifact.cache() / name, shutil.ignore_patterns("__pycache__")  # others may be writing it
        shutil.copytree(there, tmp_path / name, symlinks=True, ignore=compiled)
    monkeypatch.setattr(artifact, "cache", lambda: tmp_path)
    program = packed.install()
    assert program.is_relative_to(tmp_path)
    linked, _ = _linked(program, LINKED)
    assert len(linked) > 10
    assert [path for path in linked if not path.is_relative_to(tmp_path)] == []


def _linked(python: Path, script: str) -> tuple[list[Path], str]:
    """The libraries in that program's memory, and the libc that a child of it has."""
    done = subprocess.run([python, "-c", script], capture_output=True, text=True, check=True)
    *libraries, child = done.stdout.splitlines()
    return [Path(path) for path in libraries], child
