"""The wheel that users install: what is in it, and that it works on the newest Python without this tree."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from servers import python as packed
from servers.artifact import Unavailable
from tests.python import environment
from tests.tidy import tree
from tests.wanting import or_skip

CONSUMER = """import tailrace as tr
for change in tr.tail("postgresql://localhost/shop", tables=["public.orders"]):
    table: str | None = change.table and change.table.name
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `make setup` builds the extension, so that cargo has nothing left to compile."""
    folder, mine = tmp_path_factory.mktemp("wheel"), Path(sys.executable)
    command = [mine.with_name("maturin"), "build", "--release", "--locked", "--quiet", "--out", folder]
    variables = {**os.environ, "VIRTUAL_ENV": str(mine.parents[1]), "PYO3_PYTHON": str(mine.with_name("python"))}
    done = subprocess.run(command, cwd=tree.ROOT, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [made] = folder.glob("*.whl")
    return made


def test_it_holds_every_file_of_the_package_and_one_extension_for_all_versions(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
        metadata = {Path(name).name: packed.read(name).decode() for name in names if ".dist-info/" in name}
    package = {
        str(path.relative_to(tree.ROOT / "src")) for path in tree.files() if path.is_relative_to(tree.ROOT / "src")
    }
    assert {"tailrace/py.typed", "tailrace/_native.pyi", "tailrace/demo/shop.sql"} <= package
    described = {name for name in names if ".dist-info/" in name}
    assert names - described == package | {"tailrace/_native.abi3.so"}
    assert any(name.endswith("/licenses/LICENSE") for name in described)
    assert "-cp311-abi3-" in wheel.name
    assert "tailrace=tailrace.cli:main" in metadata["entry_points.txt"].replace(" ", "")
    assert "License-Expression: Apache-2.0" in metadata["METADATA"]


def test_it_is_installed_used_and_typed(wheel: Path, tmp_path: Path) -> None:
    """The locked dependencies are those of the environment that the unit tests run in, so nothing is fetched twice."""
    locked = or_skip(_newest)
    python = environment.fresh(locked, tmp_path / "home")
    places = [_said(each, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))") for each in (python, locked)]
    Path(places[0], "locked.pth").write_text(places[1])
    environment.install(python, "--no-deps", "--no-index", wheel)
    subprocess.run([sys.executable, "-m", "pip", "--python", python, "check"], check=True)
    consumer = tmp_path / "consumer.py"
    consumer.write_text(CONSUMER)
    assert _said(python.with_name("tailrace"), "version").startswith("tailrace 0.")
    assert "Success" in _said(locked, "-m", "mypy", "--strict", "--python-executable", python, consumer)
    consumer.write_text(CONSUMER.replace("str | None", "int"))
    assert "Incompatible types" in _said(locked, "-m", "mypy", "--strict", "--python-executable", python, consumer)


def _newest() -> Path:
    """The newest Python that can be had; this one's version can."""
    for version in (packed.VERSION, "3.13", "3.12"):
        with contextlib.suppress(Unavailable):
            return environment.made(version)
    return environment.made("3.11")


def _said(*command: str | Path) -> str:
    """The output, in a folder where this tree is not importable."""
    home = Path(command[-1]).parent if Path(command[-1]).is_file() else Path("/")
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, check=False)
    assert not done.stderr, done.stderr
    return done.stdout.strip()
