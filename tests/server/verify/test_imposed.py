"""Rows are compared as either end prints them; what a role is set to at one of the two makes none of them differ."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from tailrace.sink.postgres import Postgres
from tests.server.postgres import imposed
from tests.server.postgres.imposed import onlooking
from tests.server.verify.stand import Stand, only

PRINTED = ("bytea_output", "datestyle", "extra_float_digits", "intervalstyle", "timezone")
FORMATS = {**{name: imposed.FORMATS[name] for name in PRINTED}, "search_path": "pg_catalog"}
"""Each prints something else than what a server does by itself, which is what the other end would."""
TABLE = (
    "CREATE TABLE t (id int PRIMARY KEY, b bytea[], d date[], f float8[], g float4[], i interval, r regclass,"
    " at timestamptz[])"
)
"""Arrays and what else is compared as text."""
ROWS = (
    r"INSERT INTO t SELECT n, ARRAY['\x00ff5c27'::bytea], ARRAY['2026-02-01'::date], ARRAY[0.1 + 0.2::float8],"
    " ARRAY[1.1::float4 / 3], '-1 year 2 mons -3 days 04:05:06.789', 't',"
    " ARRAY['2026-02-01 12:00:00.5+00'::timestamptz] FROM generate_series(1, 2) AS n"
)


@pytest.mark.parametrize("end", ["source", "target"])
@pytest.mark.parametrize("setting", FORMATS)
def test_a_format_that_is_imposed_makes_no_row_differ(
    database: str, target_database: str, tmp_path: Path, setting: str, end: str
) -> None:
    with onlooking(database) as onlooker:
        onlooker.execute(TABLE, ROWS)
    with closing(Stand(database, Postgres(target_database), tmp_path)) as stand:
        stand.start()
        with onlooking(database if end == "source" else target_database) as onlooker:
            onlooker.impose("role", setting, FORMATS[setting])
        report = only(stand.verify())
    assert (report.rows, report.equal, report.obstacle) == (2, 2, None)
