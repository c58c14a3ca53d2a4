"""Drops the slots of a database whose readers have ended: the server may notice that a moment later than the test."""

from __future__ import annotations

import psycopg

from tests.waiting import until

_OURS = "FROM pg_replication_slots WHERE database = current_database() AND NOT temporary"


def drop_slots(url: str) -> None:
    """All that stay, once nobody reads them."""
    with psycopg.connect(url, autocommit=True) as connection:
        until(lambda: not connection.execute(f"SELECT 1 {_OURS} AND active").fetchall(), "for slots that are free")
        connection.execute(f"SELECT pg_drop_replication_slot(slot_name) {_OURS}")
