"""Stored offsets in every form, and where Tailrace goes on from them (I6)."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tailrace.debezium.offset import choose, read, takeover
from tailrace.error import ConfigError, HistoryLost
from tailrace.source.postgres.takeover import Takeover

# What java.io.ObjectOutputStream wrote of a HashMap<byte[], byte[]> with one offset, and one that was removed.
_JAVA = base64.b64decode(
    "rO0ABXNyABFqYXZhLnV0aWwuSGFzaE1hcAUH2sHDFmDRAwACRgAKbG9hZEZhY3RvckkACXRocmVzaG9sZHhwP0AAAAAAAAx3CAAAABAAAAACdXIA"
    "AltCrPMX+AYIVOACAAB4cAAAABpbInNob3AiLHsic2VydmVyIjoic2hvcCJ9XXVxAH4AAgAAAGt7Imxzbl9wcm9jIjozMDU0MTk4OTYsIm1lc3Nh"
    "Z2VUeXBlIjoiSU5TRVJUIiwibHNuX2NvbW1pdCI6MzA1NDE5Nzc2LCJsc24iOjMwNTQxOTg5NiwidHhJZCI6NzQ1LCJ0c191c2VjIjoxfXVxAH4A"
    "AgAAABxbIm90aGVyIix7InNlcnZlciI6Im90aGVyIn1dcHg="
)
_JAVA_LIST = base64.b64decode("rO0ABXNyABNqYXZhLnV0aWwuQXJyYXlMaXN0eIHSHZnHYZ0DAAFJAARzaXpleHAAAAABdwQAAAABdAABeHg=")
KEY = '["shop",{"server":"shop"}]'
OFFSET: dict[str, Any] = {
    "lsn_proc": 305419896, "messageType": "INSERT", "lsn_commit": 305419776, "lsn": 305419896, "txId": 745,
    "ts_usec": 1,
}  # fmt: skip
WHOLE = {"committed_lsn": "0/12345600", "xid": 745, "row_lsn": "0/12345678"}


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "offsets"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        _JAVA,
        json.dumps({"offsets": [{"partition": {"server": "shop"}, "offset": OFFSET}]}),
        json.dumps(OFFSET),
        f"{KEY}\t{json.dumps(OFFSET)}\n",
        f"{KEY}\n{json.dumps({**OFFSET, 'lsn': 1})}\n{KEY}\n{json.dumps(OFFSET)}\n",
        json.dumps({"key": KEY, "value": json.dumps(OFFSET)}),
        json.dumps({"key": json.loads(KEY), "value": OFFSET}),
    ],
    ids=["java", "rest", "alone", "record", "topic", "wrapped texts", "wrapped"],
)
def test_an_offset_is_read_in_each_form(content: str | bytes, tmp_path: Path) -> None:
    assert choose(read(written(tmp_path, content)), name="shop", prefix="shop") == OFFSET


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty: its connector was killed while it wrote"),
        (_JAVA[:90], "it ends early"),
        (_JAVA[:2], "no offsets that are understood"),
        (_JAVA_LIST, "no HashMap"),
        (b"\x00\x01", "no offsets"),
        ("hello", "no offsets that are understood"),
        ("[1, 2]", "no offsets that are understood"),
        (f"{KEY}\n", "neither an offset"),
        (f"{KEY} 7", "a value is no JSON object"),
        ('["shop"] {}', "a key is not of the form"),
    ],
)
def test_what_holds_no_offsets_is_refused(content: str | bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        read(written(tmp_path, content))
    assert ("--from-slot" in str(caught.value)) == (isinstance(content, bytes) and content[:2] != b"\x00\x01")


def test_every_cut_of_a_java_file_is_refused(tmp_path: Path) -> None:
    for length in range(len(_JAVA)):
        with pytest.raises(ConfigError):
            read(written(tmp_path, _JAVA[:length]))


@pytest.mark.parametrize(
    ("name", "prefix", "reason"),
    [
        ("shop", "other", "stored are other .*, shop .*"),
        (None, None, "which offset is meant is not clear"),
        ("other", "other", "was removed"),
    ],
)
def test_an_offset_is_never_guessed(name: str | None, prefix: str | None, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=reason):
        choose(read(written(tmp_path, _JAVA)), name=name, prefix=prefix)


def _taken(**changes: Any) -> dict[str, Any]:
    offset = {name: value for name, value in {**OFFSET, **changes}.items() if value is not None}
    made = takeover(offset, trust_slot=False, in_part=True)
    Takeover(**made)  # type: ignore[arg-type]
    return made


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, WHOLE),
        ({"messageType": "BEGIN"}, {"committed_lsn": "0/12345600"}),
        ({"messageType": None}, {"committed_lsn": "0/12345600"}),
        ({"messageType": "COMMIT", "lsn": 305419776}, {"committed_lsn": "0/12345600"}),
        ({"messageType": "MESSAGE", "lsn": 305419776}, {"committed_lsn": "0/12345600"}),
        ({"lsn": 305419776}, {**WHOLE, "row_lsn": "0/12345600"}),
        ({"lsn": 305419700}, {**WHOLE, "row_lsn": "0/123455B4"}),
        ({"lsn_commit": None}, {**WHOLE, "committed_lsn": "0/12345678"}),
        ({"lsn_commit": None, "lsn_proc": None, "messageType": None}, {"snapshot_lsn": "0/12345678"}),
        ({"lsn_commit": 1 << 40, "lsn": (1 << 40) + 1}, {"committed_lsn": "100/0", "xid": 745, "row_lsn": "100/1"}),
        ({"snapshot": "INITIAL", "snapshot_completed": True, "last_snapshot_record": True}, WHOLE),
        ({"snapshot": True, "last_snapshot_record": True}, WHOLE),
        ({"incremental_snapshot_collections": "[]"}, WHOLE),
    ],
)
def test_it_goes_on_behind_the_last_commit_and_the_rows_since(changes: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert _taken(**changes) == wanted


def test_a_transaction_is_never_resumed_in_its_middle_when_its_events_are_counted() -> None:
    assert takeover(OFFSET, trust_slot=True, in_part=False) == {"committed_lsn": "0/12345600", "trust_slot": True}


@pytest.mark.parametrize(
    ("changes", "error", "reason"),
    [
        ({"snapshot": "INITIAL", "last_snapshot_record": False}, HistoryLost, "initial snapshot was not complete"),
        ({"snapshot": True}, HistoryLost, "initial snapshot was not complete"),
        ({"snapshot": "BLOCKING"}, ConfigError, "blocking snapshot was running"),
        ({"incremental_snapshot_collections": '[{"id":"a.b"}]'}, ConfigError, "incremental snapshot was running"),
        ({"lsn": None, "lsn_commit": None, "lsn_proc": None}, ConfigError, "neither lsn nor lsn_commit"),
        ({"lsn": "x"}, ConfigError, "lsn in the offset is no number"),
    ],
)
def test_what_cannot_be_continued_is_refused(changes: dict[str, Any], error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=reason):
        _taken(**changes)
