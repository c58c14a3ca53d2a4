"""The process that gives up its slot is killed on either side of the drop: the record is there before the slot is gone.

Its sink is a pipe that nobody reads, so the log piles up; a proxy stops it at the statement that drops the slot.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from servers.proxy import Proxy, Way
from tests.cli.conftest import Cli, await_full_pipe
from tests.waiting import until

ORDERS = 300
PILE = "insert into noise select repeat('x', 1000) from generate_series(1, 10000)"


class Scene:
    """A pipeline that may keep 4 MiB of log, behind a proxy; `gaps` is where it records what it gave up."""

    def __init__(self, cli: Cli, url: str, proxy: Proxy) -> None:
        self.cli = cli
        self.proxy = proxy
        self.source: psycopg.Connection[Any] = psycopg.connect(url, autocommit=True)
        self.source.execute("create table noise (x text)")
        self.slot = f"gap_{conninfo_to_dict(url)['dbname']}"
        self.gaps = cli.folder / "gaps"
        (cli.folder / "t.toml").write_text(f"""
[pipeline.orders]
sink = "stdout:"

[pipeline.orders.source]
kind = "postgres"
url = "{proxy.through(url)}"
tables = ["public.orders"]
slot = "{self.slot}"
publication = "{self.slot}"
retained_bytes_max = {4 << 20}
at_retained_max = "drop"
gaps = "gaps"

[pipeline.orders.limits]
shelf_bytes_max = 1
""")
        self.printed = ""

    def gives_up(self, way: Way) -> None:
        """Run until it gives up its slot, and kill it when nothing passes that way any more. Its snapshot is over."""
        begun = self.cli.run("run", "t.toml", "--until-current")
        assert begun.code == 0, begun.err
        self.proxy.stall_at(b"pg_drop_replication_slot", way)
        process = self.cli.start("run", "t.toml")
        try:
            self._gives_up(process, way)
        finally:
            process.kill()
            self.printed = begun.out + process.communicate()[0]
        self.proxy.cut()
        self.proxy.resume()

    def _gives_up(self, process: subprocess.Popen[str], way: Way) -> None:
        until(lambda: self.ask("active") == (True,), "for the stream")
        self.source.execute("insert into orders select i, repeat('x', 1000) from generate_series(4, %s) as i", [ORDERS])
        await_full_pipe(process)
        until(lambda: self.source.execute(PILE) and self.proxy.stalled, "for the guardian")
        if way is Way.TO_CLIENT:
            until(lambda: self.ask("true") is None, "for the slot to be dropped")

    def ask(self, column: str) -> tuple[object, ...] | None:
        query = f"select {column} from pg_replication_slots where slot_name = %s"
        return self.source.execute(query.encode(), [self.slot]).fetchone()

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.gaps.read_text().splitlines()]


@pytest.fixture
def scene(cli: Cli, shop: str) -> Iterator[Scene]:
    with ExitStack() as stack:
        parts = conninfo_to_dict(shop)
        proxy = stack.enter_context(Proxy(str(parts["host"]), int(str(parts["port"]))))
        made = Scene(cli, shop, proxy)
        stack.callback(made.source.close)
        yield made


def keys(printed: str) -> set[int]:
    """The orders in events that were printed whole: a kill may cut the last one."""
    lines = printed.splitlines(keepends=True)
    return {json.loads(line)["key"]["id"] for line in lines if line.endswith("\n")}


def test_a_kill_between_the_record_and_the_drop_leaves_the_slot_and_nothing_is_lost(scene: Scene) -> None:
    scene.gives_up(Way.TO_TARGET)
    [record] = scene.records()
    assert scene.ask("slot_name") == (scene.slot,)
    again = scene.cli.run("run", "t.toml", "--until-current")
    assert again.code == 0, again.err
    assert keys(scene.printed) | keys(again.out) == set(range(1, ORDERS + 1))
    told = f"replication slot {scene.slot} is there: it was not dropped at {record['dropped_at']}, as gaps records"
    assert told in again.err
    later = scene.cli.run("run", "t.toml", "--until-current")
    assert (later.code, told in later.err) == (0, False), "the gap lies behind what is saved"


def test_a_kill_behind_the_drop_leaves_the_record_and_every_start_says_what_is_missing(scene: Scene) -> None:
    scene.gives_up(Way.TO_CLIENT)
    [record] = scene.records()
    for _ in range(2):
        again = scene.cli.run("run", "t.toml", "--until-current")
        assert (again.code, again.out) == (4, "")
        assert f"replication slot '{scene.slot}' was dropped by this pipeline at {record['dropped_at']}" in again.err
        assert f"and {record['wal_end']}, and since, is missing" in again.err
    assert scene.cli.run("reset", "t.toml", "orders", "--yes").code == 0
    anew = scene.cli.run("run", "t.toml", "--until-current")
    assert (anew.code, keys(anew.out)) == (0, set(range(1, ORDERS + 1)))
    assert "as gaps records" not in anew.err
