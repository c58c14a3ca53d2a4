"""Confluent's Protobuf of the real Debezium's records is read as their JSON is, but for what the converter forgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import pytest

from servers import maven, postgres
from servers.debezium import Form, Record
from tailrace._native import Batch, EventReader
from tailrace.format import Format
from tests.conformance import sides
from tests.conformance.cases import Case, Values
from tests.conformance.defaults import DEFAULTS
from tests.conformance.foreign import FOREIGN
from tests.conformance.forgotten import Nulls, left
from tests.conformance.framed import Pair, by_table, read, said
from tests.conformance.test_avro import CASES as OTHERS
from tests.conftest import fresh
from tests.wanting import or_skip

CASES: list[Case] = [*OTHERS, *DEFAULTS, *FOREIGN]
REFUSED = {"vector_arrays"}
"""Tables of which the converter takes no row: it knows no list of lists."""


@dataclass(frozen=True, slots=True)
class Written:
    """What both sides wrote of all cases with one way of nulls."""

    nulls: Nulls
    json: dict[str, list[Pair]]
    records: Sequence[Record]
    batches: Sequence[Batch]


@pytest.fixture(scope="module", params=Nulls, ids=lambda nulls: nulls.name.lower())
def written(request: pytest.FixtureRequest, postgres18: postgres.Server, start_debezium: sides.Start) -> Written:
    """All cases at once: one start of the engine for each way of nulls."""
    or_skip(lambda: maven.install("protobuf-types"))
    nulls: Nulls = request.param
    option = {f"protobuf.{nulls.value}": "true"} if nulls.value else {}
    start = partial(start_debezium, forms=("avro", "protobuf"))
    profile = Format(schemas_enable=True).profile("shop")
    with fresh(postgres18) as url:
        batches, records = sides.watched(start, url, CASES, extended_headers_enabled="false", **option)
    return Written(nulls, by_table(part for batch in batches for part in batch.json(profile)), records, batches)


def lossy(data: bytes | None, nulls: Nulls) -> bytes | None:
    return None if data is None else left(data, nulls)


def reader_of(topic: str, forms: Sequence[tuple[Form | None, Form | None]], kind: str) -> EventReader:
    """A reader that has read framed records."""
    reader = EventReader("kafka/cluster/topic/0", topic=topic)
    known = {form.id: form for both in forms for form in both if form is not None}
    for form in known.values():
        reader.add_schema(form.id, kind, form.schema, references=[])
    reader.feed([(*(form and form.bytes for form in both), 0, at) for at, both in enumerate(forms)])
    return reader


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.strip('"'))
def test_confluents_protobuf_is_read_as_json_is_but_for_what_it_forgets(case: Case, written: Written) -> None:
    topic = f"shop.public.{case.name}"
    theirs = [record.forms["protobuf"] for record in written.records if record.topic.endswith(f".{case.name}")]
    taken = [not any(form and form.refused for form in (both.key, both.value)) for both in theirs]
    assert any(taken) == (case.name not in REFUSED)
    ours = [tuple(lossy(half, written.nulls) for half in pair) for pair in written.json[case.name]]
    expected = read(topic, [pair for pair, kept in zip(ours, taken, strict=True) if kept])  # type: ignore[misc]
    pairs = [(both.key, both.value) for both, kept in zip(theirs, taken, strict=True) if kept]
    assert said(reader_of(topic, pairs, "PROTOBUF")) == expected


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.strip('"'))
def test_the_source_block_says_as_much_as_in_avro(case: Case, written: Written) -> None:
    topic = f"shop.public.{case.name}"
    forms = [record.forms for record in written.records if record.topic.endswith(f".{case.name}")]
    both = {
        kind: [(each[kind].key, each[kind].value) for each in forms if not refused(each["protobuf"].value)]
        for kind in ("avro", "protobuf")
    }
    found = {
        kind: [
            (change.op, str(change.table), change.committed_at, change.transaction)
            for change in reader_of(topic, pairs, kind.upper()).take() or ()
        ]
        for kind, pairs in both.items()
    }
    assert found["protobuf"] == found["avro"]


def test_connects_own_types_maps_and_what_a_text_cannot_hold(database: str, start_debezium: sides.Start) -> None:
    or_skip(lambda: maven.install("protobuf-types"))
    columns = "h hstore, d date NOT NULL, t time, ts timestamp DEFAULT '2024-02-29 12:34:56.123456', n numeric(9, 3)"
    rows = (
        "'a=>1, b=>NULL', '2024-02-29', '12:34:56', now(), 0",
        "NULL, '1582-10-15', NULL, '1969-12-31', -1.5",
        "'', '1582-10-04', '23:59:59.999', '0001-01-01', NULL",
        "NULL, '0004-02-29', '00:00', NULL, 123456.789",
    )
    start = partial(start_debezium, forms=("protobuf",))
    case = Values("own_types", columns, rows)
    options = {"hstore_handling_mode": "map", "time_precision_mode": "connect", "interval_handling_mode": "string"}
    nulls = Nulls.OPTIONAL
    batches, records = sides.watched(
        start, database, [case], extended_headers_enabled="false", **options, **{f"protobuf.{nulls.value}": "true"}
    )
    profile = Format(schemas_enable=True, **options).profile("shop")
    pairs = by_table(part for batch in batches for part in batch.json(profile))["own_types"]
    expected = read("shop.public.own_types", [tuple(lossy(half, nulls) for half in pair) for pair in pairs])  # type: ignore[misc]
    forms = [(both.key, both.value) for both in (record.forms["protobuf"] for record in records)]
    assert not any(form.refused for both in forms for form in both if form)
    assert said(reader_of("shop.public.own_types", forms, "PROTOBUF")) == expected


def refused(form: Form | None) -> bool:
    return form is not None and bool(form.refused)
