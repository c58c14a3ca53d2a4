"""Key, value and headers of every record equal the real Debezium's, byte for byte."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest

from servers import postgres
from tailrace.format import Format
from tests.conformance import equal, sides
from tests.conformance.cases import Case
from tests.conformance.shapes import SHAPES
from tests.conformance.values import VALUES
from tests.conftest import fresh

Told = Callable[[str, object], None]
CASES: list[Case] = [*VALUES, *SHAPES, *equal.CHANCE]


@pytest.fixture(scope="module")
def compared(postgres18: postgres.Server, debezium_host: sides.Start) -> Iterator[sides.Run]:
    """Both sides at their defaults, over all cases at once: one start of the engine is enough."""
    with fresh(postgres18) as url:
        yield sides.run(debezium_host, url, CASES, Format(), extended_headers_enabled="false")


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=equal.mark(case), id=case.name.strip('"')) for case in CASES]
)
def test_events_equal_debeziums(case: Case, compared: sides.Run, record_property: Told) -> None:
    run = compared.of(case.name.strip('"'))
    record_property("records", len(run.debezium))
    assert run.debezium
    assert run.tailrace == run.debezium


def test_events_are_in_debeziums_order_over_all_tables(compared: sides.Run) -> None:
    def order(events: Sequence[sides.Event]) -> list[tuple[str, bytes | None, bool]]:
        return [(event.topic, event.key, event.value is None) for event in events]

    assert order(compared.tailrace) == order(compared.debezium)
