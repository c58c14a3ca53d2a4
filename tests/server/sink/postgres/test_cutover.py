"""`tailrace cutover`: a live application moves to the target, and neither loses a row nor meets a key twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest

from tailrace.cli import main
from tests.server.sink.postgres.road import Road
from tests.waiting import until

SHOP = (
    "CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text)",
    "CREATE SEQUENCE tickets INCREMENT 5",
    "CREATE TABLE lines (id serial PRIMARY KEY, ticket int NOT NULL DEFAULT nextval('tickets'))",
)


@pytest.fixture
def config(road: Road, tmp_path: Path) -> Path:
    path = tmp_path / "shop.toml"
    path.write_text(
        f"""state_dir = "{tmp_path / "state"}"
[pipeline.shop.source]
kind = "postgres"
url = "{road.urls[0]}"
tables = ["public.*"]
slot = "{psycopg.conninfo.conninfo_to_dict(road.urls[0])["dbname"]}"
[pipeline.shop.sink]
kind = "postgres"
url = "{road.urls[1]}"
"""
    )
    return path


def _write(url: str, stop: threading.Event, errors: list[BaseException]) -> None:
    try:
        with psycopg.connect(url, autocommit=True) as session:
            while not stop.is_set():
                with session.transaction():
                    session.execute("INSERT INTO orders (note) SELECT 'n' FROM generate_series(1, 3)")
                    session.execute("INSERT INTO lines DEFAULT VALUES")
    except psycopg.Error as error:
        errors.append(error)


def test_a_live_application_moves_to_the_target(road: Road, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    road.at_source(*SHOP)
    road.target.execute("CREATE SEQUENCE tickets INCREMENT 5")
    road.target.execute("CREATE TABLE lines (id serial PRIMARY KEY, ticket int NOT NULL DEFAULT nextval('tickets'))")
    stop, errors = threading.Event(), list[BaseException]()
    writer = threading.Thread(target=_write, args=(road.urls[0], stop, errors))
    writer.start()
    assert main(["run", str(config), "--until-current"]) == 0
    until(lambda: road.source.execute("SELECT max(id) > 300 FROM orders").fetchall() == [(True,)], "for orders")
    assert main(["cutover", str(config), "shop", "--wait", "1"]) == 75
    assert "still written to" in capsys.readouterr().err
    stop.set()
    writer.join()
    assert main(["cutover", str(config), "shop", "--json"]) == 0
    carried = {each["source"]: each for each in json.loads(capsys.readouterr().out)}
    assert set(carried) == {"public.orders_id_seq", "public.tickets", "public.lines_id_seq"}
    road.same("orders", "lines")
    for sequence in carried:
        ask = f"SELECT last_value, is_called FROM {sequence}".encode()
        assert road.target.execute(ask).fetchall() == road.source.execute(ask).fetchall(), sequence
    stop.clear()
    writer = threading.Thread(target=_write, args=(road.urls[1], stop, errors))
    writer.start()
    rows = road.rows("SELECT count(*) FROM orders")[0][0]
    until(lambda: road.rows("SELECT count(*) FROM orders")[0][0] > rows + 30, "for orders at the target")
    stop.set()
    writer.join()
    assert errors == []


def test_sequences_go_on_behind_a_margin_and_never_go_back(
    road: Road, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    road.at_source(*SHOP, "INSERT INTO orders (note) SELECT 'n' FROM generate_series(1, 10)")
    road.target.execute("CREATE SEQUENCE tickets INCREMENT 5")
    assert main(["run", str(config), "--until-current"]) == 0
    assert main(["cutover", str(config), "shop", "--margin", "100"]) == 0
    assert road.rows("SELECT last_value, is_called FROM orders_id_seq") == [(110, True)]
    assert road.rows("SELECT last_value, is_called FROM lines_id_seq") == [(101, False)]
    assert main(["cutover", str(config), "shop"]) == 0
    assert road.rows("SELECT last_value, is_called FROM orders_id_seq") == [(110, True)]
    assert "public.orders_id_seq  public.orders_id_seq  110   yes" in capsys.readouterr().out


def test_a_sequence_that_the_target_lacks_is_told_with_its_statement_and_none_is_set(
    road: Road, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    road.at_source(*SHOP, "INSERT INTO orders (note) VALUES ('n')")
    assert main(["run", str(config), "--until-current"]) == 0
    assert main(["cutover", str(config), "shop"]) == 1
    assert road.rows("SELECT is_called FROM orders_id_seq") == [(False,)]
    shown = capsys.readouterr().out.splitlines()
    bounds = f"MINVALUE 1 MAXVALUE {(1 << 63) - 1} START 1"
    assert shown[-1].strip() == f'CREATE SEQUENCE "public"."tickets" INCREMENT 5 {bounds}'
    road.target.execute(shown[-1].encode())
    assert main(["cutover", str(config), "shop"]) == 0
    assert road.rows("SELECT is_called FROM orders_id_seq") == [(True,)]


def test_a_pipeline_that_runs_elsewhere_is_waited_for(road: Road, config: Path) -> None:
    road.at_source(*SHOP)
    road.target.execute("CREATE SEQUENCE tickets INCREMENT 5")
    from tailrace.config import load

    pipeline = load(config, ["shop"]).pipelines["shop"]
    thread = threading.Thread(target=pipeline.run)
    thread.start()
    try:
        until(lambda: road.rows("SELECT to_regclass('orders') IS NOT NULL") == [(True,)], "for the tables")
        road.at_source("INSERT INTO orders (note) VALUES ('n')")
        assert main(["cutover", str(config), "shop"]) == 0
    finally:
        pipeline.stop()
        thread.join()
    road.same("orders")
    assert road.rows("SELECT last_value, is_called FROM orders_id_seq") == [(1, True)]


def test_a_sequence_that_counts_down_is_turned_round_first(
    road: Road, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    identity = "bigint GENERATED BY DEFAULT AS IDENTITY (INCREMENT -1 MINVALUE -1000 MAXVALUE 50 START 50) PRIMARY KEY"
    road.at_source(
        f"CREATE TABLE debts (id {identity}, note text)",
        "INSERT INTO debts (note) SELECT 'n' FROM generate_series(1, 9)",
    )
    assert main(["run", str(config), "--until-current"]) == 0  # makes an identity that counts up
    assert main(["cutover", str(config), "shop"]) == 1
    statement = capsys.readouterr().out.splitlines()[-1]
    road.target.execute(statement.encode())
    assert main(["cutover", str(config), "shop"]) == 0
    road.target.execute("INSERT INTO debts (note) VALUES ('next')")
    assert road.rows("SELECT id FROM debts WHERE note = 'next'") == [(41,)]


def test_with_dead_letters_the_target_does_not_take_over(
    road: Road, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with config.open("a") as file:
        file.write(f'[pipeline.shop.dead_letters]\nkind = "file"\npath = "{tmp_path / "dead.jsonl"}"\n')
    road.at_source("CREATE TABLE orders (id int PRIMARY KEY, note text)")
    assert main(["run", str(config), "--until-current"]) == 0
    road.target.execute("ALTER TABLE orders ADD CHECK (note <> 'bad')")
    road.at_source("INSERT INTO orders VALUES (1, 'bad')")
    assert main(["run", str(config), "--until-current"]) == 0
    assert main(["cutover", str(config), "shop"]) == 1
    assert "1 change(s) are parked as dead letters" in capsys.readouterr().err
    assert main(["dead-letters", "drop", str(config), "shop", "--yes"]) == 0
    assert main(["cutover", str(config), "shop"]) == 0


def test_a_signal_ends_the_wait_of_a_cutover(road: Road, config: Path) -> None:
    road.at_source(*SHOP)
    road.target.execute("CREATE SEQUENCE tickets INCREMENT 5")
    assert main(["run", str(config), "--until-current"]) == 0
    ask = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'tailrace'"
    until(lambda: not road.source.execute(ask).fetchall(), "for the sessions of that to end")
    with psycopg.connect(road.urls[0]) as writer:
        writer.execute("INSERT INTO orders (note) VALUES ('n')")  # and does not commit
        command = [
            sys.executable,
            "-m",
            "tailrace",
            "cutover",
            str(config),
            "shop",
            "--wait",
            "600",
            "--log-level",
            "debug",
        ]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            until(lambda: road.source.execute(ask).fetchall(), "for the cutover to look")
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=60)
    assert process.returncode == 143 and "stopped before the target had everything: nothing was changed" in said


def test_a_column_that_is_renamed_beside_one_that_is_left_out_goes_on_counting(
    road: Road, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shapes = (
        'kind = "rename"\nnames = { "public.orders" = "public.sales", "public.orders.id" = "number" }',
        'kind = "select"\nexclude_columns = ["public.sales.secret"]',
    )
    config.write_text(config.read_text() + "".join(f"[[pipeline.shop.transform]]\n{shape}\n" for shape in shapes))
    road.at_source("CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, secret text, note text)")
    road.at_source("INSERT INTO orders (note) SELECT 'n' FROM generate_series(1, 5)")
    assert main(["run", str(config), "--until-current"]) == 0
    assert main(["cutover", str(config), "shop", "--json"]) == 0
    [carried] = json.loads(capsys.readouterr().out)
    assert carried["source"] == "public.orders_id_seq"
    assert road.rows("INSERT INTO sales (note) VALUES ('x') RETURNING number") == [(6,)]
