"""Formats whose schemas a real registry keeps: what is registered, under which subject, what a refusal becomes."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import fastavro
import pytest
from confluent_kafka.schema_registry import Schema

from servers.process import free_port
from tailrace.error import Fatal, Retryable
from tailrace.format import Format
from tests.server.subject import ORDERS, OTHER, WIDER, Encode, Subjects, beats_of, made_of


@pytest.fixture
def mine(subjects: Callable[[str], Subjects]) -> Subjects:
    return subjects("avro")


def read(mine: Subjects, framed: bytes | None) -> Any:
    text = mine.schema(framed).schema_str
    assert framed is not None and text is not None
    return fastavro.schemaless_reader(io.BytesIO(framed[5:]), json.loads(text), None)


def test_keys_and_values_are_framed_with_the_ids_of_their_subjects(mine: Subjects, records: Encode) -> None:
    row = {"id": "7", "note": "é"}
    batch = made_of(("c", None, row), ("d", {"id": "7"}, None), table=ORDERS)
    created, deleted, tombstone = records(mine.format(), batch)
    assert mine.names() == {".public.orders-key", ".public.orders-value"}
    assert read(mine, created[0]) == {"id": 7}
    value = read(mine, created[1])
    assert (value["op"], value["before"], value["after"]) == ("c", None, {"id": 7, "note": "é"})
    assert read(mine, deleted[1])["before"] == {"id": 7, "note": None}
    assert tombstone == (created[0], None)
    latest = mine.client.get_latest_version(f"{mine.prefix}.public.orders-value")
    assert created[1] is not None and int.from_bytes(created[1][1:5]) == latest.schema_id


def test_key_and_value_have_formats_of_their_own(mine: Subjects, records: Encode) -> None:
    batch = made_of(("c", None, {"id": "7", "note": None}), table=ORDERS)
    ((key, value),) = records(mine.format(key_converter="json"), batch)
    assert key == b'{"id":7}' and read(mine, value)["after"] == {"id": 7, "note": None}
    assert mine.names() == {".public.orders-value"}
    ((key, value),) = records(mine.format(value_converter="json"), batch)
    assert read(mine, key) == {"id": 7} and value is not None and json.loads(value)["after"] == {"id": 7, "note": None}


def test_a_changed_table_registers_a_new_version_before_its_first_row(mine: Subjects, records: Encode) -> None:
    first = made_of(("c", None, {"id": "1", "note": "a"}), table=ORDERS)
    second = made_of(("c", None, {"id": "2", "note": "b", "amount": "1.10"}), table=WIDER)
    (_, old), (_, new), (_, again) = records(mine.format(), first, second, first)
    assert read(mine, new)["after"] == {"id": 2, "note": "b", "amount": Decimal("1.10")}
    assert old is not None and new is not None and again is not None
    assert old[:5] == again[:5] != new[:5]
    assert mine.client.get_versions(f"{mine.prefix}.public.orders-value") == [1, 2]
    assert mine.client.get_versions(f"{mine.prefix}.public.orders-key") == [1]


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
    records(mine.format(**options), made_of(("c", None, {"id": "1", "note": "a"}), table=ORDERS))
    assert mine.names() == {name.format(mine.prefix) for name in expected}


def test_an_incompatible_change_of_a_table_is_fatal_with_subject_and_reason(mine: Subjects, records: Encode) -> None:
    format, subject = mine.format(), f"{mine.prefix}.public.orders-value"
    records(format, made_of(("c", None, {"id": "1", "note": "a"}), table=ORDERS))
    mine.client.set_compatibility(subject, "BACKWARD")
    with pytest.raises(Fatal, match=rf"{subject}.*(?s:.*)ncompatible"):
        records(format, made_of(("c", None, {"id": "2", "note": "t"}), table=OTHER))


def test_a_registry_that_is_down_is_retried_and_nothing_is_encoded(records: Encode) -> None:
    format = Format(value_converter="avro", schema_registry_url=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(Retryable, match="does not answer"):
        records(format, made_of(("c", None, {"id": "1", "note": "a"}), table=ORDERS))


def test_without_auto_registration_only_known_schemas_are_written(mine: Subjects, records: Encode) -> None:
    batch = made_of(("c", None, {"id": "1", "note": "a"}), table=ORDERS)
    with pytest.raises(Fatal, match="orders-key"):
        records(mine.format(auto_register_schemas="false"), batch)
    assert mine.names() == set()
    ((_, value),) = records(mine.format(), batch)
    assert records(mine.format(auto_register_schemas="false"), batch)[0][1] is not None
    subject = f"{mine.prefix}.public.orders-value"
    latest = mine.client.register_schema(subject, Schema('"string"', "AVRO"))
    ((_, newer),) = records(mine.format(auto_register_schemas="false", use_latest_version="true"), batch)
    assert newer is not None and value is not None
    assert int.from_bytes(newer[1:5]) == latest and newer[:5] != value[:5]


def test_headers_hold_the_keys_of_a_changed_key_as_json(mine: Subjects) -> None:
    batch = made_of(("u", {"id": "1", "note": "a"}, {"id": "2", "note": "a"}), table=ORDERS)
    encoder = mine.format(tombstones_on_delete="false").encoder("orders")
    (part,) = encoder.encode(batch)
    assert part.headers(0) == [("__debezium.newkey", b'{"id":2}')]
    assert part.headers(1) == [("__debezium.oldkey", b'{"id":1}')]
    assert [read(mine, part.key(index)) for index in range(2)] == [{"id": 1}, {"id": 2}]
    with pytest.raises(BufferError):
        memoryview(part)
    encoder.close()


def test_transforms_register_what_they_leave_under_the_topic_that_they_choose(mine: Subjects, records: Encode) -> None:
    route = {"kind": "by_logical_table_router", "topic_regex": "(.*)orders", "topic_replacement": "$1all"}
    row = {"id": "7", "note": "b"}
    batch = made_of(("c", None, row), ("u", None, row), ("d", {"id": "7"}, None), table=ORDERS)
    rows = records(mine.format(transform=[route, {"kind": "extract_new_record_state"}]), batch, batch)
    assert mine.names() == {".public.all-key", ".public.all-value"}
    assert mine.client.get_versions(f"{mine.prefix}.public.all-value") == [1]
    assert [value and read(mine, value) for _, value in rows] == 2 * [row | {"id": 7}, row | {"id": 7}, None]
    name = f"{mine.prefix}.public.orders"
    assert read(mine, rows[0][0]) == {"id": 7, "__dbz__physicalTableIdentifier": name}


def test_a_route_by_values_registers_each_topic_at_once(mine: Subjects, records: Encode) -> None:
    unwrap = {"kind": "extract_new_record_state", "route_by_field": "note"}
    rows = [("c", None, {"id": str(index), "note": f"{mine.prefix}.{index % 3}"}) for index in range(9)]
    written = records(mine.format(transform=[unwrap]), made_of(*rows, table=ORDERS))
    assert mine.names() == {f".{index}-{half}" for index in range(3) for half in ("key", "value")}
    assert [read(mine, value)["id"] for _, value in written] == list(range(9))


def test_profiles_with_rows_or_keys_that_are_no_json(mine: Subjects, records: Encode) -> None:
    row = {"id": "7", "note": "b"}
    batch = made_of(("u", row, row), table=ORDERS)
    ((_, value),) = records(mine.format(profile="flink"), batch)
    assert read(mine, value)["before"] == read(mine, value)["after"] == {"id": 7, "note": "b"}
    for profile in ("payload", "cloudevents"):
        ((key, value),) = records(mine.format(profile=profile, value_converter="json"), batch)
        assert read(mine, key) == {"id": 7} and value is not None
        event = json.loads(value)
        assert (event["payload"] if profile == "payload" else event["data"])["after"] == {"id": 7, "note": "b"}


def test_a_name_that_a_transform_makes_and_avro_does_not_allow_is_fatal(mine: Subjects, records: Encode) -> None:
    unwrap = {"kind": "extract_new_record_state", "add_fields": "op:a-b"}
    with pytest.raises(Fatal, match=r'public\.orders: "__a-b" is no name that Avro allows'):
        records(mine.format(transform=[unwrap]), made_of(("c", None, {"id": "1", "note": "a"}), table=ORDERS))


def test_transactions_have_subjects_of_their_own(mine: Subjects, records: Encode) -> None:
    batch = made_of(("c", None, {"id": "7", "note": "b"}), table=ORDERS)
    written = records(mine.format(provide_transaction_metadata="true"), batch)
    assert {".transaction-key", ".transaction-value"} < mine.names()
    begin, event, end = (read(mine, value) for _, value in written)
    assert (begin["status"], end["status"], end["event_count"]) == ("BEGIN", "END", 1)
    assert event["transaction"] == {"id": begin["id"], "total_order": 1, "data_collection_order": 1}


def test_heartbeats_have_subjects_of_their_own(mine: Subjects) -> None:
    key, value = beats_of(mine, made_of(("c", None, {"id": "7", "note": "b"}), table=ORDERS))[0]
    assert read(mine, key) == {"serverName": mine.prefix}
    assert set(read(mine, value)) == {"ts_ms"}
