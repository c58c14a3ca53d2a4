"""What the files do when things go wrong: torn, corrupted, foreign, full, fenced."""

import contextlib
import hashlib
import json
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.checkpoint import File, SQLite
from tailrace.contract import Checkpoint
from tailrace.error import Fatal, Fenced, Retryable
from tailrace.model import Position

L = "test/log"


def saved(checkpoint: Checkpoint, *texts: str) -> None:
    positions = checkpoint.open("p")
    positions.claim(L)
    for text in texts:
        positions.save([Position(L, text)])
    positions.close()


@given(at=st.integers(0, 10_000), flip=st.integers(1, 255))
@settings(deadline=None, max_examples=80)
def test_a_flipped_byte_is_noticed_and_named(tmp_path_factory: pytest.TempPathFactory, at: int, flip: int) -> None:
    path = tmp_path_factory.mktemp("flip") / "p.position"
    saved(File(path), "1", "2")
    content = bytearray(path.read_bytes())
    at %= len(content)
    content[at] ^= flip
    path.write_bytes(content)
    try:
        positions = File(path).open("p")
    except Fatal as error:
        assert str(path) in str(error)
        return
    # The flip fell on white space between tokens: nothing of the content changed.
    assert positions.known() == {L: Position(L, "2")}
    positions.close()


@pytest.mark.parametrize("length", [0, 1, 40])
def test_a_torn_file_is_refused_and_the_one_before_is_at_hand(tmp_path: Path, length: int) -> None:
    path = tmp_path / "p.position"
    saved(File(path), "1", "2")
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(Fatal, match=r"damaged.*\n.*p\.position\.previous"):
        File(path).open("p")
    (tmp_path / "p.position.previous").replace(path)
    positions = File(path).open("p")
    assert positions.known() == {L: Position(L, "1")}
    positions.close()


def test_only_the_user_may_read_them(tmp_path: Path) -> None:
    saved(File(tmp_path / "state" / "p.position"), "1", "2")
    saved(SQLite(tmp_path / "state" / "p.db"), "1")
    for name in ("p.position", "p.position.previous", "p.db"):
        assert (tmp_path / "state" / name).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


def test_another_pipelines_file_is_refused(tmp_path: Path) -> None:
    saved(File(tmp_path / "x"), "1")
    with pytest.raises(Fatal, match="belongs to pipeline p, not to q"):
        File(tmp_path / "x").open("q")


def test_a_file_of_a_later_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    saved(File(path), "1")
    document = json.loads(path.read_bytes())
    document["checkpoint"]["format"] = 99
    content = json.dumps(document["checkpoint"], sort_keys=True).encode()
    path.write_text(json.dumps({**document, "sha256": hashlib.sha256(content).hexdigest()}))
    with pytest.raises(Fatal, match="format 99 is not known to this version"):
        File(path).open("p")


def test_of_what_is_forgotten_no_older_file_is_left_to_be_put_back(tmp_path: Path) -> None:
    path = tmp_path / "x"
    saved(File(path), "1", "2")
    assert (tmp_path / "x.previous").exists()
    positions = File(path).open("p")
    positions.forget()
    positions.close()
    assert [each.name for each in tmp_path.iterdir()] == ["x.lock"]


def test_i16_a_holder_whose_epoch_has_passed_is_fenced(tmp_path: Path) -> None:
    for checkpoint, lock in (
        (File(tmp_path / "f"), tmp_path / "f.lock"),
        (SQLite(tmp_path / "s"), tmp_path / "s.p.lock"),
    ):
        paused = checkpoint.open("p")
        paused.claim(L)
        paused.save([Position(L, "1")])
        lock.unlink()  # as on a file system that forgets locks
        other = checkpoint.open("p")
        assert other.claim(L) == Position(L, "1")
        other.save([Position(L, "2")])
        with pytest.raises(Fenced, match="another process has claimed"):
            paused.save([Position(L, "3")])
        assert other.known() == {L: Position(L, "2")}
        paused.close()
        other.close()


def test_a_database_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    path.write_bytes(b"not a database, certainly " * 100)
    with pytest.raises(Fatal, match=r"p\.db: file is not a database"):
        SQLite(path).open("p")


def test_a_database_is_told_to_write_through(tmp_path: Path) -> None:
    with contextlib.closing(SQLite(tmp_path / "p.db").open("p")) as positions:
        assert positions._db.execute("pragma synchronous").fetchall() == [(3,)]  # extra


def test_a_locked_database_is_tried_again_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailrace.checkpoint.sqlite._BUSY_S", 0.05)
    positions = SQLite(tmp_path / "p.db").open("p")
    positions.claim(L)
    other = sqlite3.connect(tmp_path / "p.db", isolation_level=None)
    other.execute("begin exclusive")
    with pytest.raises(Retryable, match="locked"):
        positions.save([Position(L, "1")])
    other.close()
    positions.save([Position(L, "1")])
    positions.close()


@pytest.mark.parametrize("kind", ["File", "SQLite"])
def test_a_full_disk_is_told_and_the_position_stays(tmp_path: Path, kind: str) -> None:
    program = f"""
import resource
from pathlib import Path
from tailrace.checkpoint import {kind}
from tailrace.error import Retryable
from tailrace.model import Position
positions = {kind}(Path({str(tmp_path / "p")!r})).open("p")
positions.claim("l")
positions.save([Position("l", "1")])
before = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
try:
    positions.save([Position("l", "2" * 5000)])
except Retryable as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, before)
assert positions.known() == {{"l": Position("l", "1")}}, positions.known()
assert not list(Path({str(tmp_path)!r}).glob("*.new")), "room that nobody would give back"
positions.save([Position("l", "3")])
assert positions.known() == {{"l": Position("l", "3")}}
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert "free some space" in ended.stdout


def test_a_folder_that_cannot_be_written_is_fatal_and_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Fatal, match="cannot create the folder"):
        File(tmp_path / "file" / "p").open("p")


def test_a_kill_between_any_two_steps_of_a_save_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    program = f"""
import os, signal, sys
from pathlib import Path
from tailrace.checkpoint import File
from tailrace.model import Position
positions = File(Path({str(tmp_path / "p")!r})).open("p")
positions.claim("l")
positions.save([Position("l", "old")])
left = int(sys.argv[1])
def trace(event, arguments):
    global left
    if event.startswith(("os.", "open")):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(trace)
positions.save([Position("l", "new")])
print("done")
"""
    seen = set()
    for step in range(1, 40):
        ended = subprocess.run([sys.executable, "-c", program, str(step)], capture_output=True, text=True, check=False)
        positions = File(tmp_path / "p").open("p")
        seen.add(positions.known()["l"])
        positions.forget()
        positions.close()
        if ended.stdout == "done\n":
            break
        assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert seen == {Position("l", "old"), Position("l", "new")}


KILLED_WITHIN_A_SAVE = """
import os, signal, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("pragma cache_size = 1")
db.execute("begin immediate")
db.execute("update tailrace_position set position = 'torn'")
db.execute("create table filler (content)")
for _ in range(50):  # more than the cache holds: pages go into the file before the commit
    db.execute("insert into filler values (randomblob(4000))")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_is_saved_can_be_told_after_a_kill_within_a_save_and_nothing_is_changed_by_it(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    saved(SQLite(path), "1")
    done = subprocess.run([sys.executable, "-c", KILLED_WITHIN_A_SAVE, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    left = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert left["p.db-journal"] and b"torn" in left["p.db"]
    assert SQLite(path).saved("p") == {L: Position(L, "1")}
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == left
    with contextlib.closing(SQLite(path).open("p")) as positions:
        assert positions.known() == {L: Position(L, "1")}


def test_of_a_file_that_was_made_and_no_more_nothing_is_saved(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    path.touch()
    assert SQLite(path).saved("p") == {}
