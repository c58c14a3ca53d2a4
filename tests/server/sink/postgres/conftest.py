"""Fixtures for tests of the PostgreSQL sink on real servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tailrace.sink.postgres import apply
from tests.server.sink.postgres.road import Road

MakeRoad = Callable[..., Road]


@pytest.fixture
def make_road(database: str, target_database: str, tmp_path: Path) -> Iterator[MakeRoad]:
    """Makes roads from `database` to `target_database`."""
    made: list[Road] = []

    def make(*transforms: Any, **sink: Any) -> Road:
        made.append(Road(database, target_database, tmp_path, *transforms, **sink))
        return made[-1]

    yield make
    for road in made:
        road.close()


@pytest.fixture
def road(make_road: MakeRoad) -> Road:
    """A road with the default options."""
    return make_road()


@pytest.fixture(params=["rows", "bulk"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test once with every change as a statement, and once with every batch in bulk."""
    monkeypatch.setattr(apply, "ROWS_MAX", 1 << 30 if request.param == "rows" else 0)
    monkeypatch.setattr(apply, "WIDE_NBYTES", 1 << 40)
    return str(request.param)
