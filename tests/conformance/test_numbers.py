"""Numbers are printed as Java prints them: any bits that a double or a float can have, by Java itself."""

from __future__ import annotations

import math
import random
import re
import struct
from collections.abc import Iterator

import psycopg
import pytest

from servers import debezium
from tailrace._native import BatchBuilder, Column, Table
from tailrace.format import Format
from tests.wanting import or_skip

_COUNT = 100_000
_FORMS = {"float8": (">d", 8, 1100, 330), "float4": (">f", 4, 140, 45)}
"""Of each type how its bits are packed, its bytes, and the powers of two and of ten that are about its range."""


def bits(kind: str) -> Iterator[bytes]:
    """Bits by chance, and those about every power of two and of ten, where the shortest text is hard to find."""
    form, size, twos, tens = _FORMS[kind]
    source = random.Random(f"20261128 {kind}")
    yield from (source.randbytes(size) for _ in range(_COUNT))
    powers = [math.ldexp(1, power) for power in range(-twos, 1024 if size == 8 else 128)]
    powers += [float(f"1e{power}") for power in range(-tens, 309 if size == 8 else 39)]
    for power in powers:
        whole = int.from_bytes(struct.pack(form, power))
        yield from ((whole + ulp).to_bytes(size) for ulp in (-2, -1, 0, 1, 2) if whole + ulp >= 0)
    # What people write: few digits.
    yield from (struct.pack(form, source.randrange(10**7) / 10 ** source.randrange(9)) for _ in range(10_000))


@pytest.mark.parametrize("kind", _FORMS)
def test_every_number_is_printed_as_java_prints_it(kind: str, database: str) -> None:
    form = _FORMS[kind][0]
    given = [each for each in bits(kind) if math.isfinite(struct.unpack(form, each)[0])]
    assert len(given) > _COUNT
    with psycopg.connect(database) as connection:
        numbers = [struct.unpack(form, each)[0] for each in given]
        select = f"SELECT n::text FROM unnest(%b::{kind}[]) WITH ORDINALITY AS u (n, at) ORDER BY at"
        texts = [text for [text] in connection.execute(select.encode(), [numbers])]
    expected = or_skip(lambda: debezium.numbers([each.hex() for each in given]))
    table = Table("public", "numbers", [Column("id", "int4", nullable=False), Column("c", kind)], key=["id"])
    rows = BatchBuilder("test/1/test")
    rows.begin(xid=1, lsn=1, committed_at_us=0)
    for at, text in enumerate(texts):
        rows.add("c", table, after={"id": str(at), "c": text})
    rows.commit()
    found = [
        match[1].decode()
        for part in rows.take().json(Format().profile("shop"))
        for at in range(len(part))
        if (match := re.search(rb'"c":([^}]*)\}', part.value(at) or b""))
    ]
    assert len(found) == len(given)
    wrong = [(each.hex(), *both) for each, *both in zip(given, found, expected, strict=True) if both[0] != both[1]]
    assert wrong == []
