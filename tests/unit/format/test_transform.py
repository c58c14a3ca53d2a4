"""Transforms of records: conditions in Python, what is refused, and what TOML says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tailrace._native import UNCHANGED, Batch, Column, Encoded, Table
from tailrace.config import load
from tailrace.error import ConfigError, Fatal, Reject
from tailrace.format import Format, Transform
from tests.unit.native.made import made

ORDERS = Table(
    "public",
    "orders",
    [Column("id", "int8", nullable=False), Column("note", "text"), Column("amount", "numeric(12,2)", nullable=False)],
    key=["id"],
)
UUID = "00000000-0000-0000-0000-000000000001"
ROW = {"id": "1", "note": "secret", "amount": "1.10"}
batch_of = partial(made, table=ORDERS, database="shop")


def encoded(batch: Batch, *steps: Transform, **options: str | bool) -> Encoded:
    (part,) = batch.json(Format(topic_prefix="shop", transform=steps, **options).profile("shop"))
    return part


def topics(part: Encoded) -> list[str]:
    return [part.topic(index) for index in range(len(part))]


def ops(part: Encoded) -> list[str | None]:
    values = [part.value(index) for index in range(len(part))]
    return [None if value is None else json.loads(value)["op"] for value in values]


CHANGES = (
    ("c", None, ROW),
    ("u", ROW, {**ROW, "amount": "20.00"}),
    ("u", ROW, {**ROW, "id": "2"}),
    ("d", {**ROW, "id": "2"}, None),
)


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
@pytest.mark.parametrize(
    ("type", "mode"),
    [(type, mode) for type in ("timestamp(0)", "timestamp(3)", "timestamp") for mode in ("adaptive", "connect")]
    + [("timestamp(3)", "nanoseconds"), ("timestamp", "microseconds")],
)
def test_infinity_stays_what_it_is_in_another_zone(type: str, mode: str, zone: str) -> None:
    columns = [Column("id", "int8", nullable=False), *(Column(name, type) for name in ("end", "start", "day"))]
    table = Table("public", "spans", columns, key=["id"])
    row = {"id": "1", "end": "infinity", "start": "-infinity", "day": "2024-07-01 12:00:00"}
    batch = made(("c", None, row), table=table, database="shop")
    written = [
        json.loads(encoded(batch, *steps, time_precision_mode=mode).value(0) or b"")["after"]
        for steps in ((), (Transform("timezone_converter", converted_timezone=zone),))
    ]
    still, moved = written
    assert [moved[name] == still[name] for name in ("end", "start", "day")] == [True, True, False]


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ("value.op == 'u'", ["u", None, None]),
        ("value.after is not None and value.after.amount > 10", ["u", None, None]),
        ("value.op == 'd' and value.before['id'] == 1 and value.after is None", [None, "d", None]),
        ("key.id == 2", [None, "c", "d", None]),
        ("value.source.table == 'orders' and topic.endswith('.orders')", ["c", "u", "d", None, "c", "d", None]),
        ("any(name == '__debezium.newkey' for name in headers)", ["d", None, None]),
        ("isinstance(value.after or value.before, dict)", [None, None]),
    ],
)
def test_a_filter_keeps_what_its_condition_says(condition: str, kept: list[str | None]) -> None:
    part = encoded(batch_of(*CHANGES), Transform("filter", condition=condition))
    assert sorted(ops(part), key=str) == sorted(kept, key=str)


def test_tombstones_pass_a_filter_unless_it_says_otherwise() -> None:
    deleted = batch_of(("d", ROW, None))
    assert ops(encoded(deleted, Transform("filter", condition="False"))) == [None]
    assert ops(encoded(deleted, Transform("filter", condition="True", null_handling_mode="drop"))) == ["d"]
    judged = Transform("filter", condition="value is None and key.id == 1", null_handling_mode="evaluate")
    assert ops(encoded(deleted, judged)) == [None]


def test_a_router_sends_records_to_the_topic_that_its_expression_names() -> None:
    step = Transform("content_based_router", topic_expression="'large' if value.after.amount > 10 else None")
    after = [change for change in CHANGES if change[0] != "d"][:2]
    assert topics(encoded(batch_of(*after), step)) == ["shop.public.orders", "large"]
    elsewhere = Transform("content_based_router", topic_expression="'x'", topic_regex=r"shop\.other\..*")
    assert topics(encoded(batch_of(*after), elsewhere)) == ["shop.public.orders"] * 2


def test_what_comes_behind_a_router_sees_its_topic() -> None:
    steps = (
        Transform("content_based_router", topic_expression="f'to.{value.after.id}'"),
        Transform("extract_new_record_state", topic_name_matches=r"to\.1"),
        Transform("by_logical_table_router", topic_regex=r"to\.(\d)", topic_replacement="n$1", key_field_name="of"),
    )
    part = encoded(batch_of(("c", None, ROW), ("c", None, {**ROW, "id": "2"})), *steps)
    assert topics(part) == ["n1", "n2"]
    assert part.value(0) == b'{"id":1,"note":"secret","amount":"bg=="}'
    assert part.key(1) == b'{"id":2,"of":"to.2"}'
    assert (part.value(1) or b"").startswith(b'{"before":null')


def test_a_row_names_its_topic() -> None:
    step = Transform("extract_new_record_state", route_by_field="note")
    rows = [{**ROW, "note": note} for note in ("there", "", None)]
    part = encoded(batch_of(*(("c", None, row) for row in rows), ("d", {**ROW, "note": "gone"}, None)), step)
    assert topics(part) == ["there", "shop.public.orders", "shop.public.orders", "gone"]


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (Transform("filter", condition="value.after.nothing == 1"), "raised AttributeError"),
        (Transform("filter", condition="value.after.note"), "raised TypeError"),
        (Transform("content_based_router", topic_expression="1 / 0"), "raised ZeroDivisionError"),
        (Transform("content_based_router", topic_expression="value.after.note + ' '"), "Kafka does not allow"),
        (Transform("extract_new_record_state", route_by_field="amount"), "no column of text"),
        (Transform("extract_new_record_state", route_by_field="nothing"), "no column of text"),
        (Transform("extract_new_record_state", add_fields="op:note", add_fields_prefix=""), "has already"),
    ],
)
def test_a_change_that_a_transform_cannot_take_is_refused_without_its_values(step: Transform, reason: str) -> None:
    with pytest.raises(Reject) as refused:
        encoded(batch_of(("c", None, ROW), ("c", None, ROW)), step)
    assert set(refused.value.reasons) == {0, 1}
    assert all("public.orders" in text and reason in text for text in refused.value.reasons.values())
    assert "secret" not in str(refused.value.reasons)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Transform("filtr", condition="True"), "did you mean 'filter'"),
        (lambda: Transform("filter"), "filter needs condition"),
        (lambda: Transform("filter", condition="value.op =="), "no Python expression"),
        (lambda: Transform("filter", condition="open('x')"), "'open', which is nothing there"),
        (lambda: Transform("filter", condition="value.__class__"), "'__class__'"),
        (lambda: Transform("filter", condition="True", conditoin="x"), "did you mean 'condition'"),
        (lambda: Transform("filter", condition="True", language="groovy"), "language"),
        (lambda: Format(transform=[Transform("by_logical_table_router", topic_regex="a")]), "topic_replacement"),
        (lambda: Format(transform=[Transform("timezone_converter", converted_timezone="x")]), "no time zone"),
        (lambda: Format(transform={"kind": "filter"}), "must be a list"),
        (lambda: Format(transform=[{"condition": "True"}]), "no kind"),
    ],
)
def test_a_mistake_is_told_before_anything_runs(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_transforms_stand_in_toml_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text("""
        [pipeline.shop]
        source = "postgresql://localhost/shop"
        sink = "stdout:"
        [[pipeline.shop.format.transform]]
        kind = "extract_changed_record_state"
        header_changed_name = "changed"
        [[pipeline.shop.format.transform]]
        kind = "extract_new_record_state"
        add_fields = ["op", "source.ts_ms"]
        topic_name_matches = 'shop\\.public\\..*'
    """)
    sink: Any = load(path).pipelines["shop"].sink
    assert [step.kind for step in sink.format.transform] == ["extract_changed_record_state", "extract_new_record_state"]
    assert dict(sink.format.transform[1].given)["add_fields"] == "op,source.ts_ms"
    path.write_text(path.read_text().replace("header_changed_name", "header_changed"))
    with pytest.raises(ConfigError, match=r"pipeline.shop.format.*did you mean 'header_changed_name'"):
        load(path)


def test_a_partition_stands_in_the_line_and_on_the_record() -> None:
    step = Transform("partition_routing", partition_payload_fields="change.id", partition_topic_num=5)
    part = encoded(batch_of(("c", None, {**ROW, "id": "8"}), ("d", ROW, None)), step)
    assert [part.partition(index) for index in range(len(part))] == [3, 1, None]
    assert bytes(memoryview(part)).splitlines()[0].endswith(b',"partition":3}')


def test_the_profile_payload_wraps_keys_and_values() -> None:
    part = encoded(batch_of(("c", None, ROW), ("d", ROW, None)), profile="payload")
    assert part.key(0) == b'{"payload":{"id":1}}'
    assert (part.value(0) or b"").startswith(b'{"payload":{"before":null,"after":{"id":1,')
    assert part.value(2) is None
    plain = json.loads(encoded(batch_of(("c", None, ROW))).value(0) or b"")
    wrapped = json.loads(part.value(0) or b"")["payload"]
    assert {**wrapped, "ts_ms": 0, "ts_us": 0, "ts_ns": 0} == {**plain, "ts_ms": 0, "ts_us": 0, "ts_ns": 0}
    with pytest.raises(ConfigError, match="without its schema"):
        Format(profile="payload", schemas_enable=True)


def test_the_profile_flat_is_rows_that_say_what_happened() -> None:
    part = encoded(batch_of(("c", None, ROW), ("d", ROW, None)), profile="flat")
    created, deleted = (json.loads(part.value(index) or b"") for index in range(len(part)))
    assert list(created) == ["id", "note", "amount", "__deleted", "__op", "__lsn", "__ts_ms", "__unavailable"]
    assert (created["__unavailable"], deleted["__unavailable"]) == (None, None)
    assert (created["amount"], created["__deleted"], deleted["__deleted"], deleted["__op"]) == (
        "1.10",
        "false",
        "true",
        "d",
    )


def test_a_flat_row_has_null_for_what_was_not_sent_and_lists_it() -> None:
    columns = [Column("id", "int8", nullable=False), Column("note", "text", nullable=False), Column("tags", "text[]")]
    table = Table("public", "notes", columns, key=["id"])
    sent, moved = {"id": "1", "note": "a", "tags": "{b}"}, {"id": "2", "note": UNCHANGED, "tags": UNCHANGED}
    changes = (
        ("u", None, {**sent, "note": UNCHANGED}),
        ("u", None, sent),
        ("u", None, {**sent, "tags": UNCHANGED}),
        ("u", {"id": "1"}, moved),
        ("u", sent, {**sent, "note": UNCHANGED}),
    )
    part = encoded(made(*changes, table=table, database="shop"), profile="flat")
    rows = [json.loads(value) for index in range(len(part)) if (value := part.value(index))]
    told = [(row["__op"], row["note"], row["tags"], row["__unavailable"]) for row in rows]
    assert told == [
        ("u", None, ["b"], ["note"]),
        ("u", "a", ["b"], None),
        ("u", "a", None, ["tags"]),
        ("d", None, None, ["note", "tags"]),  # the old row is its key only
        ("c", None, None, ["note", "tags"]),
        ("u", "a", ["b"], None),
    ]


def test_a_create_may_lack_what_an_update_of_its_key_left_as_it_was() -> None:
    create = ("c", None, {**ROW, "note": UNCHANGED})  # as a topic has it of which the source is Kafka
    row = json.loads(encoded(batch_of(create), profile="flat").value(0) or b"")
    assert (row["note"], row["__unavailable"]) == (None, ["note"])


def test_a_deleted_flat_row_tells_what_was_not_sent_from_what_is_null_or_zero() -> None:
    columns = [Column("id", "int8", nullable=False), Column("n", "int4", nullable=False), Column("note", "text")]
    table = Table("public", "notes", columns, key=["id"])
    zero = {"id": "1", "n": "0", "note": None}
    part = encoded(made(("d", {"id": "1"}, None), ("d", zero, None), table=table), profile="flat")
    rows = [json.loads(value) for index in range(len(part)) if (value := part.value(index))]
    told = [(row["__op"], row["n"], row["note"], row["__unavailable"]) for row in rows]
    assert told == [("d", None, None, ["n", "note"]), ("d", 0, None, None)]


@pytest.mark.parametrize("fields", [{}, {"add_fields": "table"}], ids=["bare", "fields"])
@pytest.mark.parametrize("mode", ["rewrite", "drop"])
def test_a_transform_of_the_users_own_leaves_no_placeholder_in_a_flat_row(mode: str, fields: dict[str, str]) -> None:
    step = Transform("extract_new_record_state", delete_tombstone_handling_mode=mode, **fields)
    part = encoded(batch_of(("u", None, {**ROW, "note": UNCHANGED}), ("d", {"id": "1"}, None)), step, profile="flat")
    rows = [json.loads(value) for index in range(len(part)) if (value := part.value(index))]
    told = [(row["id"], row["note"], row["amount"], row["__unavailable"]) for row in rows]
    deleted = [(1, None, None, ["note", "amount"])] if mode == "rewrite" else []
    assert told == [(1, None, "1.10", ["note"]), *deleted]
    assert all("__op" not in row for row in rows)


def test_a_key_column_that_was_not_sent_is_refused_in_a_flat_row() -> None:
    columns = [Column("id", "int8", nullable=False), Column("k", "text", nullable=False), Column("n", "int4")]
    table = Table("public", "keyed", columns, key=["id", "k"])
    batch = made(("u", None, {"id": "1", "k": UNCHANGED, "n": "1"}), table=table)
    with pytest.raises(Reject) as refused:
        encoded(batch, profile="flat", message_key_columns="public.keyed:id")
    assert "a key column that was not sent" in str(refused.value.reasons)


def test_a_default_is_neither_written_for_a_null_nor_told_of_what_may_be_not_sent_in_a_flat_row() -> None:
    columns = [Column("id", "int8", nullable=False, default="7", defaulted=True)]
    columns.append(Column("note", "text", default="'abc'::text", defaulted=True))
    columns.append(Column("n", "int4", default="7", defaulted=True))
    table = Table("public", "notes", columns, key=["id"])
    batch = made(("c", None, {"id": "1", "note": None, "n": None}), table=table)
    value = json.loads(encoded(batch, profile="flat", schemas_enable=True).value(0) or b"")
    assert (value["payload"]["note"], value["payload"]["n"]) == (None, None)
    assert {field["field"]: field["default"] for field in value["schema"]["fields"] if "default" in field} == {"id": 7}


def test_all_but_the_key_may_be_null_in_the_schema_of_a_flat_row() -> None:
    kinds = ("int8", "timestamptz", "uuid", "text", "bytea", "numeric(9,2)", "int4[]", "date")
    columns = [Column(kind, kind, nullable=False) for kind in kinds]
    table = Table("public", "kinds", columns, key=["int8", "text"])
    row = dict(
        zip(kinds, ("1", "2026-01-01 00:00:00+00", UUID, "a", "\\x00", "1.10", "{1}", "2026-01-01"), strict=True)
    )
    part = encoded(made(("c", None, row), table=table), profile="flat", schemas_enable=True)
    fields = json.loads(part.value(0) or b"")["schema"]["fields"]
    assert {field["field"] for field in fields if field["optional"] and not field["field"].startswith("__")} == {
        *("timestamptz", "uuid", "bytea", "numeric(9,2)", "int4[]", "date")
    }


def test_a_column_with_the_name_of_the_list_is_refused_in_a_flat_row() -> None:
    columns = [Column("id", "int8", nullable=False), Column("__unavailable", "text")]
    table = Table("public", "odd", columns, key=["id"])
    with pytest.raises(Reject) as refused:
        encoded(made(("c", None, {"id": "1", "__unavailable": "a"}), table=table), profile="flat")
    assert "rename the column" in str(refused.value.reasons)


def test_the_profile_cloudevents_is_an_envelope_in_another_form() -> None:
    part = encoded(batch_of(("c", None, ROW), ("d", ROW, None)), profile="cloudevents")
    created = json.loads(part.value(0) or b"")
    assert (created["source"], created["specversion"], created["iodebeziumop"], created["data"]) == (
        "/debezium/postgresql/shop",
        "1.0",
        "c",
        {"before": None, "after": {"id": 1, "note": "secret", "amount": "1.10"}},
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", created["time"])
    assert part.key(1) == b'{"id":1}'
    assert part.value(2) is None


def test_what_is_no_envelope_is_no_cloudevent() -> None:
    with pytest.raises(Reject) as refused:
        encoded(batch_of(("c", None, ROW)), Transform("extract_new_record_state"), profile="cloudevents")
    assert "needs the envelope" in str(refused.value.reasons)


def test_the_data_of_a_cloudevent_may_have_a_schema() -> None:
    part = encoded(batch_of(("c", None, ROW)), profile="cloudevents", schemas_enable=True)
    created = json.loads(part.value(0) or b"")
    assert (created["specversion"], list(created["data"])) == ("1.0", ["schema", "payload"])
    assert created["data"]["schema"]["name"] == "io.debezium.connector.postgresql.Data"
    assert created["data"]["payload"]["after"]["id"] == 1
    binary = Format(topic_prefix="shop", profile="cloudevents_binary", schemas_enable=True).encoder("shop")
    (part,) = binary.encode(batch_of(("c", None, ROW)))
    assert json.loads(part.value(0) or b"") == created["data"]


def test_transactions_and_payload_go_together() -> None:
    part = encoded(batch_of(("c", None, ROW)), profile="payload", provide_transaction_metadata=True)
    begin, created, end = (json.loads(part.value(index) or b"")["payload"] for index in range(len(part)))
    assert (begin["status"], end["status"], end["event_count"]) == ("BEGIN", "END", 1)
    assert created["transaction"]["total_order"] == 1
    assert created["transaction"]["id"] == begin["id"]
    assert all(part.key(index).startswith(b'{"payload":') for index in range(len(part)))


def test_expressions_in_python_judge_changes_only() -> None:
    nothing = Transform("filter", condition="value.op == 'd'")
    part = encoded(batch_of(("c", None, ROW)), nothing, provide_transaction_metadata=True)
    assert [part.topic(index) for index in range(len(part))] == 2 * ["shop.transaction"]


def test_a_topic_that_kafka_does_not_allow_stops_where_no_change_can_be_refused() -> None:
    away = Transform("by_logical_table_router", topic_regex=".*transaction", topic_replacement="not allowed")
    with pytest.raises(Fatal, match=r"topic shop\.transaction: a topic whose name Kafka does not allow"):
        encoded(batch_of(("c", None, ROW)), away, provide_transaction_metadata=True)


@pytest.mark.parametrize("profile", ["flat", "cloudevents", "cloudevents_binary"])
def test_profiles_for_other_readers_have_texts_unless_options_say_otherwise(profile: str) -> None:
    columns = [Column("d", "date", nullable=False), Column("t", "time"), Column("s", "timestamp"), Column("m", "money")]
    table = Table("public", "moments", columns, key=["d"])
    batch = made(
        ("c", None, {"d": "2026-03-01", "t": "01:02:03.5", "s": "2026-03-01 01:02:03.5", "m": "$1.10"}), table=table
    )

    def after(**options: str) -> list[object]:
        (part,) = Format(topic_prefix="shop", profile=profile, **options).encoder("shop").encode(batch)
        value = json.loads(part.value(0) or b"")
        value = value.get("data", value)
        return [value.get("after", value)[name] for name in ("d", "t", "s", "m")]

    zone = "" if profile == "flat" else "Z"
    assert after() == [f"2026-03-01{zone}", f"01:02:03.5{zone}", f"2026-03-01T01:02:03.5{zone}", "1.10"]
    assert after(time_precision_mode="adaptive", decimal_handling_mode="double") == [
        20513, 3723500000, 1772326923500000, 1.1,
    ]  # fmt: skip


def test_the_profile_flink_has_texts_that_flink_reads() -> None:
    columns = [Column("id", "int8", nullable=False), Column("d", "date"), Column("t", "time"), Column("s", "timestamp")]
    columns += [Column("z", "timestamptz"), Column("n", "numeric(12,2)"), Column("b", "bytea")]
    table = Table("public", "moments", columns, key=["id"])
    moment, instant = "2026-03-01 01:02:03.5", "2026-03-01 01:02:03.5+00"
    row = {"id": "1", "d": "2026-03-01", "t": "01:02:03.5", "s": moment, "z": instant, "n": "1.10", "b": "\\x01"}
    part = encoded(made(("c", None, row), table=table, database="shop"), profile="flink")
    assert json.loads(part.value(0) or b"")["after"] == {
        "id": 1,
        "d": "2026-03-01",
        "t": "01:02:03.5",
        "s": "2026-03-01T01:02:03.5",
        "z": "2026-03-01T01:02:03.500000Z",
        "n": "1.10",
        "b": "AQ==",
    }
    after = json.loads(encoded(batch_of(("u", ROW, ROW)), profile="flink").value(0) or b"")
    assert (after["op"], after["before"]["note"]) == ("u", "secret")
    for change in (("u", None, ROW), ("d", {"id": "1"}, None)):
        with pytest.raises(Reject) as refused:
            encoded(batch_of(change), profile="flink")
        assert "public.orders: " in refused.value.reasons[0]
        assert "REPLICA IDENTITY FULL" in refused.value.reasons[0]


def test_a_cloudevent_in_the_binary_form_has_its_attributes_in_headers() -> None:
    batch = batch_of(("c", None, ROW), ("d", ROW, None))
    encoder = Format(topic_prefix="shop", profile="cloudevents_binary").encoder("shop")
    (part,) = encoder.encode(batch)
    headers = dict(part.headers(0))
    structured = json.loads(encoded(batch, profile="cloudevents").value(0) or b"")
    content_type, data = structured.pop("datacontenttype"), structured.pop("data")
    kept = {f"ce_{name}": text.encode() for name, text in structured.items() if text is not None}
    assert headers == {**kept, "content-type": content_type.encode()}
    assert (part.key(0), json.loads(part.value(0) or b"")) == (b'{"id":1}', data)
    assert (part.value(2), part.headers(2)) == (None, [])
    with pytest.raises(ConfigError, match="no headers of plain text"):
        Format(profile="cloudevents_binary").profile("shop")
