"""Other engines, for real: Flink reads the topics that Tailrace fills, Tailrace reads those that Debezium fills, both
of the same statements, and each ends with the rows of the source."""

from __future__ import annotations

from pathlib import Path

import duckdb
import psycopg

from servers import connect as worker
from servers import flink
from servers import kafka as server
from tailrace.checkpoint import Memory
from tailrace.format import Format
from tailrace.pipeline import Pipeline
from tailrace.sink import DuckDB
from tailrace.sink.kafka import Kafka, Topic
from tailrace.source import Kafka as Group
from tailrace.source import Postgres
from tests.server.sink.kafka.topics import read
from tests.waiting import until
from tests.wanting import or_skip

SCHEMA = """
CREATE TABLE orders (id bigint PRIMARY KEY, customer text, amount numeric(12,2), weight float8, paid boolean,
    day date, placed timestamp, stamped timestamptz);
ALTER TABLE orders REPLICA IDENTITY FULL;
INSERT INTO orders SELECT n, 'käufer "' || n, n * 1.5, n / 8.0 + 0.0625, n % 2 = 0, date '2026-01-01' + n,
    timestamp '2026-01-02 03:04:05.678901' + n * interval '1 hour', '2026-01-02 03:04:05.678901+00'
    FROM generate_series(1, 40) n;
"""
CHANGES = """
INSERT INTO orders (id, amount) SELECT n, -n FROM generate_series(41, 80) n;
UPDATE orders SET amount = amount + 1, customer = NULL WHERE id % 3 = 0;
UPDATE orders SET id = id + 1000 WHERE id % 10 = 0;
DELETE FROM orders WHERE id % 7 = 0;
UPDATE orders SET paid = NOT paid, stamped = stamped + interval '1 day' WHERE id > 20;
INSERT INTO orders (id, customer) VALUES (7, 'again');
"""
SQL = (
    "CREATE TABLE orders (id BIGINT, customer STRING, amount DECIMAL(12, 2), weight DOUBLE, paid BOOLEAN,"
    " `day` DATE, placed TIMESTAMP(6), stamped TIMESTAMP_LTZ(6)) WITH ({})"
)
TEXTS = """
SELECT id::text, customer, amount::text, weight::text, paid::text, day::text,
    to_char(placed, 'YYYY-MM-DD"T"HH24:MI:SS.US'), to_char(stamped AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
FROM orders ORDER BY orders.id
"""
ROWS = "SELECT id, customer, amount, weight, paid, day, {0} AS placed, {1} AS stamped FROM {2}orders ORDER BY id"


def test_flink_reads_what_tailrace_wrote_and_tailrace_what_debezium_wrote(
    database: str, kafka: server.Broker, connect: worker.Worker, topic: str, tmp_path: Path
) -> None:
    or_skip(flink.install)
    theirs, ours = f"{topic}.public.orders", f"{topic}.ours.orders"
    for name in (theirs, ours):
        kafka.create_topic(name, 3)
    sink = Kafka(
        f"kafka://{kafka.address}",
        format=Format(topic_prefix=topic, profile="flink"),
        topics=[Topic(f"{topic}.*", f"{topic}.ours.{{table}}")],
    )
    filling = Pipeline(Postgres(database, ["public.*"]), sink, name="filling", state_dir=None, checkpoint=Memory())
    with psycopg.connect(database, autocommit=True) as source:
        source.execute("SET TimeZone = 'UTC'")
        source.execute(SCHEMA)
        connect.create(topic, worker.debezium(database, topic, **_typed()))
        filling.run(until_current=True)
        until(lambda: len(read(kafka, theirs)) >= 40, "for Debezium's snapshot", timeout_s=180)
        source.execute(CHANGES)
        filling.run(until_current=True)
        written = len(read(kafka, ours))
        until(lambda: len(read(kafka, theirs)) >= written, "for Debezium's changes", timeout_s=180)
        connect.remove(topic)
        texts = source.execute(TEXTS).fetchall()
        micros = "(extract(epoch FROM {}) * 1000000)::bigint"
        rows = source.execute(ROWS.format(micros.format("placed"), micros.format("stamped"), "").encode()).fetchall()
    told = flink.rows([SQL.format(flink.debezium(kafka.address, ours))], "SELECT * FROM orders")
    assert sorted(told, key=lambda row: int(row[0] or "")) == texts
    copy = tmp_path / "copy.duckdb"
    group = Group(f"kafka://{kafka.address}/{theirs}?group={topic}")
    Pipeline(group, DuckDB(copy), name="copy", state_dir=None).run(until_current=True)
    with duckdb.connect(str(copy), read_only=True) as held:
        query = ROWS.format("epoch_us(placed)", "epoch_us(stamped)", "public.")
        assert held.execute(query).fetchall() == rows


def _typed() -> dict[str, str]:
    """Debezium's JSON with schemas, so that the types come back."""
    converter = "org.apache.kafka.connect.json.JsonConverter"
    sides = {side: {"": converter, "_schemas_enable": "true"} for side in ("key", "value")}
    return {f"{side}_converter{name}": value for side, given in sides.items() for name, value in given.items()}
