"""Both decoders on what real servers sent; `capture.py` says how that was taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.wire import capture, native
from tests.wire.native import Limits
from tests.wire.oracle import Oracle

CAPTURES = ["postgres15.bin", "postgres18.bin"]
LIMITS = {
    "roomy": Limits(),
    "a segment a row": Limits(segment_bytes=1),
    "spilled, one by one": Limits(transaction_bytes_max=4_096, chunk_messages=1),
    "spilled": Limits(2_000, 20_000, 7),
}


@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
@pytest.mark.parametrize("name", CAPTURES)
def test_the_decoder_agrees_with_the_oracle_on_a_real_stream(name: str, limits: Limits, tmp_path: Path) -> None:
    messages = capture.load(name)
    oracle = Oracle()
    oracle.feed(messages)
    decoded = native.decode(messages, limits, tmp_path)
    assert decoded.rows == oracle.rows
    assert decoded.ends[-1] == (oracle.end, len(oracle.rows))
    assert decoded.received == oracle.received


@pytest.mark.parametrize("name", CAPTURES)
def test_i3_positions_rise_strictly_and_batches_end_between_transactions(name: str, tmp_path: Path) -> None:
    decoded = native.decode(capture.load(name), Limits(chunk_messages=3), tmp_path)
    ordered = [row.position.split("/")[0] for row in decoded.rows]
    assert ordered == sorted(set(ordered))
    commits = [position.rsplit(".", 1)[0] for position in ordered]
    for end, count in decoded.ends:
        assert commits[count : count + 1] != [end.rsplit(".", 1)[0]], "a batch cuts a transaction"


@pytest.mark.parametrize("name", CAPTURES)
def test_captures_show_every_kind_of_message_and_change(name: str) -> None:
    messages = capture.load(name)
    kinds = {chr(message[25]) for message in messages if message[:1] == b"w"}
    assert kinds == set("BCORYIUDTMSEcA")
    oracle = Oracle()
    oracle.feed(messages)
    assert {row.op for row in oracle.rows} == set("cudtm")
    assert {row.origin for row in oracle.rows} == {None, "upstream"}
    bodies = {row.after.get("body") for row in oracle.rows if row.table == "public.plain" and row.after}
    assert bodies >= {"row 1000", "row 4700", "last"}
    assert not bodies & {"row 2000", "row 3000", "row 5000", "row 7000"}, "rolled back"
