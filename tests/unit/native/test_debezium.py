"""Debezium's JSON as Python gets it: the parts of a buffer of lines, and that every value can be read back."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace._native import UNCHANGED, Batch, Column, DebeziumJson, Encoded, Table, Unchanged
from tailrace.error import Reject
from tailrace.format import Format
from tests.unit.native.made import made

Cells = Mapping[str, "str | Unchanged | None"]
ORDERS = Table(
    "public",
    "orders",
    [Column("id", "int8", nullable=False), Column("note", "text"), Column("amount", "numeric(12,2)", nullable=False)],
    key=["id"],
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


batch_of = partial(made, table=ORDERS, database="shop")


def encoded(batch: Batch, profile: DebeziumJson | None = None) -> Encoded:
    (only,) = batch.json(profile or Format(topic_prefix="shop").profile("shop"))
    return only


def written(kind: str, text: str) -> Any:
    """What `text` of a column of this type becomes, parsed."""
    table = Table("public", "t", [Column("v", kind)])
    value = encoded(batch_of(("c", None, {"v": text}), table=table)).value(0)
    assert value is not None
    return json.loads(value)["after"]["v"]


def test_the_buffer_is_json_lines_and_parts_are_slices_of_it() -> None:
    row = {"id": "1", "note": "a", "amount": "1.10"}
    batch = batch_of(("c", None, row), ("u", {"id": "1"}, {**row, "id": "2"}), ("d", {"id": "2"}, None))
    part = encoded(batch)
    lines = bytes(memoryview(part)).decode().splitlines()
    assert [part.change(index) for index in range(len(part))] == [0, 1, 1, 1, 2, 2]
    for index, line in enumerate(lines):
        parsed = json.loads(line)
        assert parsed["topic"] == part.topic(index)
        for name, slice_ in (("key", part.key(index)), ("value", part.value(index))):
            assert f'"{name}":{(slice_ or b"null").decode()}' in line
        headers = [[name, json.loads(value)] for name, value in part.headers(index)]
        if headers:
            assert parsed["headers"] == headers
        else:
            assert "headers" not in parsed, "a line has headers only when there are some"
    assert {bool(part.headers(index)) for index in range(len(part))} == {True, False}
    assert part.headers(1) == [("__debezium.newkey", b'{"id":2}')]
    assert part.headers(3) == [("__debezium.oldkey", b'{"id":1}')]
    assert (part.key(2), part.value(2)) == (b'{"id":1}', None)
    assert part.nbytes == sum(len(line.encode()) + 1 for line in lines)


def test_i9_a_rejected_change_is_named_by_index_and_column_and_never_by_its_value() -> None:
    row = {"id": "1", "note": "a", "amount": "1.10"}
    batch = batch_of(("c", None, row), ("c", None, {**row, "amount": "NaN"}), ("c", None, {**row, "id": "secret"}))
    with pytest.raises(Reject) as caught:
        list(batch.json(Format(topic_prefix="shop").profile("shop")))
    assert set(caught.value.reasons) == {1, 2}
    assert 'public.orders, column "amount"' in caught.value.reasons[1]
    assert "secret" not in str(caught.value.reasons)
    assert len(encoded(batch.without([1, 2]))) == 1


def test_a_segment_after_the_first_counts_changes_from_the_batchs_start() -> None:
    row: Cells = {"id": "1", "note": "a", "amount": "1.10"}
    renamed = Table("public", "orders", [Column("id", "int8", nullable=False)], key=["id"])
    (batch,) = Batch.merge(
        [batch_of(("c", None, row), ("c", None, row)), batch_of(("c", None, {"id": "3"}), table=renamed)]
    )
    parts = list(batch.json(Format(topic_prefix="shop").profile("shop")))
    assert [part.change(index) for part in parts for index in range(len(part))] == [0, 1, 2]


def test_an_unchanged_cell_is_the_placeholder() -> None:
    profile = Format(topic_prefix="shop", unavailable_value_placeholder="?").profile("shop")
    value = encoded(batch_of(("u", None, {"id": "1", "note": UNCHANGED, "amount": "1.10"})), profile).value(0)
    assert value is not None
    assert json.loads(value)["after"]["note"] == "?"


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_text_comes_back(text: str) -> None:
    assert written("text", text) == text


@given(st.binary())
def test_bytes_come_back(content: bytes) -> None:
    assert base64.b64decode(written("bytea", f"\\x{content.hex()}")) == content


@given(st.floats(allow_nan=False))
def test_doubles_come_back(number: float) -> None:
    text = "Infinity" if number == math.inf else "-Infinity" if number == -math.inf else repr(number)
    assert float(written("float8", text)) == number


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3))
def test_decimals_come_back(number: Decimal) -> None:
    unscaled = int.from_bytes(base64.b64decode(written("numeric(38,3)", f"{number:f}")), signed=True)
    assert Fraction(unscaled, 1000) == Fraction(number)
    struct = written("numeric", f"{number:f}")
    value = int.from_bytes(base64.b64decode(struct["value"]), signed=True)
    assert Fraction(value, 10 ** struct["scale"]) == Fraction(number)


@given(st.datetimes(timezones=st.just(UTC)))
def test_timestamps_come_back(moment: datetime) -> None:
    text = f"{moment:%Y}".zfill(4) + f"{moment:-%m-%d %H:%M:%S.%f}+00"
    assert datetime.fromisoformat(written("timestamptz", text)) == moment
    assert EPOCH + timedelta(microseconds=written("timestamp", text.removesuffix("+00"))) == moment
