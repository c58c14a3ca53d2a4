"""The load that all benchmarks share: a table of 12 columns, filled in transactions of 1,000 rows. Never measures."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from servers import postgres

BATCH = 1000
TABLE = """
CREATE TABLE orders (
    id bigint PRIMARY KEY,
    customer_id integer NOT NULL,
    product_id integer NOT NULL,
    quantity smallint NOT NULL,
    amount numeric(12,2) NOT NULL,
    status varchar(16) NOT NULL,
    note text,
    paid boolean NOT NULL,
    created_at timestamptz NOT NULL,
    due date,
    token uuid NOT NULL,
    attributes jsonb NOT NULL
)
"""
ROW = """
SELECT i, i * 7919 % 100000, i * 104729 % 5000, 1 + i % 9, (i * 31 % 1000000) / 100.0,
    (ARRAY['new','paid','packed','shipped','returned'])[1 + i % 5],
    CASE WHEN i % 3 = 0 THEN 'Please leave it with the neighbour, "number ' || i % 90 || '".' END,
    i % 5 > 0, timestamptz '2026-01-01 00:00:00+00' + i * interval '1.234567 s',
    CASE WHEN i % 7 > 0 THEN date '2026-01-01' + (i % 365)::int END,
    md5(i::text)::uuid, jsonb_build_object('channel', 'web', 'items', i % 9, 'gift', i % 11 = 0)
FROM generate_series(first, last) AS i
"""
FILL = f"""
CREATE PROCEDURE fill(first bigint, rows bigint, step bigint) LANGUAGE plpgsql AS $$
DECLARE last bigint; final bigint := first + rows - 1;
BEGIN
    WHILE first <= final LOOP
        last := least(first + step - 1, final);
        INSERT INTO orders {ROW};
        COMMIT;
        first := last + 1;
    END LOOP;
END $$
"""
MIX = f"""
CREATE PROCEDURE mix(first bigint, rows bigint, step bigint) LANGUAGE plpgsql AS $$
DECLARE last bigint; final bigint := first + rows - 1; base bigint := first - 1;
BEGIN
    WHILE first <= final LOOP
        last := first + step * 2 / 5 - 1;
        INSERT INTO orders {ROW};
        UPDATE orders SET quantity = quantity + 1, amount = amount + 1, status = 'changed'
            WHERE id IN (SELECT 1 + (i * 7919) % base FROM generate_series(first, last) i);
        DELETE FROM orders WHERE id > first - step AND id <= first - step + step / 5;
        COMMIT;
        first := last + 1;
    END LOOP;
END $$
"""
"""For each `step` rows: two fifths inserted, two fifths of the `base` rows updated, scattered, a fifth deleted."""
SETTINGS = {
    "shared_buffers": "512MB",
    "max_wal_size": "16GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
    "track_commit_timestamp": "on",
}


@dataclass(frozen=True, slots=True)
class Load:
    """A filled table, and a slot from before it was filled: `slot_copy` gives each run the same stream again."""

    server: postgres.Server
    database: str
    rows: int
    end_lsn: str

    @property
    def url(self) -> str:
        """The superuser's URL of the database."""
        return self.server.dsn(self.database)


def load(server: postgres.Server, database: str, rows: int, *, step: int = BATCH) -> Load:
    """Make `database` with the table, publication `bench` and slot `<database>_base`, then fill it."""
    url = server.create_database(database)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TABLE)
        connection.execute(FILL.encode())
        connection.execute("CREATE PUBLICATION bench FOR TABLE orders")
        connection.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [f"{database}_base"])
        connection.execute("CALL fill(1, %s, %s)", [rows, step])
        connection.execute("VACUUM (FREEZE, ANALYZE) orders")
        row = connection.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
    assert row is not None
    return Load(server, database, rows, row[0])


def mixed(server: postgres.Server, database: str, rows: int, *, step: int = BATCH) -> Load:
    """As `load`, with `rows` there before the slot; the slot has about as many changes, of all kinds."""
    url = server.create_database(database)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TABLE)
        connection.execute(FILL.encode())
        connection.execute(MIX.encode())
        connection.execute("CALL fill(1, %s, %s)", [rows, rows])
        connection.execute("VACUUM (FREEZE, ANALYZE) orders")
        connection.execute("CREATE PUBLICATION bench FOR TABLE orders")
        connection.execute("CREATE TABLE base AS SELECT * FROM orders")
        connection.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [f"{database}_base"])
        connection.execute("CALL mix(%s, %s, %s)", [rows + 1, rows * 2 // 5, step])
        row = connection.execute("SELECT pg_current_wal_insert_lsn()::text, max(id) FROM orders").fetchone()
    assert row is not None
    return Load(server, database, rows, row[0])


def copy_slot(load: Load, name: str) -> None:
    """A fresh slot that streams the whole load from its start."""
    copy = f"SELECT pg_copy_logical_replication_slot('{load.database}_base', '{name}')"
    load.server.execute(copy, dbname=load.database)  # the copy belongs to the database that the session is in


def drop_slot(load: Load, name: str) -> None:
    """Drop a slot, waiting until the server has let go of it."""
    with psycopg.connect(load.url, autocommit=True) as connection:
        while True:
            try:
                connection.execute("SELECT pg_drop_replication_slot(%s)", [name])
                return
            except psycopg.errors.ObjectInUse:
                connection.execute("SELECT pg_sleep(0.05)")
            except psycopg.errors.UndefinedObject:
                return


def rate(load: Load, first: int, count: int) -> float:
    """Commits a second that a writer of single rows reached over `count` of them from id `first`, by the server.

    A writer that falls behind does not say so: what was asked of it is not what was measured.
    """
    query = """SELECT extract(epoch FROM max(at) - min(at))::float8
               FROM (SELECT pg_xact_commit_timestamp(xmin) AS at FROM orders WHERE id >= %s AND id < %s) AS commits"""
    with psycopg.connect(load.url) as connection:
        row = connection.execute(query, [first, first + count]).fetchone()
    assert row is not None
    return float((count - 1) / row[0])
