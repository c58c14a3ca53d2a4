"""A value that the format cannot write, from a real row to the end of the command."""

import json
from pathlib import Path

import psycopg

from tests.cli.conftest import Cli

DEAD = """
[pipeline.orders.dead_letters]
kind = "file"
path = "dead.jsonl"
"""


def test_a_value_that_cannot_be_written_stops_with_5_or_is_parked_and_is_never_told(
    cli: Cli, config: Path, shop: str
) -> None:
    out = cli.folder / "out.jsonl"
    with psycopg.connect(shop, autocommit=True) as connection:
        connection.execute("alter table orders add amount numeric(5,2) not null default 1")
        assert cli.run("run", "t.toml", "--until-current").code == 0
        before = out.read_bytes()
        connection.execute("insert into orders values (4, 'a canary', 'NaN'), (5, 'five', 5)")
    refused = cli.run("run", "t.toml", "--until-current")
    assert refused.code == 5, refused.err
    assert 'public.orders, column \\"amount\\"' in refused.err and "decimal_handling_mode" in refused.err
    assert "canary" not in refused.err and "Traceback" not in refused.err
    assert out.read_bytes() == before
    config.write_text(config.read_text() + DEAD)
    parked = cli.run("run", "t.toml", "--until-current")
    assert parked.code == 0, parked.err
    assert [json.loads(line)["value"]["after"]["id"] for line in out.read_text().splitlines()] == [1, 2, 3, 5]
    _, letter = (cli.folder / "dead.jsonl").read_text().splitlines()  # the first says whose they are
    assert 'column \\"amount\\"' in letter
    [status] = json.loads(cli.run("status", "t.toml", "--json").out)
    assert status["dead_letters"] == 1
