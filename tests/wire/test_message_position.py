"""What the decoder relies on when it gives a message outside of transactions its position."""

from __future__ import annotations

import psycopg

_PEEK = """
SELECT data FROM pg_logical_slot_peek_binary_changes(
    'seen', NULL, NULL, 'proto_version', '1', 'publication_names', 'all_tables', 'messages', 'true')
"""


def test_i6_confirming_the_lsn_of_a_message_neither_repeats_it_nor_skips_what_follows(any_database: str) -> None:
    with psycopg.connect(any_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (i int)")
        connection.execute("CREATE PUBLICATION all_tables FOR ALL TABLES")
        connection.execute("SELECT pg_create_logical_replication_slot('seen', 'pgoutput')")
        connection.execute("INSERT INTO t VALUES (1)")
        connection.execute("SELECT pg_logical_emit_message(false, 'prefix', 'content')")
        connection.execute("INSERT INTO t VALUES (2)")
        before = [bytes(row[0]) for row in connection.execute(_PEEK)]
        (message,) = (data for data in before if data[:1] == b"M")
        lsn = int.from_bytes(message[2:10], "big")
        connection.execute("SELECT pg_replication_slot_advance('seen', '0/0'::pg_lsn + %s)", [lsn])
        after = [bytes(row[0]) for row in connection.execute(_PEEK)]
    assert [data[:1] for data in before] == [b"B", b"R", b"I", b"C", b"M", b"B", b"I", b"C"]
    assert [data[:1] for data in after] == [b"B", b"R", b"I", b"C"]
    assert b"2" in after[2][-1:], "the row behind the message"
