"""Protobuf with a real registry: what is registered, under which subject, what a refusal becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tailrace._native import Column, Table
from tailrace.error import Fatal, Reject
from tests.conformance import protobuf
from tests.server.subject import ID, ORDERS, WIDER, Encode, Subjects, beats_of, made_of

LISTS = Table("public", "orders", [ID, Column("note", "int4[]")], key=["id"])
ROW = {"id": "7", "note": "b"}


@pytest.fixture
def mine(subjects: Callable[[str], Subjects]) -> Subjects:
    return subjects("protobuf")


def read(mine: Subjects, framed: bytes | None) -> Mapping[str, Any]:
    schema = mine.schema(framed)
    assert framed is not None and schema.schema_type == "PROTOBUF"
    return protobuf.value(schema.schema_str or "", framed[5:])


def test_keys_and_values_are_framed_with_the_ids_of_their_subjects(mine: Subjects, records: Encode) -> None:
    batch = made_of(("c", None, {"id": "7", "note": "é"}), ("d", {"id": "7"}, None), table=ORDERS)
    created, deleted, tombstone = records(mine.format(), batch)
    assert mine.names() == {".public.orders-key", ".public.orders-value"}
    assert created[0] is not None and created[0][5:] == b"\0\x08\x07"
    value = read(mine, created[1])
    assert (value["op"], "before" in value, value["after"]) == ("c", False, {"id": 7, "note": "é"})
    assert read(mine, deleted[1])["before"] == {"id": 7}
    assert tombstone == (created[0], None)


def test_a_changed_table_registers_a_new_version_before_its_first_row(mine: Subjects, records: Encode) -> None:
    first = made_of(("c", None, ROW), table=ORDERS)
    second = made_of(("c", None, {**ROW, "amount": "1.10"}), table=WIDER)
    (_, old), (_, new), (_, again) = records(mine.format(), first, second, first)
    assert read(mine, new)["after"] == {"id": 7, "note": "b", "amount": {"value": b"n", "precision": 3, "scale": 2}}
    assert old is not None and new is not None and again is not None
    assert old[:5] == again[:5] != new[:5]
    assert mine.client.get_versions(f"{mine.prefix}.public.orders-value") == [1, 2]
    assert mine.client.get_versions(f"{mine.prefix}.public.orders-key") == [1]


def test_key_and_value_have_formats_and_options_of_their_own(mine: Subjects, records: Encode) -> None:
    batch = made_of(("c", None, {"id": "7", "note": ""}), table=ORDERS)
    ((key, value),) = records(mine.format(key_converter="json", value_converter_optional_for_nullables=True), batch)
    assert key == b'{"id":7}' and read(mine, value)["after"] == {"id": 7, "note": ""}
    ((key, value),) = records(mine.format(value_converter="avro", wrapper_for_nullables=True), batch)
    assert read(mine, key) == {"id": 7}
    ((_, value),) = records(mine.format(), batch)
    assert read(mine, value)["after"] == {"id": 7}  # an empty text reads as null does


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("RecordNameStrategy", {".public.orders.Key", ".public.orders.Envelope"}),
        (
            "TopicRecordNameStrategy",
            {".public.orders-{}.public.orders.Key", ".public.orders-{}.public.orders.Envelope"},
        ),
    ],
)
def test_subjects_are_named_by_the_strategy(mine: Subjects, records: Encode, strategy: str, expected: set[str]) -> None:
    options = {"key_subject_name_strategy": strategy, "value_converter_value_subject_name_strategy": strategy}
    records(mine.format(**options), made_of(("c", None, ROW), table=ORDERS))
    assert mine.names() == {name.format(mine.prefix) for name in expected}


def test_what_has_no_place_in_an_array_is_refused_with_its_column(mine: Subjects, records: Encode) -> None:
    rows = [("c", None, {"id": str(at), "note": note}) for at, note in enumerate(("{1}", "{1,NULL}", "{NULL}"))]
    with pytest.raises(Reject) as refused:
        records(mine.format(), made_of(*rows, table=LISTS))
    words = 'public.orders, column "note" (int4[]): a null in an array, which Protobuf has no place for'
    assert refused.value.reasons == {1: words, 2: words}


def test_a_name_that_a_transform_makes_and_protobuf_does_not_allow_is_fatal(mine: Subjects, records: Encode) -> None:
    unwrap = {"kind": "extract_new_record_state", "add_fields": "op:a-b"}
    batch = made_of(("c", None, ROW), table=ORDERS)
    with pytest.raises(Fatal, match=r'public\.orders: "__a-b" is no name that Protobuf allows: scrub_invalid_names'):
        records(mine.format(transform=[unwrap]), batch)
    ((_, value),) = records(mine.format(transform=[unwrap], scrub_invalid_names=True), batch)
    assert read(mine, value) == {"id": 7, "note": "b", "x__a_b": "c"}


def test_heartbeats_have_subjects_of_their_own(mine: Subjects) -> None:
    key, value = beats_of(mine, made_of(("c", None, ROW), table=ORDERS))[0]
    assert read(mine, key) == {"serverName": mine.prefix}
    assert set(read(mine, value)) == {"ts_ms"}
