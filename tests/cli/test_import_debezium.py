"""`tailrace import-debezium`: a configuration on stdout, all else on stderr, and the way out of mistakes."""

from __future__ import annotations

import json
import tomllib
from typing import Any

from tests.cli.conftest import Cli

CONNECTOR: dict[str, Any] = {
    "name": "shop",
    "config": {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "database.hostname": "db",
        "database.user": "cdc",
        "database.password": "hush",
        "database.dbname": "shop",
        "topic.prefix": "shop",
        "plugin.name": "pgoutput",
        "table.include.list": "public.orders",
        "max.batch.size": 4096,
        "value.converter.schemas.enable": False,
        "key.converter.schemas.enable": False,
    },
}


def given(cli: Cli, **options: object) -> str:
    connector = {"name": "shop", "config": {**CONNECTOR["config"], **options}}
    (cli.folder / "shop.json").write_text(json.dumps(connector))
    return "shop.json"


def test_stdout_is_the_configuration_and_stderr_says_what_was_dropped(cli: Cli) -> None:
    ended = cli.run("import-debezium", given(cli), "--sink", "file:out.jsonl", "--name", "orders")
    assert ended.code == 0
    (pipeline,) = tomllib.loads(ended.out)["pipeline"].items()
    assert pipeline[0] == "orders" and pipeline[1]["source"]["tables"] == ["/public.orders/"]
    assert "dropped max.batch.size: batches grow by themselves" in ended.err
    assert "note: database.password: not written; set the environment variable ORDERS_DATABASE_PASSWORD" in ended.err
    assert "hush" not in ended.out + ended.err


def test_what_was_imported_is_checked_like_any_other(cli: Cli, shop: str) -> None:
    parts = shop.split("@", 1)[1].split("/", 1)
    host, port = parts[0].split(":")
    options = {"database.hostname": host, "database.port": port, "database.user": "postgres"}
    options |= {"database.dbname": parts[1].split("?")[0], "database.password": "", "slot.name": "imported"}
    ended = cli.run("import-debezium", given(cli, **options), "--sink", "file:out.jsonl")
    (cli.folder / "shop.toml").write_text(ended.out)
    checked = cli.run("check", "shop.toml", SHOP_DATABASE_PASSWORD="")
    assert checked.code == 0, checked.out + checked.err


def test_what_cannot_be_honoured_is_exit_2_and_nothing_on_stdout(cli: Cli) -> None:
    ended = cli.run("import-debezium", given(cli, **{"snapshot.mode": "custom", "slot.nmae": "s"}))
    assert (ended.code, ended.out) == (2, "")
    assert "2 options cannot be honoured" in ended.err
    assert "slot.nmae: no option of Debezium has this name; did you mean slot.name" in ended.err


def test_another_connector_or_another_file_is_exit_2(cli: Cli) -> None:
    mysql = given(cli, **{"connector.class": "io.debezium.connector.mysql.MySqlConnector"})
    ended = cli.run("import-debezium", mysql)
    assert ended.code == 2 and "the connector is Debezium's for mysql" in ended.err
    (cli.folder / "t.toml").write_text("[pipeline.a]\n")
    ended = cli.run("import-debezium", "t.toml")
    assert ended.code == 2 and "this is no connector" in ended.err and "hint: give the JSON" in ended.err


def test_a_snapshot_that_was_not_complete_is_exit_4(cli: Cli) -> None:
    offset = {"lsn": 1, "snapshot": "INITIAL", "snapshot_completed": False, "last_snapshot_record": False}
    (cli.folder / "offsets").write_text(json.dumps(offset))
    ended = cli.run("import-debezium", given(cli), "--sink", "stdout:", "--offsets", "offsets")
    assert (ended.code, ended.out) == (4, "")
    assert "initial snapshot was not complete" in ended.err and "without --offsets" in ended.err
