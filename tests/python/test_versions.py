"""The unit tests and the whole road on every other Python that is promised: one abi3 build must serve 3.11 to 3.14."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from servers import python as packed
from tests.python import environment
from tests.wanting import or_skip

OTHERS = [version for version in ("3.11", "3.12", "3.13", "3.14") if version != "{}.{}".format(*sys.version_info)]


ROAD = """
import sys
from dataclasses import dataclass
from decimal import Decimal

import duckdb
import psycopg

import tailrace as tr

url, slot = sys.argv[1:]


def source(name):
    return tr.source.Postgres(url=url, tables=["public.orders"], slot=slot + name, publication=slot + name)


@dataclass
class Order:
    id: int
    price: Decimal


app, seen = tr.App(source("_app"), name="app"), []


@app.on("public.orders", op="r")
def plain(change: tr.Change[Order]) -> None:
    seen.append((change.op, change.after))


@app.on("public.orders", op="cu")
async def awaited(change: tr.Change) -> None:
    seen.append((change.op, change.after["price"]))


shop = tr.Pipeline(source(""), tr.sink.DuckDB("shop.duckdb"), name="shop", state_dir=None)
shop.run(until_current=True)
app.run(until_current=True)
with psycopg.connect(url, autocommit=True) as writer:
    writer.execute("INSERT INTO orders VALUES (2, 2.50)")
    writer.execute("UPDATE orders SET price = 1.75 WHERE id = 1")
shop.run(until_current=True)
app.run(until_current=True)
with duckdb.connect("shop.duckdb") as held:
    rows = held.execute("SELECT id, price FROM public.orders ORDER BY id").fetchall()
assert rows == [(1, Decimal("1.75")), (2, Decimal("2.50"))], rows
price = [("c", Decimal("2.50")), ("u", Decimal("1.75"))]
assert seen == [("r", Order(1, Decimal("1.25"))), *price], seen
"""


def _run(version: str, *command: str, cwd: Path = environment.ROOT) -> str:
    """What `command` prints to that Python, which has what is locked, and Tailrace from here."""
    # What Debian packs comes from another suite than the system's, which a machine of CI's need not reach.
    python = or_skip(lambda: environment.made(version), fails=version != packed.VERSION)
    done = subprocess.run(
        [python, *command],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(environment.ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("version", OTHERS)
def test_the_unit_tests_pass_on(version: str) -> None:
    assert " passed" in _run(version, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit")


@pytest.mark.parametrize("version", OTHERS)
def test_snapshot_and_stream_reach_duckdb_and_handlers_on(version: str, database: str, tmp_path: Path) -> None:
    with psycopg.connect(database, autocommit=True) as shop:
        shop.execute("CREATE TABLE orders (id int PRIMARY KEY, price numeric(8,2))")
        shop.execute("INSERT INTO orders VALUES (1, 1.25)")
    _run(version, "-c", ROAD, database, database.rpartition("/")[2], cwd=tmp_path)
