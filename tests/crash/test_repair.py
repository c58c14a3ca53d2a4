"""SIGKILL in the middle of `tailrace verify --repair`, of who compares and of who writes: the next one finishes it."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import duckdb
import psycopg
import pytest

from tests.waiting import until

ROWS = 4_000
"""Repaired in groups of a thousand."""
SLOWLY = ("--rate", "1000")
"""A group in some seconds: the last of them are far away still when a kill is late."""


@pytest.mark.parametrize("killed", ["verify", "run"])
def test_a_kill_in_the_middle_of_a_repair_leaves_whole_rows_and_the_next_one_finishes_it(
    database: str, target_database: str, tmp_path: Path, killed: str
) -> None:
    slot = psycopg.conninfo.conninfo_to_dict(database)["dbname"]
    config = tmp_path / "t.toml"
    config.write_text(
        f'[pipeline.shop.source]\nkind = "postgres"\nurl = "{database}"\nslot = "{slot}"\npublication = "{slot}"\n'
        f'[pipeline.shop.sink]\nkind = "postgres"\nurl = "{target_database}"\n'
    )

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tailrace", arguments[0], str(config), *arguments[1:]]
        process = stack.enter_context(subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL))
        stack.callback(process.kill)
        return process

    with ExitStack() as stack, psycopg.connect(target_database, autocommit=True) as target:
        with psycopg.connect(database, autocommit=True) as source:
            source.execute("CREATE TABLE items (id int PRIMARY KEY, n int, note text)")
            source.execute(f"INSERT INTO items SELECT i, i, 'n' || i FROM generate_series(1, {ROWS}) i".encode())
        assert start("run", "--until-current").wait(120) == 0
        target.execute("UPDATE items SET n = 0, note = NULL")

        def wrong() -> int:
            [[count]] = target.execute("SELECT count(*) FROM items WHERE note IS NULL").fetchall()
            return int(count)

        processes = {"run": start("run")}
        until((tmp_path / ".tailrace" / "shop.sock").exists, "for the pipeline")  # or `verify` would be the one
        processes["verify"] = start("verify", "shop", "--repair", *SLOWLY)
        until(lambda: wrong() < ROWS, "for a repair", timeout_s=180)
        processes[killed].kill()
        assert target.execute("SELECT FROM items WHERE (n = 0) <> (note IS NULL)").fetchall() == []
        if killed == "run":
            # A repair that was asked for ends with the pipeline. Behind one that had been answered comes a wait for the
            # target to stand still, and a stop is heard there.
            processes["verify"].send_signal(signal.SIGTERM)
            assert processes["verify"].wait(120) in (3, 143)
            assert wrong() > 0
            processes["run"].wait(60)
            processes["run"] = start("run")
        assert start("verify", "shop", "--repair").wait(120) == 0
        assert wrong() == 0
        assert start("verify", "shop").wait(120) == 0


@pytest.mark.parametrize("killed", ["verify", "run"])
def test_a_kill_in_the_middle_of_a_repair_of_a_file_that_one_process_holds(
    database: str, tmp_path: Path, killed: str
) -> None:
    slot, file = psycopg.conninfo.conninfo_to_dict(database)["dbname"], tmp_path / "shop.duckdb"
    config = tmp_path / "t.toml"
    config.write_text(
        f'[pipeline.shop]\nsink = "duckdb:{file}"\n'
        f'[pipeline.shop.source]\nkind = "postgres"\nurl = "{database}"\nslot = "{slot}"\npublication = "{slot}"\n'
    )

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tailrace", arguments[0], str(config), *arguments[1:]]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = stack.enter_context(subprocess.Popen(command, cwd=tmp_path, **options))  # type: ignore[call-overload]
        stack.callback(process.kill)
        return process  # type: ignore[no-any-return]

    def count(condition: str) -> int:
        with duckdb.connect(str(file)) as session:
            [[found]] = session.execute(f"SELECT count(*) FROM public.items WHERE {condition}").fetchall()
        return int(found)

    def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
        out, err = process.communicate(timeout=120)
        return process.returncode, out + err

    with ExitStack() as stack:
        with psycopg.connect(database, autocommit=True) as source:
            source.execute("CREATE TABLE items (id int PRIMARY KEY, n int, note text)")
            source.execute(f"INSERT INTO items SELECT i, i, 'n' || i FROM generate_series(1, {ROWS}) i".encode())
        assert ended(start("run", "--until-current"))[0] == 0
        with duckdb.connect(str(file)) as session:
            session.execute("UPDATE public.items SET n = 0, note = NULL")
        running = start("run")
        until(lambda: (tmp_path / ".tailrace" / "shop.sock").exists(), "for the pipeline")
        before = written(tmp_path)
        verifying = start("verify", "shop", "--repair", *SLOWLY)
        # A thousand rows take 170 kB of the log, most of it before they are committed: here the second thousand is
        # under way, so the first is in.
        until(lambda: written(tmp_path) > before + 250_000, "for a repair", timeout_s=180)
        (running if killed == "run" else verifying).kill()
        if killed == "run":
            code, said = ended(verifying)
            assert (code, "the pipeline ended while it was verified" in said, "Traceback" in said) == (3, True, False)
            assert "not all was repaired" in said
        else:
            running.terminate()
        running.communicate(timeout=60)
        assert count("(n = 0) <> (note IS NULL)") == 0
        assert 0 < count("note IS NULL") < ROWS
        assert ended(start("verify", "shop", "--repair"))[0] == 0
        assert count("note IS NULL") == 0
        assert ended(start("verify", "shop"))[0] == 0


def written(folder: Path) -> int:
    """Bytes of the DuckDB file and its log."""
    return sum(file.stat().st_size for file in folder.glob("shop.duckdb*"))
