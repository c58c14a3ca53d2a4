"""Waits until a column of a source is older than what its pipelines read of the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg

from tests.waiting import until

OLDER = """
SELECT bool_and(age(s.catalog_xmin) < age(a.xmin)) FROM pg_replication_slots AS s, pg_attribute AS a
WHERE s.database = current_database() AND a.attrelid = 't'::regclass AND a.attname = 'status'
"""


def pass_by(source: psycopg.Connection[Any], run: Callable[[], object]) -> None:
    """Run a pipeline until its slot has gone past the transaction that made `t.status`."""

    def passed() -> bool:
        source.execute("UPDATE t SET id = id WHERE id = 1")
        source.execute("CHECKPOINT")
        run()
        [[older]] = source.execute(OLDER).fetchall()
        return bool(older)

    until(passed, timeout_s=90.0)
