"""Differences that were planted are found, by key, and nothing else is: under load, before and after a repair."""

from __future__ import annotations

import random
from typing import Any

import psycopg
import pytest

from tests.server.verify.conftest import Target
from tests.server.verify.stand import Stand, found, keys, load, only

ROWS = 30_000
TABLE = """CREATE TABLE items (
    id bigint PRIMARY KEY, counted int, label text, note text, price numeric, share float8, stamp timestamptz,
    day timestamp, raw bytea, document json, long text, tags text[]
)"""
FILL = """INSERT INTO items SELECT i, i % 7, 'label ' || i, CASE WHEN i % 3 = 0 THEN '' END, (i % 1000) / 10.0, i / 8.0,
    timestamptz '2026-01-01 00:00:00+00' + i * interval '1 second', timestamp '2026-01-01' + i * interval '1 minute',
    decode(md5(i::text), 'hex'), '{"a": 1}', CASE WHEN i % 1000 = 1 THEN repeat(md5(i::text), 2000) END, ARRAY['a', 'b']
    FROM generate_series(1, ROWS) AS i"""
HOT = 500
"""The load changes rows whose number ends below this, of every thousand; differences are planted in the others."""


def act(connection: psycopg.Connection[Any], chance: random.Random) -> None:
    """One transaction of the load: inserts, updates, deletes, changes of keys and rollbacks among the hot rows."""
    hot = [chance.randrange(ROWS // 1000) * 1000 + chance.randrange(HOT) for _ in range(8)]
    with connection.transaction(force_rollback=chance.randrange(10) == 0):
        for id in sorted(hot):
            match chance.randrange(4):
                case 0:
                    connection.execute("DELETE FROM items WHERE id = %s", [id])
                case 1 | 2:
                    connection.execute("UPDATE items SET counted = counted + 1, price = price + 1 WHERE id = %s", [id])
                case _:
                    add = "INSERT INTO items (id, label) VALUES (%s, 'new')"
                    connection.execute(f"{add} ON CONFLICT (id) DO UPDATE SET label = 'again'".encode(), [id])


@pytest.fixture
def stand(target: Target) -> Stand:
    """The table filled and in the target, the pipeline running."""
    target.prepare(TABLE)
    made = target.make()
    made.source.execute(FILL.replace("ROWS", str(ROWS)).encode())
    made.start()
    return made


PLANTED = {
    "first": ("UPDATE public.items SET counted = 99 WHERE id = 1999", 1999),
    "last": ("UPDATE public.items SET label = 'x' WHERE id = 29999", 29999),
    "null for empty": ("UPDATE public.items SET note = NULL WHERE id = 9999", 9999),
    "empty for null": ("UPDATE public.items SET note = '' WHERE id = 10999", 10999),
    "timestamp": ("UPDATE public.items SET stamp = stamp + INTERVAL '1 microsecond' WHERE id = 12999", 12999),
    "zone": ("UPDATE public.items SET day = day + INTERVAL '1 hour' WHERE id = 13999", 13999),
    "json": ("UPDATE public.items SET document = '{\"a\":1}' WHERE id = 14999", 14999),
    "array": ("UPDATE public.items SET tags = NULL WHERE id = 15999", 15999),
    "out of line": ("UPDATE public.items SET long = 'short' WHERE id = 16999", 16999),
    "middle": ("UPDATE public.items SET share = share + 1 WHERE id = 17999", 17999),
}


def test_each_kind_of_difference_is_found_under_load_and_nothing_else(stand: Stand, target: Target, seed: int) -> None:
    different = {number for _, number in PLANTED.values()}
    with load(stand.url, act, seed=seed):
        target.plant(*(statement for statement, _ in PLANTED.values()))
        target.plant("DELETE FROM public.items WHERE id IN (999, 20999)")
        target.plant("INSERT INTO public.items (id, label) VALUES (-5, 'no'), (1000000, 'no')")
        report = only(stand.verify(rate=8000.0))  # in four ranges or five
        assert found(report) == {
            "different": keys(*different), "missing": keys(999, 20999), "extra": keys(-5, 1000000),
        }  # fmt: skip
        assert (report.different, report.missing, report.extra, report.unsettled) == (len(different), 2, 2, 0)
        mended = only(stand.verify(repair=True))
        assert (mended.repaired, mended.differences, mended.unsettled) == (len(different) + 4, 0, 0)
        again = only(stand.verify())
        assert (found(again), again.unsettled) == ({}, 0)


def test_nothing_is_reported_where_nothing_differs_under_heavy_load(stand: Stand, seed: int) -> None:
    with load(stand.url, act, seed=seed, sessions=4):
        for turn in range(4):
            report = only(stand.verify(remote=turn % 2 == 1))  # in turn through the pipeline's desk
            assert (found(report), report.unsettled) == ({}, 0)
            assert report.equal == report.rows
