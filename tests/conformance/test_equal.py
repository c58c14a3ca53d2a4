"""Key, value and headers of every record equal the real Debezium's, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from servers import postgres
from tailrace.format import Format
from tests.conformance import generated, sides
from tests.conformance.cases import Case
from tests.conformance.equal import SEED
from tests.conformance.shapes import SHAPES
from tests.conformance.values import VALUES
from tests.conftest import _fresh

CASES: list[Case] = [*VALUES, *SHAPES, *generated.cases(seed=SEED), *generated.families(seed=SEED)]


@pytest.fixture(scope="module")
def compared(postgres18: postgres.Server, debezium_host: sides.Start) -> Iterator[sides.Run]:
    """Both sides at their defaults, over all cases at once: one start of the engine is enough."""
    for url in _fresh(postgres18):
        yield sides.run(debezium_host, url, CASES, Format(), extended_headers_enabled="false")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.strip('"'))
def test_events_equal_debeziums(case: Case, compared: sides.Run) -> None:
    run = compared.of(case.name.strip('"'))
    assert run.debezium
    assert run.tailrace == run.debezium
