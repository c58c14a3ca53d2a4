"""Where the two do not agree, both sides are pinned, and the reference says why."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from servers import postgres
from tailrace.format import Format
from tests.conformance import sides
from tests.conformance.cases import Statements
from tests.conformance.differences import DIFFERENCES, Difference, page
from tests.conformance.sides import Event
from tests.conftest import _fresh

_REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "debezium.md"


Compare = Callable[[Mapping[str, str]], sides.Run]


@pytest.fixture(scope="module")
def compared(postgres18: postgres.Server, debezium_host: sides.Start) -> Compare:
    """Both sides over all differences under the same options at once, with Debezium's default headers."""
    runs: dict[tuple[tuple[str, str], ...], sides.Run] = {}

    def compare(options: Mapping[str, str]) -> sides.Run:
        key = tuple(options.items())
        if key not in runs:
            cases = [difference.case for difference in DIFFERENCES if difference.options == options]
            theirs = dict(options)
            theirs["converter_schemas_enable"] = theirs.pop("schemas_enable", "false")
            for url in _fresh(postgres18):
                runs[key] = sides.run(debezium_host, url, cases, Format(**options), **theirs)
        return runs[key]

    return compare


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.case.name)
def test_a_difference_is_what_the_reference_says(difference: Difference, compared: Compare) -> None:
    run, name = compared(difference.options), difference.case.name
    table = re.compile(f'"table":"{name}(_one)?"')
    theirs = [text for text in map(_text, run.debezium) if table.search(text)]
    ours = [text for text in map(_text, run.tailrace) if table.search(text)]
    assert re.search(difference.debezium, theirs[-1]), theirs[-1]
    assert difference.tailrace in ours[-1], ours[-1]
    assert len(theirs) == len(ours)


def test_a_row_of_a_partition_that_debezium_reads_twice_is_read_once(database: str, debezium_host: sides.Start) -> None:
    parts = Statements(
        "twice",
        (
            "CREATE TABLE twice (id int PRIMARY KEY) PARTITION BY RANGE (id)",
            "CREATE TABLE twice_one PARTITION OF twice FOR VALUES FROM (0) TO (9)",
            "INSERT INTO twice VALUES (1)",
        ),
        ("INSERT INTO twice VALUES (2)",),
    )
    own = {"publish_via_partition_root": False}
    run = sides.run(debezium_host, database, [parts], Format(), source=own, extended_headers_enabled="false")
    topics = [
        [(event.topic, event.key) for event in events if ".twice" in event.topic]
        for events in (run.tailrace, run.debezium)
    ]
    assert topics[0] == [("shop.public.twice_one", key) for key in (b'{"id":1}', b'{"id":2}')]
    assert sorted(topics[1]) == sorted([("shop.public.twice", b'{"id":1}'), *topics[0]])


def test_context_headers_are_the_only_ones_that_are_left_out(compared: Compare) -> None:
    run = compared({})
    names = {name for event in run.debezium for name, _ in event.headers}
    context = {name for name in names if name.startswith("__debezium.context.")}
    assert names - context == {"__debezium.newkey", "__debezium.oldkey"}
    assert {name for event in run.tailrace for name, _ in event.headers} == names - context


def test_the_reference_lists_every_difference() -> None:
    assert page() == _REFERENCE.read_text()


def _text(event: Event) -> str:
    return f"{(event.key or b'null').decode()} {(event.value or b'null').decode()}"
