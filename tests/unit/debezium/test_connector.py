"""A connector's file, in each of the forms that it comes in, and what is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailrace.debezium.connector import Form, parse, properties, read, worker_options
from tailrace.error import ConfigError

CLASS = "io.debezium.connector.postgresql.PostgresConnector"


@pytest.mark.parametrize(
    "text",
    [
        f'{{"name": "shop", "config": {{"connector.class": "{CLASS}", "tasks.max": 1, "slot.failover": true}}}}',
        f'{{"name": "shop", "connector.class": "{CLASS}", "tasks.max": "1", "slot.failover": "true"}}',
        f'{{"name":"shop","config":{{"name":"shop","connector.class":"{CLASS}","tasks.max":1,"slot.failover":true}},'
        '"tasks": [{"connector": "shop", "task": 0}], "type": "source"}',
        f"name=shop\nconnector.class={CLASS}\ntasks.max=1\nslot.failover=true\n",
    ],
    ids=["given to REST", "bare", "as REST gives it", "standalone"],
)
def test_a_connector_of_kafka_connect(text: str) -> None:
    connector = parse(text)
    assert connector.form is Form.CONNECT
    assert connector.options == {
        "name": "shop", "connector.class": CLASS, "tasks.max": "1", "slot.failover": "true",
    }  # fmt: skip


def test_what_is_of_the_server_keeps_its_name_and_what_is_of_the_connector_loses_the_prefix() -> None:
    connector = parse(
        f"debezium.source.connector.class={CLASS}\ndebezium.source.slot.name=s\ndebezium.sink.type=kafka\n"
        "debezium.format.value=json\ndebezium.transforms=a\ndebezium.transforms.a.type=T\nquarkus.log.level=INFO\n"
    )
    assert connector.form is Form.SERVER
    assert connector.options == {
        "connector.class": CLASS, "slot.name": "s", "debezium.sink.type": "kafka", "debezium.format.value": "json",
        "transforms": "a", "transforms.a.type": "T", "quarkus.log.level": "INFO",
    }  # fmt: skip


def test_the_embedded_engine_is_known_by_where_it_stores_offsets() -> None:
    assert parse(f"connector.class={CLASS}\noffset.storage.file.filename=x\noffset.storage=y\n").form is Form.ENGINE


def test_properties_are_read_as_java_reads_them() -> None:
    text = r"""
# a comment \
! another
 a = 1
b:2
c 3 4
d
e = one, \
    two, \
    three
f\ g = h\tq\\
\u00e9=\u00fc\:
p=C\:\\x
last=\\
a=again
"""
    assert properties(text) == {
        "a": "again", "b": "2", "c": "3 4", "d": "", "e": "one, two, three", "f g": "h\tq\\", "é": "ü:", "p": "C:\\x",
        "last": "\\",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it has no connector.class"),
        ("hello\n", "it has no connector.class"),
        ("{", "this is no JSON"),
        ("[1]", "it has no connector.class"),
        ('{"name": "shop"}', "it has no connector.class"),
        (f'{{"connector.class": "{CLASS}", "table.include.list": ["a"]}}', "table.include.list: this must be a text"),
    ],
)
def test_what_is_no_connector_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ConfigError, match=f"x.json: .*{reason}") as caught:
        read(tmp_path / "x.json")
    assert caught.value.hint is not None and "REST" in caught.value.hint


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read(tmp_path / "none")
    (tmp_path / "offsets.dat").write_bytes(b"\xac\xed\x00\x05sr")
    with pytest.raises(ConfigError, match="not a text in UTF-8"):
        read(tmp_path / "offsets.dat")


def test_a_worker_is_known_by_its_brokers(tmp_path: Path) -> None:
    (tmp_path / "w").write_text("bootstrap.servers=a:9092\n")
    assert worker_options(tmp_path / "w") == {"bootstrap.servers": "a:9092"}
    (tmp_path / "w").write_text(f"connector.class={CLASS}\n")
    with pytest.raises(ConfigError, match=r"no bootstrap\.servers"):
        worker_options(tmp_path / "w")
