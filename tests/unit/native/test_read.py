"""Change events as they are read back: what Python sees of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tailrace._native import UNCHANGED, Change, EventReader

KEY = b'{"id":1}'


def event(op: str, *, before: Any = None, after: Any = None) -> bytes:
    source = {"connector": "postgresql", "db": "shop", "ts_us": 1_700_000_000_000_123, "schema": "public"}
    source |= {"table": "orders", "snapshot": "false", "txId": 755, "lsn": 24_023_128}
    return json.dumps({"before": before, "after": after, "source": source, "op": op}).encode()


def read(*records: tuple[bytes | None, bytes | None], **options: Any) -> list[Change]:
    reader = EventReader("kafka/c/t/3", topic="shop.public.orders", partition=3, **options)
    reader.feed([(key, value, 1_000, offset) for offset, (key, value) in enumerate(records, 17)])
    batch = reader.take()
    assert batch is not None
    return list(batch)


def test_an_event_is_the_change_that_it_was_made_of() -> None:
    [create, update, delete] = read(
        (KEY, event("c", after={"id": 1, "price": 1.5, "tags": ["a"], "note": None})),
        (KEY, event("u", after={"id": 1, "price": 2.5, "tags": None, "note": "__debezium_unavailable_value"})),
        (KEY, event("d", before={"id": 1, "price": None, "tags": None, "note": None})),
        (KEY, None),
    )
    assert (create.op, str(create.table), create.table.key) == ("c", "public.orders", ("id",))
    assert dict(create.after or {}) == {"id": 1, "price": 1.5, "tags": ["a"], "note": None}
    assert create.committed_at.isoformat() == "2023-11-14T22:13:20.000123+00:00"
    assert create.transaction == 755
    assert (create.position.lineage, create.position.text) == ("kafka/c/t/3", "00000000000000000017")
    assert update.after is not None
    assert update.after["note"] is UNCHANGED
    assert dict(delete.before or {}) == {"id": 1}
    assert delete.key is not None
    assert delete.key["id"] == 1


def test_an_old_row_that_says_more_than_its_key_is_whole() -> None:
    [update, delete] = read(
        (KEY, event("u", before={"id": 1, "n": None}, after={"id": 1, "n": 2})),
        (KEY, event("d", before={"id": 1, "n": 2})),
    )
    assert dict(update.before or {}) == {"id": 1, "n": None}
    assert dict(delete.before or {}) == {"id": 1, "n": 2}


@pytest.mark.parametrize(("plain", "op"), [("append", "c"), ("upsert", "u")])
def test_plain_json_is_what_it_is_told_to_be(plain: str, op: str) -> None:
    [first, gone] = read((b"k", b'{"a": 1}'), (b"k", None), plain=plain)
    assert (first.op, dict(first.after or {}), gone.op) == (op, {"_key": "k", "a": 1}, "d")
    assert first.committed_at.timestamp() == 1


def test_a_record_that_is_not_understood_is_named() -> None:
    reader = EventReader("kafka/c/t/3", topic="orders", partition=3)
    with pytest.raises(ValueError, match=r"topic orders, partition 3, offset 6: .* at byte 2"):
        reader.feed([(None, b'{"a":1}', 0, 5), (None, b"{ not json", 0, 6), (None, b'{"a":2}', 0, 7)])
    batch = reader.take()
    assert batch is not None
    assert [change.position.text[-1] for change in batch] == ["5"]


def test_wrapped_events_are_unwrapped() -> None:
    payload = json.loads(event("c", after={"id": 1}))
    cloud = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": {"payload": payload}}
    for value in ({"payload": payload}, {"schema": None, "payload": payload}, cloud):
        [change] = read((b'{"payload":{"id":1}}', json.dumps(value).encode()))
        assert (change.op, change.transaction, dict(change.after or {})) == ("c", 755, {"id": 1})


def test_the_content_of_a_message_is_taken_for_hex_only_where_whoever_writes_has_that_mode() -> None:
    def message(content: str) -> bytes:
        body = json.loads(event("m")) | {"message": {"prefix": "audit", "content": content}}
        return json.dumps(body).encode()

    [change] = read((None, message("00ff")), binary_handling_mode="hex")
    assert change.message is not None
    assert change.message.content == b"\x00\xff"
    [change] = read((None, message("AP8=")))
    assert change.message is not None
    assert change.message.content == b"\x00\xff"
    for broken in ("00f", "zz"):
        with pytest.raises(ValueError, match=r"offset 17.*not hex, as binary_handling_mode says"):
            read((None, message(broken)), binary_handling_mode="hex")
    with pytest.raises(ValueError, match="binary_handling_mode is bytes, base64"):
        EventReader("", topic="a", binary_handling_mode="octal")  # type: ignore[arg-type]
