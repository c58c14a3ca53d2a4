"""The oracle itself: it separates snapshot from stream, and masks only what two readers cannot agree on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import psycopg

from servers import debezium
from tests.conformance import oracle

Start = Callable[..., AbstractContextManager[debezium.Engine]]


def test_the_oracle_separates_the_snapshot_from_the_stream(database: str, debezium_host: Start) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (id int PRIMARY KEY, note text)")
        connection.execute("INSERT INTO kept VALUES (1, 'a'), (2, 'b')")
        with oracle.recording(debezium_host, database) as recording:
            connection.execute("UPDATE kept SET note = 'c' WHERE id = 2")
            connection.execute("DELETE FROM kept WHERE id = 1")
            streamed = recording.finish()
    assert [record.key for record in recording.snapshot] == [b'{"id":1}', b'{"id":2}']
    assert [(record.key, record.value is None) for record in streamed] == [
        (b'{"id":2}', False),
        (b'{"id":1}', False),
        (b'{"id":1}', True),
    ]


def test_masking_keeps_the_row_and_hides_only_times_and_places_of_a_reader() -> None:
    own_times = b'"ts_ms":1795381108006,"ts_us":1795381108006820,"ts_ns":1795381108006820201}'
    source = (
        b'"source":{"version":"3.6.3.Final","connector":"postgresql","name":"shop","ts_ms":1795381107932,"snapshot":"first",'
        b'"db":"shop","sequence":"[null,\\"28273912\\"]","ts_us":1795381107932723,"ts_ns":1795381107932723000,"schema":"public","table":"orders",'
        b'"txId":757,"lsn":28273912,"xmin":null}'
    )
    value = b'{"before":null,"after":{"ts_ms":5},' + source + b',"op":"r",' + own_times
    assert oracle.masked(value) == (
        b'{"before":null,"after":{"ts_ms":5},"source":{"version":"3.6.3.Final","connector":"postgresql","name":"shop",'
        b'"ts_ms":0,"snapshot":"first","db":"shop","sequence":"[]","ts_us":0,"ts_ns":0,"schema":"public",'
        b'"table":"orders","txId":0,"lsn":0,"xmin":null},"op":"r","ts_ms":0,"ts_us":0,"ts_ns":0}'
    )
