"""What becomes of the indexes of a Reject where transforms stand between letters and sink."""

from __future__ import annotations

from typing import cast

import pytest

from tailrace._native import BatchBuilder
from tailrace.contract import Source
from tailrace.error import Fatal, Reject
from tailrace.model import Batch, Column, Table
from tailrace.pipeline.shaping import replayed

ORDERS = Table("public", "orders", [Column("id", "int8", nullable=False)], key=["id"])


def replay(reject: Reject) -> None:
    """Three letters, of which a transform drops the first and the sink raises `reject` of the rest."""
    builder = BatchBuilder("test/shaping")
    builder.begin(xid=1, lsn=100, committed_at_us=0)
    for key in range(3):
        builder.add("c", ORDERS, after={"id": str(key)})
    builder.commit()

    def write(batch: Batch) -> None:
        raise reject

    steps = (("drop", lambda batch: batch.without([0])),)
    replayed(builder.take(), "drop", source=cast(Source, None), steps=steps, write=write)


def test_a_reject_of_what_a_transform_left_names_the_letters() -> None:
    with pytest.raises(Reject) as caught:
        replay(Reject({1: "too large"}, written=[0]))
    assert (caught.value.reasons, caught.value.written) == ({2: "too large"}, {1})


@pytest.mark.parametrize("reject", [Reject({1: "too large"}, written=[0, 1]), Reject({2: "too large"})])
def test_a_reject_that_cannot_be_is_told_before_it_is_translated(reject: Reject) -> None:
    with pytest.raises(Fatal, match="the sink raised Reject"):
        replay(reject)
