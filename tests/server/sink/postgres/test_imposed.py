"""Settings of a role or a database that would end the sink's sessions, or have it read values otherwise, do neither."""

from __future__ import annotations

import pytest

from tests.background import running
from tests.server.postgres import imposed
from tests.server.postgres.imposed import onlooking
from tests.server.sink.postgres.conftest import MakeRoad
from tests.waiting import until

COUNT = "SELECT count(*) FROM t"


@pytest.mark.parametrize("setting", imposed.FORMATS)
def test_a_format_that_is_imposed_writes_no_row_otherwise(
    make_road: MakeRoad, target_database: str, path: str, setting: str
) -> None:
    road = make_road()
    with onlooking(target_database) as onlooker:
        onlooker.impose("role", setting, imposed.FORMATS[setting])
    road.at_source(imposed.TABLE, imposed.INSERT.format(1), imposed.INSERT.format(2))
    road.run()
    road.same("t")
    road.at_source(imposed.INSERT.format(3), "UPDATE t SET i = '1 year -2 mons 3 days -04:05', note = 'é' WHERE id = 1")
    road.at_source("DELETE FROM t WHERE id = 2")
    road.run()
    road.same("t")
    assert road.rows(COUNT) == [(2,)]


@pytest.mark.parametrize("setting", [*imposed.TIMEOUTS, "transaction_timeout"])
def test_a_time_limit_that_is_imposed_ends_neither_a_quiet_session_nor_one_that_waits(
    make_road: MakeRoad, target_database: str, setting: str
) -> None:
    road = make_road()
    road.at_source("CREATE TABLE t (id int PRIMARY KEY, note text)", "INSERT INTO t VALUES (1, 'snapshot')")
    with onlooking(target_database) as onlooker:
        onlooker.impose("role", setting, imposed.SHORT_MS)
        with running(road.make()):
            until(lambda: "t" in tables(onlooker) and road.rows(COUNT) == [(1,)], "for the snapshot")
            road.at_source("INSERT INTO t VALUES (2, 'stream')")
            until(lambda: road.rows(COUNT) == [(2,)], "for the stream")
            sessions = onlooker.rested()
            with road.target.transaction():
                road.target.execute("LOCK TABLE t IN EXCLUSIVE MODE")
                road.at_source("INSERT INTO t VALUES (3, 'late')", "UPDATE t SET note = 'late' WHERE id = 2")
                until(onlooker.blocked, "for the sink to wait for the lock")
            until(lambda: road.rows(COUNT) == [(3,)], "for what had to wait")
            assert onlooker.rested() == sessions
    road.same("t")


def tables(onlooker: imposed.Onlooker) -> set[str]:
    return {name for (name,) in onlooker.execute("SELECT relname FROM pg_class WHERE relkind = 'r'")}
