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


def pass_by(
    source: psycopg.Connection[Any], run: Callable[[], object], change: str = "UPDATE t SET id = id WHERE id = 1"
) -> None:
    """Run a pipeline, each time behind a `change`, until its slot has gone past what made `t.status`."""

    def passed() -> bool:
        source.execute(change.encode())
        source.execute("CHECKPOINT")
        run()
        [[older]] = source.execute(OLDER).fetchall()
        return bool(older)

    until(passed, timeout_s=90.0)
