"""`tailrace cutover`: a live application moves to the target, and neither loses a row nor meets a key twice."""

from __future__ import annotations

import json
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
    assert shown[-1].strip() == 'CREATE SEQUENCE "public"."tickets" INCREMENT 5'
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
