"""JSON Schema with a real registry: what is registered, how a changed table goes on, what a refusal becomes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema

from tailrace._native import EventReader
from tailrace.error import Fatal
from tailrace.registry import Registry
from tailrace.registry.framed import tell
from tests.server.subject import ORDERS, OTHER, WIDER, Encode, Subjects, made_of


@pytest.fixture
def mine(subjects: Callable[[str], Subjects]) -> Subjects:
    return subjects("json_schema")


def payload(framed: bytes | None) -> Any:
    assert framed is not None and framed[0] == 0
    return json.loads(framed[5:])


def test_schemas_are_registered_as_json_schemas_and_values_are_framed_json(mine: Subjects, records: Encode) -> None:
    created, deleted, tombstone = records(
        mine.format(), made_of(("c", None, {"id": "7", "note": "é"}), ("d", {"id": "7"}, None), table=ORDERS)
    )
    assert mine.names() == {".public.orders-key", ".public.orders-value"}
    assert mine.schema(created[0]).schema_type == "JSON"
    assert mine.schema(created[0]).schema_str == (
        f'{{"type":"object","title":"{mine.prefix}.public.orders.Key",'
        '"properties":{"id":{"type":"integer","connect.index":0,"connect.type":"int64"}}}'
    )
    assert created[0] is not None and created[0][5:] == b'{"id":7}'
    assert payload(created[1])["after"] == {"id": 7, "note": "é"}
    assert payload(deleted[1])["before"] == {"id": 7, "note": None}
    assert tombstone == (created[0], None)


def test_each_half_has_a_form_of_its_own(mine: Subjects, records: Encode) -> None:
    batch = made_of(("c", None, {"id": "7", "note": None}), table=ORDERS)
    ((key, value),) = records(mine.format(key_converter="json"), batch)
    assert key == b'{"id":7}' and payload(value)["after"] == {"id": 7, "note": None}
    ((key, value),) = records(mine.format(key_converter="avro"), batch)
    assert mine.schema(key).schema_type in (None, "AVRO") and mine.schema(value).schema_type == "JSON"


def test_structs_are_closed_when_told(mine: Subjects, records: Encode) -> None:
    batch = made_of(("c", None, {"id": "7", "note": None}), table=ORDERS)
    ((key, value),) = records(mine.format(key_converter_object_additional_properties="false"), batch)
    assert '"type":"object","additionalProperties":false,"title":' in (mine.schema(key).schema_str or "")
    assert "additionalProperties" not in (mine.schema(value).schema_str or "")


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("RecordNameStrategy", ".public.orders.Envelope"),
        ("TopicRecordNameStrategy", ".public.orders-{}.public.orders.Envelope"),
    ],
)
def test_subjects_are_named_by_the_strategy(mine: Subjects, records: Encode, strategy: str, expected: str) -> None:
    format = mine.format(key_converter="json", value_subject_name_strategy=strategy)
    records(format, made_of(("c", None, {"id": "1", "note": "a"}), table=ORDERS))
    assert mine.names() == {expected.format(mine.prefix)}


def test_a_table_that_changes_registers_a_new_version_and_its_rows_come_back(mine: Subjects, records: Encode) -> None:
    first = made_of(("c", None, {"id": "1", "note": "a"}), table=ORDERS)
    second = made_of(("c", None, {"id": "2", "note": "b", "amount": "1.10"}), table=WIDER)
    written = records(mine.format(), first, second, first)
    (_, old), (_, new), (_, again) = written
    assert old is not None and new is not None and again is not None
    assert old[:5] == again[:5] != new[:5]
    assert mine.client.get_versions(f"{mine.prefix}.public.orders-value") == [1, 2]
    assert mine.client.get_versions(f"{mine.prefix}.public.orders-key") == [1]
    reader, client = EventReader("kafka/c/t/0", topic=f"{mine.prefix}.public.orders"), Registry(mine.url).open()
    given = [(*pair, 0, at) for at, pair in enumerate(written)]
    tell(reader, given, client=client)
    reader.feed(given)
    client.close()
    changes = list(reader.take() or ())
    assert [change.after and dict(change.after) for change in changes] == [
        batch_change.after and dict(batch_change.after) for batch in (first, second, first) for batch_change in batch
    ]
    assert [[(c.name, c.type) for c in change.table.columns] for change in changes[:2]] == [
        [("id", "int8"), ("note", "text")],
        [("id", "int8"), ("note", "text"), ("amount", "numeric(12,2)")],
    ]


def test_an_incompatible_change_of_a_table_is_fatal_with_subject_and_reason(mine: Subjects, records: Encode) -> None:
    format, subject = mine.format(), f"{mine.prefix}.public.orders-value"
    records(format, made_of(("c", None, {"id": "1", "note": "a"}), table=ORDERS))
    mine.client.set_compatibility(subject, "BACKWARD")
    with pytest.raises(Fatal, match=rf"{subject}.*(?s:.*)ncompatible") as caught:
        records(format, made_of(("c", None, {"id": "2", "note": "t"}), table=OTHER))
    assert "compatibility in the registry" in str(caught.value.hint)


def test_what_another_producer_framed_is_read_as_plain_json(mine: Subjects) -> None:
    text = '{"type":"object","properties":{"id":{"type":"integer"},"note":{"type":["string","null"]}}}'
    found = mine.client.register_schema(f"{mine.prefix}-value", Schema(text, "JSON"))
    reader, client = EventReader("kafka/c/t/0", topic="t"), Registry(mine.url).open()
    given = [(None, b"\0" + found.to_bytes(4) + b'{"id":1,"note":"a","more":2.5}', 0, 0)]
    tell(reader, given, client=client)
    reader.feed(given)
    client.close()
    (change,) = reader.take() or ()
    assert change.after is not None and dict(change.after) == {"id": 1, "note": "a", "more": 2.5}
