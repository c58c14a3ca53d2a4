"""Debezium's transforms and Kafka Connect's predicates as `[[format.transform]]`."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from tailrace.debezium.transform import TYPES
from tailrace.format import TRANSFORMS
from tests.unit.debezium.test_translate import made, refusal

DEBEZIUM = "io.debezium.transforms."
PREDICATES = "org.apache.kafka.connect.transforms.predicates."


def transforms(**options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tomllib.loads(made(**options).toml)["pipeline"]["shop"]["format"]["transform"]
    return found


@pytest.mark.parametrize(
    ("tombstones", "deletes", "mode"),
    [
        ("true", "drop", "drop"),
        ("false", "drop", "tombstone"),
        ("TRUE", "none", "delete-to-tombstone"),
        ("false", "", "tombstone"),
        ("", "rewrite", "rewrite"),
        ("false", "rewrite", "rewrite-with-tombstone"),
    ],
)
def test_the_options_of_older_releases_are_read(tombstones: str, deletes: str, mode: str) -> None:
    options = {
        "transforms": "unwrap", "transforms_unwrap_type": f"{DEBEZIUM}ExtractNewRecordState",
        "transforms_unwrap_drop_tombstones": tombstones, "transforms_unwrap_delete_handling_mode": deletes,
    }  # fmt: skip
    assert transforms(**options) == [{"kind": "extract_new_record_state", "delete_tombstone_handling_mode": mode}]
    both = {**options, "transforms_unwrap_delete_tombstone_handling_mode": "drop"}
    assert "transforms.unwrap.drop.tombstones" in refusal(**both)


def test_a_chain_keeps_its_order_its_options_and_its_predicates() -> None:
    options = {
        "transforms": "unwrap, route", "transforms_unwrap_type": f"{DEBEZIUM}ExtractNewRecordState",
        "transforms_unwrap_add_fields": "op,source.ts_ms", "transforms_unwrap_drop_fields_from_key": "TRUE",
        "transforms_unwrap_delete_tombstone_handling_mode": "rewrite", "transforms_unwrap_predicate": "orders",
        "transforms_unwrap_negate": "true", "transforms_route_type": f"{DEBEZIUM}ByLogicalTableRouter",
        "transforms_route_topic_regex": "(.*)shard_\\d+(.*)", "transforms_route_topic_replacement": "$1all$2",
        "transforms_route_logical_table_cache_size": "8", "predicates": "orders",
        "predicates_orders_type": f"{PREDICATES}TopicNameMatches", "predicates_orders_pattern": "shop\\.orders",
    }  # fmt: skip
    assert transforms(**options) == [
        {
            "kind": "extract_new_record_state",
            "add_fields": "op,source.ts_ms",
            "drop_fields_from_key": True,
            "delete_tombstone_handling_mode": "rewrite",
            "topic_name_matches": "shop\\.orders",
            "negate": True,
        },
        {
            "kind": "by_logical_table_router",
            "topic_regex": "(.*)shard_\\d+(.*)",
            "topic_replacement": "$1all$2",
            "logical_table_cache_size": 8,
        },
    ]


@pytest.mark.parametrize(
    ("kind", "own", "wanted"),
    [
        ("RecordIsTombstone", {}, {"record_is_tombstone": True}),
        ("HasHeaderKey", {"predicates_p_name": "h"}, {"has_header_key": "h"}),
    ],
)
def test_each_predicate_of_kafka_connect_is_honoured(kind: str, own: dict[str, str], wanted: dict[str, Any]) -> None:
    options = {
        "transforms": "a", "transforms_a_type": f"{DEBEZIUM}ExtractNewRecordState", "transforms_a_predicate": "p",
        "predicates": "p", "predicates_p_type": PREDICATES + kind, **own,
    }  # fmt: skip
    assert transforms(**options) == [{"kind": "extract_new_record_state", **wanted}]


def test_an_expression_in_python_is_taken_as_it_is() -> None:
    options = {
        "transforms": "f", "transforms_f_type": f"{DEBEZIUM}Filter", "transforms_f_language": "python",
        "transforms_f_condition": 'value.op == "u"',
    }  # fmt: skip
    assert transforms(**options) == [{"kind": "filter", "language": "python", "condition": 'value.op == "u"'}]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"type": f"{DEBEZIUM}ExtractNewRecordStat"}, f"did you mean {DEBEZIUM}ExtractNewRecordState?"),
        ({"type": f"{DEBEZIUM}ExtractSchemaToNewRecord"}, "values carry no schema as a field; set `schemas_enable`"),
        ({"type": f"{DEBEZIUM}openlineage.OpenLineage"}, "nothing is told to OpenLineage; remove it"),
        ({"type": "org.example.Mine"}, "is no transform of Debezium or Kafka Connect; it is of your own"),
        ({"type": f"{DEBEZIUM}outbox.EventRouter"}, "there is no outbox router"),
        ({"type": "org.apache.kafka.connect.transforms.ReplaceField$Value"}, "own transforms are not known"),
        ({"type": f"{DEBEZIUM}ExtractNewRecordState", "add_field": "op"}, "did you mean add.fields?"),
        (
            {"type": f"{DEBEZIUM}Filter", "language": "jsr223.groovy", "condition": "value.op == 'u'"},
            "jsr223.groovy is not run here; write the expression in Python",
        ),
        ({"type": f"{DEBEZIUM}ExtractNewRecordState", "predicate": "x"}, "x is no predicate of Kafka Connect"),
        ({"type": f"{DEBEZIUM}ExtractNewRecordState", "drop_fields_from_key": "maybe"}, "this must be true or false"),
    ],
)
def test_what_cannot_be_honoured_is_named(options: dict[str, str], reason: str) -> None:
    said = refusal(transforms="a", **{f"transforms_a_{name}": value for name, value in options.items()})
    assert reason in said and "transforms.a" in said


def test_options_of_a_transform_that_is_not_named_are_refused() -> None:
    assert "transforms.b.type: transforms does not name it" in refusal(transforms_b_type=f"{DEBEZIUM}Filter")


def test_every_transform_of_ours_has_its_class() -> None:
    assert {each.kind for each in TYPES.values() if each.kind is not None} == set(TRANSFORMS)
    assert all(each.kind or each.why for each in TYPES.values())
