"""`money` is printed by the rules of a locale; sources read it by one, whatever server, database or role are set to."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from servers import debian, postgres
from tests.server.postgres.reading import Make, Sql
from tests.wanting import lacking, or_skip

Start = Callable[..., postgres.Server]
LOCALE = "de_DE.utf8"


@pytest.fixture
def german(monkeypatch: pytest.MonkeyPatch, start_postgres: Start) -> Iterator[postgres.Server]:
    """A server that has a locale of its own, whether the system has that or not."""
    if shutil.which("localedef") is None:
        lacking("localedef")
    sources = Path("/usr/share/i18n")
    if not (sources / "locales" / "de_DE").exists():
        sources = or_skip(lambda: debian.install("locales", ["locales"])) / "usr" / "share" / "i18n"
    with tempfile.TemporaryDirectory(prefix="tailrace-locales-") as folder:
        Path(folder).chmod(0o755)  # for the server's user
        subprocess.run(
            ["localedef", "-i", "de_DE", "-f", "UTF-8", f"{folder}/{LOCALE}"],
            env={**os.environ, "I18NPATH": str(sources)},
            check=True,
        )
        monkeypatch.setenv("LOCPATH", folder)
        yield start_postgres(18)


@pytest.mark.parametrize("where", ["SYSTEM", "DATABASE postgres", "ROLE postgres"])
def test_money_does_not_depend_on_the_locale_of_server_database_or_role(
    german: postgres.Server, sql: Sql, reading: Make, where: str
) -> None:
    german.execute(f"ALTER {where} SET lc_monetary = '{LOCALE}'")
    german.execute("SELECT pg_reload_conf()")
    sql(german.url, "CREATE TABLE prices (id int PRIMARY KEY, price money)")
    sql(german.url, "INSERT INTO prices VALUES (1, 1234.5::numeric)")
    assert "€" in sql(german.url, "SELECT price::text FROM prices")[0][0]
    it = reading(german.url).open().count(1)
    sql(german.url, "INSERT INTO prices VALUES (2, -1234.5::numeric)")
    it.count(2)
    assert [(change.after or {})["price"] for change in it.seen] == ["$1,234.50", "-$1,234.50"]
