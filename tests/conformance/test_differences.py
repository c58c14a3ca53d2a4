"""Where the two do not agree, both sides are pinned, and the reference says why."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers import postgres
from tailrace.format import Format
from tests.conformance import sides
from tests.conformance.differences import DIFFERENCES, Difference
from tests.conformance.sides import Event
from tests.conftest import _fresh

_REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "debezium.md"


@pytest.fixture(scope="module")
def compared(postgres18: postgres.Server, start_debezium: sides.Start) -> Iterator[sides.Run]:
    """Both sides over all differences at once, with Debezium's default headers."""
    cases = [difference.case for difference in DIFFERENCES]
    for url in _fresh(postgres18):
        yield sides.run(start_debezium, url, cases, Format())


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.case.name)
def test_a_difference_is_what_the_reference_says(difference: Difference, compared: sides.Run) -> None:
    name = difference.case.name
    table = re.compile(f'"table":"{name}(_one)?"')
    theirs = [text for text in map(_text, compared.debezium) if table.search(text)]
    ours = [text for text in map(_text, compared.tailrace) if table.search(text)]
    assert re.search(difference.debezium, theirs[-1]), theirs[-1]
    assert difference.tailrace in ours[-1], ours[-1]
    assert len(theirs) == len(ours)


def test_context_headers_are_the_only_ones_that_are_left_out(compared: sides.Run) -> None:
    names = {name for event in compared.debezium for name, _ in event.headers}
    context = {name for name in names if name.startswith("__debezium.context.")}
    assert names - context == {"__debezium.newkey", "__debezium.oldkey"}
    assert {name for event in compared.tailrace for name, _ in event.headers} == names - context


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.case.name)
def test_the_reference_lists_every_difference(difference: Difference) -> None:
    assert f"| {difference.place} | {difference.reason} |" in _REFERENCE.read_text()


def _text(event: Event) -> str:
    return f"{(event.key or b'null').decode()} {(event.value or b'null').decode()}"
