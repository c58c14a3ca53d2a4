"""A DuckDB file that another program takes away while the pipeline writes to it: the pipeline stops."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from tailrace.error import Fatal
from tailrace.model import Limits
from tailrace.sink import DuckDB
from tests.unit.sink.feed import LINEAGE
from tests.unit.sink.shop import Shop


@pytest.mark.parametrize("meddling", ["moved", "removed", "emptied", "made anew", "copied"])
def test_a_file_that_another_program_takes_away_stops_the_pipeline(shop: Shop, meddling: str) -> None:
    """Rows and positions went on into the file that was taken, and the next start found another, or none."""
    shop.write(before := shop.feed.insert(1))
    writer, taken = shop.writer, shop.path.with_name("taken")
    if meddling == "copied":
        shutil.copy(shop.path, copy := shop.path.with_name("copy"))
    shop.path.rename(taken)
    if meddling == "removed":
        taken.unlink()
    elif meddling == "emptied":
        shop.path.touch()
    elif meddling == "made anew":
        duckdb.connect(str(other := shop.path.with_name("other"))).close()
        other.rename(shop.path)
    elif meddling == "copied":
        copy.rename(shop.path)
    if meddling in {"made anew", "copied"}:  # as long as the other, and by no chance of the same moment
        os.utime(shop.path, (0, 0))
    with pytest.raises(Fatal, match=r"shop\.duckdb was moved, removed or replaced") as stopped:
        writer.write(batch := shop.feed.insert(2))
    assert "tailrace reset" in str(stopped.value)
    shop.close()
    if meddling == "removed":
        return
    taken.replace(shop.path)
    assert shop.writer.known() == {LINEAGE: before.positions[0]}
    shop.write(batch)
    assert shop.rows() == [(1, "n1"), (2, "n2")]


def test_a_link_to_the_file_is_followed_until_it_leads_elsewhere(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "link.duckdb")
    shop.path.symlink_to(tmp_path / "shop.duckdb")
    shop.write(shop.feed.insert(1), shop.feed.insert(2))
    shop.path.unlink()
    shop.path.symlink_to(tmp_path / "other.duckdb")
    with pytest.raises(Fatal, match=r"link\.duckdb was moved, removed or replaced"):
        shop.write(shop.feed.insert(3))
    shop.close()


def test_a_program_may_change_its_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shop = Shop(Path("shop.duckdb"))
    shop.write(shop.feed.insert(1))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    shop.write(shop.feed.insert(2))
    shop.close()
    monkeypatch.chdir(tmp_path)
    assert shop.rows() == [(1, "n1"), (2, "n2")]


def test_what_watches_the_file_takes_no_lock_off_it(shop: Shop) -> None:
    """One of two pipelines of a process ends: no other process may write beside the one that is left."""
    shop.write(shop.feed.insert(1))
    with closing(DuckDB(shop.path).open("other", Limits())) as other:
        other.claim(LINEAGE)
    connect = f"import duckdb; duckdb.connect({str(shop.path)!r})"
    ended = subprocess.run([sys.executable, "-c", connect], capture_output=True, text=True, check=False)
    assert "Could not set lock" in ended.stderr, ended
    shop.write(shop.feed.insert(2))
    assert shop.rows() == [(1, "n1"), (2, "n2")]
