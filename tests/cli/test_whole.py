"""A configuration with every table that there is, run as it stands; which of two keepers has the position."""

import json
from pathlib import Path

import psycopg
import pytest

from tests.cli.conftest import Cli

WHOLE = """
[pipeline.orders.source]
kind = "postgres"
url = "{shop}"
tables = ["public.orders", "public.order_*"]
slot = "{slot}"
publication = "{slot}"
snapshot = "initial"

[[pipeline.orders.transform]]
kind = "mask"
columns = ["public.orders.note"]

[pipeline.orders.format]
topic_prefix = "shop"
decimal_handling_mode = "precise"
schemas_enable = false

[pipeline.orders.sink]
kind = "{sink}"
path = "out/orders.{sink}"

[pipeline.orders.checkpoint]
kind = "file"
path = "state/orders.position"

[pipeline.orders.dead_letters]
kind = "file"
path = "state/orders.dead.jsonl"
"""
UNUSED = "it is not used: sink {} keeps the position itself, with the rows"


@pytest.fixture
def whole(cli: Cli, shop: str) -> Path:
    """The file, for a sink that keeps the position itself."""
    with psycopg.connect(shop, autocommit=True) as connection:
        connection.execute("create table order_lines (id int primary key, amount numeric(10, 2))")
        connection.execute("insert into order_lines values (1, 2.50)")
    path = cli.folder / "t.toml"
    slot = "whole_" + shop.rsplit("/", 1)[1].split("?")[0]
    path.write_text(WHOLE.format(shop=shop, slot=slot, sink="file"))
    return path


def test_a_configuration_with_every_table_runs_and_the_sink_that_can_keeps_the_position(cli: Cli, whole: Path) -> None:
    looked = cli.run("check", "t.toml")
    assert looked.code == 0, looked.out + looked.err
    assert f"warning  checkpoint: {UNUSED.format('file')}" in looked.out
    ran = cli.run("run", "t.toml", "--until-current", "--log-format", "text")
    assert (ran.code, ran.out) == (0, ""), ran.err
    assert f"orders: checkpoint file: {UNUSED.format('file')}" in ran.err
    lines = [json.loads(line) for line in (cli.folder / "out" / "orders.file").read_text().splitlines()]
    assert sorted((line["topic"], line["key"]["id"]) for line in lines) == [
        ("shop.public.order_lines", 1), ("shop.public.orders", 1), ("shop.public.orders", 2), ("shop.public.orders", 3),
    ]  # fmt: skip
    notes = {line["value"]["after"]["note"] for line in lines if line["topic"] == "shop.public.orders"}
    assert not notes & {"one", "two", "three"}
    assert not (cli.folder / "state" / "orders.position").exists()
    [seen] = json.loads(cli.run("status", "t.toml", "--json").out)
    assert seen["positions"], "of the sink's, which is the one that counts"


def test_a_reset_forgets_the_position_where_it_is_kept(cli: Cli, whole: Path) -> None:
    assert cli.run("run", "t.toml", "--until-current").code == 0
    reset = cli.run("reset", "t.toml", "orders", "--yes")
    assert reset.code == 0, reset.err
    assert cli.run("run", "t.toml", "--until-current").code == 0
    assert len((cli.folder / "out" / "orders.file").read_text().splitlines()) == 8, "a new snapshot of all four rows"
