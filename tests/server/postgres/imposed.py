"""What the settings of a database or of a role in it may say of every session, and how long sessions have rested."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tests.waiting import until

TIMEOUTS: Final = (
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
)
FORMATS: Final[Mapping[str, str]] = {
    "bytea_output": "escape",
    "extra_float_digits": "-10",
    "intervalstyle": "sql_standard",
    "datestyle": "SQL, DMY",
    "timezone": "Asia/Kolkata",
    "search_path": "public",
    "standard_conforming_strings": "off",
    "client_encoding": "LATIN1",
}
TABLE: Final = (
    "CREATE TABLE t (id int PRIMARY KEY, b bytea, f float8, g float4, i interval, d date, at timestamptz, l timestamp,"
    " r regclass, note text)"
)
INSERT: Final = (
    r"INSERT INTO t VALUES ({}, '\x00ff5c27', 0.1 + 0.2::float8, 1.1 / 3, '-1 year 2 mons -3 days 04:05:06.789',"
    r" '2026-02-01', '2026-02-01 12:00:00.5+00', '2026-02-01 12:00:00.5', 't', '\ü''€\n')"
)
SHORT_MS: Final = 100
RESTED: Final = "500 ms"
"""Five times as long as what is imposed."""
_PLACES: Final = {
    "database": "ALTER DATABASE {name} SET {setting} = {value}",
    "role": "ALTER ROLE CURRENT_USER IN DATABASE {name} SET {setting} = {value}",
}
PLACES: Final = tuple(_PLACES)
_OURS: Final = (
    "SELECT pid, clock_timestamp() - state_change > %s::interval, wait_event_type = 'Lock' FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name = 'tailrace'"
)


class Onlooker:
    """A session of the test's own, opened before anything is imposed on those that come."""

    def __init__(self, url: str) -> None:
        self.session: psycopg.Connection[Any] = psycopg.connect(url, autocommit=True)
        self._name = conninfo_to_dict(url)["dbname"]

    def impose(self, place: str, setting: str, value: object) -> None:
        """Every session that begins from now on has this setting, unless it asks for another."""
        quoted = ", ".join(f"'{part.strip()}'" for part in str(value).split(","))
        self.execute(_PLACES[place].format(name=self._name, setting=setting, value=quoted))

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        for statement in statements:
            cursor = self.session.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []

    def rested(self) -> set[int]:
        """Wait until none of Tailrace's sessions has begun or ended anything for long; which they are."""
        until(lambda: (found := self._ours()) and all(rests for _, rests, _ in found), "for sessions to have rested")
        return {pid for pid, _, _ in self._ours()}

    def blocked(self) -> bool:
        """Whether one of Tailrace's sessions waits for a lock, and has for long."""
        return any(waits and rests for _, rests, waits in self._ours())

    def _ours(self) -> list[tuple[Any, ...]]:
        return self.session.execute(_OURS, [RESTED]).fetchall()


@contextmanager
def onlooking(url: str) -> Iterator[Onlooker]:
    """An onlooker until the end of the block."""
    with closing((onlooker := Onlooker(url)).session):
        yield onlooker
