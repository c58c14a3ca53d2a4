"""CloudEvents are those of the real `CloudEventsConverter`, and are read back as what they were."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from servers import postgres
from tailrace._native import EventReader
from tailrace.format import Format
from tests.conformance import sides
from tests.conformance.shapes import SHAPES
from tests.conformance.sides import Event
from tests.conformance.values import VALUES
from tests.conftest import fresh

_CASES = [*(case for case in SHAPES if case.name != "message"), *VALUES]
_MESSAGE = next(case for case in SHAPES if case.name == "message")
_OPTIONS = {
    "decimal_handling_mode": "string",
    "skipped_operations": "none",
    "provide_transaction_metadata": "true",
}
# See `oracle`: where the last commit was, and when and where a snapshot was taken.
_SEQUENCE = re.compile(rb'(sequence"?:"?\[)(?:null|\\"\d+\\"),(\\"\d+\\"\])')
_SNAPSHOT = (
    (re.compile(rb'(sequence"?:"?\[)\\"\d+\\"\]'), rb"\g<1>]"),
    (re.compile(rb'^(\{"id":"name:shop;lsn:)\d+(;txId:)\d+'), rb"\g<1>0\g<2>0"),
    (re.compile(rb'("time":")\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z'), rb"\g<1>"),
    (re.compile(rb'("iodebezium(?:ts[mun]s|lsn|txId)":")\d+'), rb"\g<1>0"),
)


@pytest.fixture(scope="module", params=["false", "true"], ids=["bare", "with schemas"])
def run(request: pytest.FixtureRequest, postgres18: postgres.Server, debezium_host: sides.Start) -> Iterator[sides.Run]:
    """Both sides over all shapes and types."""
    theirs = {"lines_value": "cloudevents", "converter_json_schemas_enable": request.param}
    with fresh(postgres18) as url:
        yield sides.run(
            debezium_host,
            url,
            [*_CASES, _MESSAGE],
            Format(profile="cloudevents", schemas_enable=request.param, time_precision_mode="adaptive", **_OPTIONS),
            extended_headers_enabled="false",
            converter_schemas_enable=request.param,
            **theirs,
            **_OPTIONS,
        )


@pytest.mark.parametrize("name", [case.name for case in _CASES])
def test_structured_events_are_those_of_debeziums_converter(name: str, run: sides.Run) -> None:
    events = run.of(name)
    assert events.debezium
    assert list(map(_masked, events.tailrace)) == list(map(_masked, events.debezium))


def test_ends_of_transactions_have_no_value_as_in_debezium(run: sides.Run) -> None:
    # The engine was read up to the last row, not to the end of its transaction.
    ours, theirs = run.under("shop.transaction").tailrace[:-2], run.under("shop.transaction").debezium[:-1]
    assert len(ours) > 100
    assert ours == theirs
    assert {event.value for event in theirs} == {None}


def test_a_message_is_an_event_where_debezium_writes_nothing(run: sides.Run) -> None:
    events = run.of("message")
    assert {event.value for event in events.debezium} == {None}
    assert [event.key for event in events.tailrace] == [event.key for event in events.debezium]
    data = [_data(event)["message"]["prefix"] for event in events.tailrace]
    assert data == ['pre"fix', "", "at once", "bytes"]


@pytest.mark.parametrize("side", ["tailrace", "debezium"])
def test_structured_events_are_read_back(side: str, run: sides.Run) -> None:
    events: list[Event] = [event for event in getattr(run, side) if event.topic == "shop.public.rows"]
    reader = EventReader("kafka/cluster/topic/0", topic="shop.public.rows")
    reader.feed([(event.key, event.value, 0, offset) for offset, event in enumerate(events)])
    changes = list(reader.take() or ())
    written = [json.loads(event.value) for event in events if event.value is not None]
    assert [change.op for change in changes] == [event["iodebeziumop"] for event in written]
    assert [_image(change.after) for change in changes] == [
        _data(event)["after"] for event in events if event.value is not None
    ]
    assert [str(change.transaction) for change in changes] == [event["iodebeziumtxId"] for event in written]
    assert {(change.table.schema, change.table.name) for change in changes} == {("public", "rows")}


def _data(event: Event) -> Any:
    """The data of an event, without the schema that they may have."""
    data = json.loads(event.value or b"")["data"]
    return data.get("payload", data)


def _image(row: Any) -> dict[str, Any] | None:
    return None if row is None else dict(row)


def _masked(event: Event) -> Event:
    value = event.value and _SEQUENCE.sub(rb"\g<1>\g<2>", event.value)
    if value and b'"iodebeziumsnapshot":"false"' not in value:
        for form, replacement in _SNAPSHOT:
            value = form.sub(replacement, value)
    return replace(event, value=value)
