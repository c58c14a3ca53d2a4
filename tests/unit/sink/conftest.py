"""Fixtures for the tests of sinks."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.sink.shop import Shop


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path / "shop.duckdb")
    yield shop
    shop.close()
