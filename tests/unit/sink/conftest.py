"""Fixtures for the tests of sinks."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.sink.shop import Shop
from tests.wanting import lacking


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of 3 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True, check=False
    ).returncode:
        lacking("the right to mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path / "shop.duckdb")
    yield shop
    shop.close()
