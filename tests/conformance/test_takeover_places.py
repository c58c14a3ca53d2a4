"""The way over from places that an offset does not tell exactly, or that the slot has left behind (I6).

A record of COPY has many rows under one LSN; a message without a transaction has none of its own to go on from; and a
driver may confirm what no event was made of, so that the slot is further than the offset. The first row of a
transaction lies where the commit before it ended, or in front of that if the two were open at once.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from servers.debezium import Record, properties
from tests.background import beside
from tests.conformance.sides import Start
from tests.conformance.test_takeover import TIMEOUT_S, run, stored, tailrace, taken_over
from tests.waiting import until

COPIED = 2_000
"""Rows of one COPY, many records of the log."""
RECORD_ROWS_MAX = 300
"""More than fit a page of 8 kB, which is what one record of COPY has at most."""


@pytest.fixture
def shop(database: str) -> str:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE orders (id bigint PRIMARY KEY)")
        connection.execute("CREATE TABLE aside (id bigint)")
    return database


def test_i6_a_stop_within_the_rows_of_copy_loses_none_of_them(shop: str, tmp_path: Path, start_debezium: Start) -> None:
    settings = _settings(shop, tmp_path)
    with start_debezium(settings) as engine:
        engine.until(_is_beat, timeout_s=TIMEOUT_S)
        with _copying(shop):
            records = engine.take(2 * COPIED, timeout_s=TIMEOUT_S)
            engine.close()
        records += engine.rest(timeout_s=TIMEOUT_S)
    _go_on(tmp_path, settings)
    theirs = [json.loads(record.key or b"")["id"] for record in records if not _is_beat(record)]
    ours = [key["id"] for _, key, _ in _lines(tmp_path)]
    assert theirs == list(range(1, len(theirs) + 1))
    assert ours == list(range(ours[0], _count(shop) + 1))
    assert 0 <= len(theirs) + 1 - ours[0] <= RECORD_ROWS_MAX


@pytest.mark.parametrize("before", ["a row", "nothing"])
def test_i6_a_stop_at_a_message_without_a_transaction_loses_nothing(
    before: str, shop: str, tmp_path: Path, debezium_host: Start
) -> None:
    settings = _settings(shop, tmp_path)
    with psycopg.connect(shop, autocommit=True) as source, psycopg.connect(shop) as other:
        with debezium_host(settings) as engine:
            engine.until(_is_beat, timeout_s=TIMEOUT_S)
            if before == "a row":
                source.execute("INSERT INTO orders VALUES (1)")
            other.execute("INSERT INTO orders VALUES (2)")
            source.execute("SELECT pg_logical_emit_message(false, 'p', 'within another transaction')")
            engine.until(lambda record: record.topic.endswith("message"), timeout_s=TIMEOUT_S)
        other.commit()
        source.execute("SELECT pg_logical_emit_message(false, 'p', 'behind it')")
        source.execute("INSERT INTO orders VALUES (3)")
    assert stored(tmp_path)["messageType"] == "MESSAGE"
    _go_on(tmp_path, settings)
    told = [value["message"]["content"] if value["op"] == "m" else key["id"] for _, key, value in _lines(tmp_path)]
    again = told[: len(told) - 3]
    assert told[len(again) :] == [2, _BEHIND, 3]
    assert again in ([], [_WITHIN])


@pytest.mark.parametrize("order", ["one after the other", "one within the other"])
def test_i6_a_stop_behind_the_first_row_of_a_transaction_repeats_nothing(
    order: str, shop: str, tmp_path: Path, debezium_host: Start
) -> None:
    settings = _settings(shop, tmp_path)
    with psycopg.connect(shop) as last, psycopg.connect(shop, autocommit=True) as source:
        with debezium_host(settings) as engine:
            engine.until(_is_beat, timeout_s=TIMEOUT_S)
            if order == "one within the other":
                last.execute("INSERT INTO orders VALUES (2)")
            source.execute("INSERT INTO orders VALUES (1)")
            if order == "one after the other":
                last.execute("INSERT INTO orders VALUES (2)")
            ((xid,),) = last.execute("SELECT pg_current_xact_id()::text::bigint").fetchall()
            last.commit()
            until(lambda: _last_xid(tmp_path) == xid, "for the row's offset to be stored", timeout_s=TIMEOUT_S)
        source.execute("INSERT INTO orders VALUES (3)")
    _go_on(tmp_path, settings)
    assert [key["id"] for _, key, _ in _lines(tmp_path)] == [3]


def _last_xid(folder: Path) -> int | None:
    """The transaction of whose rows the stored offset is, or of whose end; None while the file is being written.

    A heartbeat between its begin and its row has its number too.
    """
    try:
        offset = stored(folder)
        return None if offset["messageType"] == "BEGIN" else int(offset["txId"])
    except (OSError, ValueError, KeyError):
        return None


_WITHIN, _BEHIND = "d2l0aGluIGFub3RoZXIgdHJhbnNhY3Rpb24=", "YmVoaW5kIGl0"


def test_i6_a_slot_that_a_driver_confirmed_beyond_the_offset_is_gone_on_from(
    shop: str, tmp_path: Path, debezium_host: Start
) -> None:
    settings = _settings(shop, tmp_path, lsn_flush_mode="connector_and_driver", status_update_interval_ms="500")
    with psycopg.connect(shop, autocommit=True) as source:
        with debezium_host(settings) as engine:
            engine.until(_is_beat, timeout_s=TIMEOUT_S)
            source.execute("INSERT INTO orders VALUES (1)")
            engine.until(lambda record: record.topic.endswith("orders"), timeout_s=TIMEOUT_S)
            source.execute("INSERT INTO aside SELECT generate_series(1, 1000)")
            ((idle,),) = source.execute("SELECT pg_current_wal_lsn() - '0/0'").fetchall()
            until(lambda: _confirmed(source, settings) >= idle, "for the driver to confirm", timeout_s=TIMEOUT_S)
        source.execute("INSERT INTO orders VALUES (2)")
        assert stored(tmp_path)["lsn"] < idle <= _confirmed(source, settings)
    _go_on(tmp_path, settings)
    assert [key["id"] for _, key, _ in _lines(tmp_path)] == [2]
    (tmp_path / "out.jsonl").unlink()
    (tmp_path / "again").mkdir()
    made = (tmp_path / "shop.toml").read_text()
    assert "trust_slot = true" in made
    (tmp_path / "again" / "shop.toml").write_text(made.replace("trust_slot = true\n", ""))
    refused = tailrace(tmp_path / "again", "run", "shop.toml", SHOP_DATABASE_PASSWORD=settings["database.password"])
    assert refused.returncode == 4
    assert "where takeover says that its former reader was" in refused.stderr


def _settings(url: str, folder: Path, **options: str) -> dict[str, str]:
    slot = f"places_{url.rsplit('/', 1)[1].split('?')[0]}"
    given = {
        "offset_storage": "org.apache.kafka.connect.storage.FileOffsetBackingStore",
        "offset_storage_file_filename": str(folder / "offsets.dat"),
        "offset_flush_interval_ms": "0",
        "publication_autocreate_mode": "filtered",
        "table_include_list": "public.orders",
        "heartbeat_interval_ms": "200",
        **options,
    }
    return properties(
        url, name="shop", snapshot_mode="no_data", slot_name=slot, publication_name=slot, slot_drop_on_stop="false",
        max_batch_size="64", poll_interval_ms="20", **given,
    )  # fmt: skip


def _go_on(folder: Path, settings: Mapping[str, str]) -> None:
    """Import the connector with its offset, and run until all is written."""
    (folder / "engine.properties").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    taken_over(folder, "engine.properties", "--sink", "file:out.jsonl", "--offsets", "offsets.dat")
    run(folder, settings)


@contextmanager
def _copying(url: str) -> Iterator[None]:
    """One COPY after the other, each of a transaction, until the end of the block."""
    stopped = threading.Event()

    def write() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            begin = 1
            while not stopped.is_set():
                with connection.cursor() as cursor, cursor.copy("COPY orders FROM STDIN") as copy:
                    copy.write("".join(f"{id}\n" for id in range(begin, begin + COPIED)))
                begin += COPIED

    with beside(write, stopped.set):
        yield


def _count(url: str) -> int:
    with psycopg.connect(url) as connection:
        ((count,),) = connection.execute("SELECT count(*) FROM orders").fetchall()
    return int(count)


def _confirmed(connection: psycopg.Connection[tuple[int]], settings: Mapping[str, str]) -> int:
    """Up to where its reader told the server that it may forget."""
    found = connection.execute(
        "SELECT confirmed_flush_lsn - '0/0' FROM pg_replication_slots WHERE slot_name = %s", [settings["slot.name"]]
    ).fetchall()
    return int(found[0][0] or 0) if found else 0


def _is_beat(record: Record) -> bool:
    return "heartbeat" in record.topic


def _lines(folder: Path) -> list[tuple[str, dict[str, int], dict[str, dict[str, str]]]]:
    """Topic, key and value of what is no heartbeat."""
    lines = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    return [(line["topic"], line["key"], line["value"]) for line in lines if "heartbeat" not in line["topic"]]
