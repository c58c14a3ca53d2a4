"""Removes replication origins behind a test: the server holds one until the session that used it is gone."""

from __future__ import annotations

from typing import Any

import psycopg


def drop_origins(connection: psycopg.Connection[Any], database: str) -> None:
    """End every other session of `database`, then drop the origins of pipelines that write into it."""
    connection.execute(
        "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
        [database],
    )
    connection.execute(
        "SELECT pg_replication_origin_drop(roname) FROM pg_replication_origin WHERE split_part(roname, '/', 2) = %s",
        [database],
    )
