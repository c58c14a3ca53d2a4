"""The file sink: what lies in the file, what the sidecar says, and what is cut, moved or refused on the next open."""

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tailrace.error import ConfigError, Fatal, Fenced, Retryable
from tailrace.model import Batch, Limits
from tailrace.sink import File
from tailrace.sink.file.sidecar import Held, Sidecar, State
from tailrace.sink.file.writer import FileWriter
from tests.unit.sink.feed import LINEAGE, Feed
from tests.wanting import needs_root


class Out:
    """A file sink in a temporary folder."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.path = path
        self.options = options
        self.feed = Feed()

    def open(self) -> FileWriter:
        writer = File(self.path, **self.options).open("shop", Limits())
        writer.claim(LINEAGE)
        return writer

    def write(self, *batches: Batch) -> None:
        """In one life of the writer."""
        writer = self.open()
        for batch in batches:
            writer.write(batch)
        writer.close()

    @property
    def sidecar(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.path.parent / f"{self.path.name}.position").read_bytes())
        return content

    @property
    def rotated(self) -> list[Path]:
        return sorted(path for path in self.path.parent.glob("orders.2*"))

    def keys(self, *paths: Path) -> list[int]:
        """The keys of all lines, rotated files first."""
        content = b"".join(path.read_bytes() for path in paths or (*self.rotated, self.path))
        if self.options.get("compression") == "zstd":
            content = zstandard.ZstdDecompressor().stream_reader(content, read_across_frames=True).read()
        return [json.loads(line)["key"]["id"] for line in content.splitlines()]


@pytest.fixture
def out(tmp_path: Path) -> Out:
    return Out(tmp_path / "orders.jsonl")


def test_lines_are_appended_and_the_sidecar_says_where_they_end(out: Out) -> None:
    last = out.feed.insert(3)
    out.write(out.feed.insert(1), out.feed.insert(2))
    out.write(out.feed.insert(3))
    assert out.keys() == [1, 2, 3]
    assert out.sidecar["offset"] == out.sidecar["final"] == out.path.stat().st_size
    writer = out.open()
    assert (known := writer.known()[LINEAGE]) is not None and known > last.positions[0]
    writer.close()


def test_file_and_sidecar_are_private(out: Out) -> None:
    out.write(out.feed.insert(1))
    assert {path.stat().st_mode & 0o777 for path in out.path.parent.iterdir()} == {0o600}


def test_progress_moves_the_position_and_not_the_file(out: Out) -> None:
    out.write(out.feed.insert(1), progress := out.feed.progress())
    assert out.keys() == [1]
    assert out.sidecar["lineages"][LINEAGE]["position"] == progress.positions[0].text


@pytest.mark.parametrize("torn", [b"{", b'{"topic":"shop.public.orders"}\n', b"\x00" * 10_000])
def test_what_lies_beyond_the_sidecar_is_cut(out: Out, torn: bytes) -> None:
    out.write(out.feed.insert(1))
    with out.path.open("ab") as file:
        file.write(torn)
    out.write(out.feed.insert(2))
    assert out.keys() == [1, 2]


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_a_long_file_is_rotated_under_its_time_and_number(tmp_path: Path, compression: str) -> None:
    suffix = ".jsonl.zst" if compression == "zstd" else ".jsonl"
    out = Out(tmp_path / f"orders{suffix}", rotate_bytes=1, compression=compression)
    out.write(*(out.feed.insert(key) for key in (1, 2)))
    out.write(out.feed.insert(3), out.feed.progress())
    assert [path.name.split(".", 2)[2] for path in out.rotated] == [f"00000{number}{suffix}" for number in (1, 2, 3)]
    assert [out.keys(path) for path in out.rotated] == [[1], [2], [3]]
    assert out.path.stat().st_size == 0
    assert out.sidecar["sequence"] == 4


def test_an_old_file_is_rotated_and_an_empty_one_is_not(tmp_path: Path) -> None:
    out = Out(tmp_path / "orders.jsonl", rotate_s=1e-9)
    out.write(out.feed.progress(), out.feed.progress())
    assert out.rotated == []
    out.write(out.feed.insert(1), out.feed.progress(), out.feed.progress())
    assert len(out.rotated) == 1


def test_a_file_is_rotated_by_the_age_that_it_has_over_all_lives_of_its_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1_800_000_000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    out = Out(tmp_path / "orders.jsonl", rotate_s=3600)
    out.write(out.feed.insert(1))
    now[0] += 3599
    out.write(out.feed.insert(2))
    assert out.rotated == [], "it is young"
    now[0] += 1
    out.write(out.feed.insert(3))
    assert [out.keys(path) for path in (*out.rotated, out.path)] == [[1, 2], [3]]
    now[0] += 3599
    out.write(out.feed.insert(4))
    assert len(out.rotated) == 1, "the new file has an age of its own"
    now[0] += 1
    out.write(out.feed.progress())
    assert [out.keys(path) for path in out.rotated] == [[1, 2], [3, 4]]


def test_a_rotation_that_was_interrupted_is_carried_through(tmp_path: Path) -> None:
    out = Out(tmp_path / "orders.jsonl", rotate_bytes=1)
    out.write(out.feed.insert(1))
    out.path.rename(tmp_path / "orders.20261122T205000Z.000001.jsonl")
    out.write(out.feed.insert(2))
    assert [out.keys(path) for path in (*out.rotated, out.path)] == [[1], [2]]


def test_a_file_that_is_begun_anew_beside_rotated_ones_leaves_these_alone(tmp_path: Path) -> None:
    """As a hint advises: the file and its sidecar are moved away. What its snapshot rotates comes behind, and goes."""
    out = Out(tmp_path / "orders.jsonl", rotate_bytes=1)
    out.write(out.feed.insert(1), out.feed.insert(2), out.feed.insert(3))
    kept = [path.name for path in out.rotated]
    for path in (out.path, tmp_path / "orders.jsonl.position"):
        path.rename(tmp_path / f"away.{path.name}")
    out.write(*(out.feed.snapshot("a", 10 + part, begin=part == 0) for part in range(3)))
    out.write(out.feed.snapshot("b", 20, begin=True), out.feed.snapshot("b", 21, end=True), out.feed.progress())
    assert [path.name for path in out.rotated][: len(kept)] == kept
    assert out.keys() == [1, 2, 20, 21]


def test_each_write_is_a_frame_so_that_a_cut_leaves_a_whole_file(tmp_path: Path) -> None:
    out = Out(tmp_path / "orders.jsonl.zst", compression="zstd")
    out.write(out.feed.insert(1))
    first = out.path.stat().st_size
    out.write(out.feed.insert(2))
    with out.path.open("ab") as file:
        file.write(b"\x28\xb5\x2f\xfd torn")
    out.write(out.feed.insert(3))
    assert out.keys() == [1, 2, 3]
    assert zstandard.ZstdDecompressor().decompressobj().decompress(out.path.read_bytes()[:first]).count(b"\n") == 1


@pytest.mark.parametrize("rotate_bytes", [None, 1, 300])
def test_i15_a_snapshot_that_was_interrupted_leaves_no_line(tmp_path: Path, rotate_bytes: int | None) -> None:
    out = Out(tmp_path / "orders.jsonl", rotate_bytes=rotate_bytes)
    out.write(out.feed.insert(1), out.feed.insert(2))
    out.write(*(out.feed.snapshot("a", 10 + part, 20 + part, begin=part == 0) for part in range(4)))
    out.write(*(out.feed.snapshot("b", 30 + part, begin=part == 0) for part in range(2)))
    out.write(out.feed.snapshot("c", 40, begin=True), out.feed.snapshot("c", 41, end=True))
    out.write(out.feed.progress(), out.feed.insert(5), out.feed.progress())
    assert out.keys() == [1, 2, 40, 41, 5]
    assert not any(path.name.endswith(".partial") for path in tmp_path.iterdir())
    assert out.sidecar["attempt"] is None


def test_rotated_files_of_an_unfinished_snapshot_do_not_pass_for_finished_ones(tmp_path: Path) -> None:
    out = Out(tmp_path / "orders.jsonl", rotate_bytes=1)
    out.write(out.feed.snapshot("a", 1, begin=True), out.feed.snapshot("a", 2), out.feed.snapshot("a", 3))
    assert list(tmp_path.glob("orders.*.jsonl")) == []
    assert out.sidecar["final"] == 0
    out.write(out.feed.progress())
    assert [out.keys(path) for path in tmp_path.glob("orders.*.jsonl")] != []
    assert out.keys() == [1, 2, 3]


def test_readers_that_stop_at_the_sidecar_s_final_see_nothing_that_is_taken_back(out: Out) -> None:
    out.write(out.feed.insert(1))
    final = out.sidecar["final"]
    out.write(out.feed.snapshot("a", 2, begin=True), out.feed.snapshot("a", 3, end=True))
    assert out.sidecar["final"] == final < out.sidecar["offset"]
    out.write(out.feed.progress())
    assert out.sidecar["final"] == out.sidecar["offset"] == out.path.stat().st_size


def test_dead_letters_replayed_during_a_snapshot_do_not_complete_it(out: Out) -> None:
    first = out.feed.snapshot("a", 1, begin=True)
    out.write(first, Batch.progress(first.positions[0]))
    assert out.sidecar["attempt"]["id"] == "a"


def test_a_full_disk_loses_nothing_and_leaves_no_partial_line(out: Out) -> None:
    out.write(before := out.feed.insert(1))
    size = out.path.stat().st_size
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = out.open()
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 5_000, hard))
    try:
        with pytest.raises(Retryable, match="cannot write"):
            writer.write(out.feed.insert(*range(1000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        writer.close()
    assert out.path.stat().st_size == size
    assert out.sidecar["lineages"][LINEAGE]["position"] == before.positions[0].text
    out.write(out.feed.insert(2))
    assert out.keys() == [1, 2]


def test_a_full_disk_while_the_sidecar_is_written_moves_no_position(small_disk: Path) -> None:
    small = Out(small_disk / "orders.jsonl")
    small.write(small.feed.insert(1))
    writer = small.open()
    room = os.statvfs(small_disk)
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * (room.f_bavail * room.f_bsize - 4096))
    with pytest.raises(Retryable, match="No space left"):
        writer.write(small.feed.insert(*range(10)))
    filler.unlink()
    with pytest.raises(Retryable, match="closed after an earlier error"):  # which sidecar lies there, opening tells
        writer.write(small.feed.insert(2))
    writer.close()
    small.write(small.feed.insert(2))
    assert small.keys() == [1, 2]


def test_i16_one_process_writes_the_file(out: Out) -> None:
    writer = out.open()
    code = (
        "import sys; from tailrace.sink import File; from tailrace.model import Limits\n"
        "from tailrace.error import Retryable\n"
        "try: File(sys.argv[1]).open('shop', Limits())\n"
        "except Retryable as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(out.path)], capture_output=True, text=True, check=True)
    assert f"is in use by process {os.getpid()}" in done.stdout
    writer.close()


def test_i16_a_process_whose_lock_was_of_no_use_is_fenced_by_the_epoch(out: Out) -> None:
    writer = out.open()
    writer.write(out.feed.insert(1))
    lock = out.path.with_name("orders.jsonl.lock")
    lock.rename(lock.with_name("lost"))  # as on a file system without locks
    young = out.open()
    with pytest.raises(Fenced, match="another process has claimed"):
        writer.write(out.feed.insert(2))
    young.write(out.feed.insert(3))
    young.close()
    writer.close()
    assert out.keys() == [1, 3]


def test_a_file_of_somebody_else_is_not_touched(out: Out) -> None:
    out.path.write_text("precious\n")
    with pytest.raises(Fatal, match="holds data, but"):
        out.open()
    assert out.path.read_text() == "precious\n"


def test_a_file_of_another_pipeline_is_refused(out: Out) -> None:
    out.write(out.feed.insert(1))
    with pytest.raises(Fatal, match="belongs to the pipeline 'shop', not to 'other'"):
        File(out.path).open("other", Limits())


def test_a_file_that_lost_bytes_stops_the_pipeline(out: Out) -> None:
    out.write(out.feed.insert(1))
    os.truncate(out.path, 3)
    with pytest.raises(Fatal, match="has 3 bytes, but"):
        out.open()


@pytest.mark.parametrize("rotate_bytes", [None, 1])
@pytest.mark.parametrize("meddling", ["moved", "replaced", "removed", "cut"])
def test_a_file_that_another_program_takes_away_or_cuts_stops_the_pipeline(
    tmp_path: Path, meddling: str, rotate_bytes: int | None
) -> None:
    """What came behind that was written into it all the same, or behind a hole, and its position was saved."""
    out = Out(tmp_path / "orders.jsonl", rotate_bytes=rotate_bytes)
    writer = out.open()
    writer.write(before := out.feed.insert(1))
    if meddling == "cut":
        os.truncate(out.path, 0)
    elif meddling == "removed":
        out.path.unlink()
    else:
        out.path.rename(tmp_path / "taken")
    if meddling == "replaced":
        out.path.touch()
    said = "another program cut it" if meddling == "cut" else "was moved, removed or replaced"
    with pytest.raises(Fatal, match=said):
        writer.write(out.feed.insert(2))
    writer.close()
    assert out.sidecar["lineages"][LINEAGE]["position"] == before.positions[0].text
    assert out.rotated == []
    with pytest.raises(Fatal, match="has 0 bytes, but"):
        out.open()


def test_a_copy_that_took_the_files_place_gets_the_next_batch_at_the_next_open(out: Out) -> None:
    """It has all that was written before, and is of equal length: the batch was written into the other, and counted."""
    writer = out.open()
    writer.write(before := out.feed.insert(1))
    copy = out.path.with_name("copy")
    copy.write_bytes(out.path.read_bytes())
    copy.replace(out.path)
    with pytest.raises(Fatal, match="was moved, removed or replaced"):
        writer.write(batch := out.feed.insert(2))
    writer.close()
    assert out.sidecar["lineages"][LINEAGE]["position"] == before.positions[0].text
    out.write(batch)
    assert out.keys() == [1, 2]


def test_what_another_program_writes_behind_the_end_is_cut(out: Out) -> None:
    writer = out.open()
    writer.write(out.feed.insert(1))
    with out.path.open("ab") as file:
        file.write(b"x" * 10_000)
    writer.write(out.feed.insert(2))
    writer.close()
    assert out.keys() == [1, 2]


@pytest.mark.parametrize("behind", [1, 2])
def test_a_sidecar_that_is_older_than_its_files_cuts_none_of_them(tmp_path: Path, behind: int) -> None:
    out = Out(tmp_path / "orders.jsonl", rotate_bytes=1)
    out.write(*(out.feed.insert(key) for key in range(3 - behind)))
    old = (sidecar := tmp_path / "orders.jsonl.position").read_bytes()
    out.write(*(out.feed.insert(key) for key in range(3 - behind, 3)))
    sidecar.write_bytes(old)
    with pytest.raises(Fatal, match=r"orders\.jsonl\.position is older than the files beside it: by it file \d is"):
        out.open()
    assert out.keys() == [0, 1, 2]


def test_a_sidecar_that_is_removed_meanwhile_is_no_other_process(out: Out) -> None:
    writer = out.open()
    writer.write(out.feed.insert(1))
    (out.path.parent / "orders.jsonl.position").unlink()
    with pytest.raises(Fatal, match="is gone: it was moved or removed while the pipeline ran") as caught:
        writer.write(out.feed.insert(2))
    writer.close()
    assert not isinstance(caught.value, Fenced)


def test_a_damaged_sidecar_stops_the_pipeline(out: Out) -> None:
    out.write(out.feed.insert(1))
    out.path.with_name("orders.jsonl.position").write_text('{"offset": "x"}')
    with pytest.raises(Fatal, match="is damaged"):
        out.open()


def test_forgetting_keeps_the_file_and_where_it_ends(out: Out) -> None:
    out.write(out.feed.insert(1))
    writer = out.open()
    writer.forget()
    assert writer.known() == {}
    writer.close()
    out.write(out.feed.snapshot("a", 2, begin=True, end=True), out.feed.progress())
    assert out.keys() == [1, 2]


def test_i12_closing_twice_is_harmless_and_a_closed_writer_writes_no_more(out: Out) -> None:
    writer = out.open()
    writer.close()
    writer.close()
    with pytest.raises(Retryable, match="is closed"):
        writer.write(out.feed.insert(1))


def test_the_sidecar_is_replaced_only_by_whoever_holds_the_epochs_in_it(tmp_path: Path) -> None:
    sidecar = Sidecar(tmp_path / "x.position")
    assert sidecar.load() is None
    first = State("shop", lineages={LINEAGE: Held(epoch=1)})
    second = State("shop", lineages={LINEAGE: Held(epoch=2)})
    sidecar.store(first, held=None)
    sidecar.store(second, held=first)
    for stale in (first, None):
        with pytest.raises(Fenced, match="another process has claimed"):
            sidecar.store(replace(first, offset=9), held=stale)
        assert sidecar.load() == second


@pytest.mark.parametrize("options", [{"compression": "lzma"}, {"rotate_bytes": 0}, {"rotate_s": -1}])
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        File(tmp_path / "x.jsonl", **options)


def test_check_looks_at_the_path(tmp_path: Path) -> None:
    assert [finding.severity for finding in File(tmp_path / "new" / "x.jsonl").check()] == ["ok"]
    assert [finding.severity for finding in File(tmp_path).check()] == ["error"]


def test_check_tells_a_read_only_file_system_from_missing_rights(tmp_path: Path) -> None:
    needs_root()
    folder = tmp_path / "read only"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", folder], check=True)
    try:
        [finding] = File(folder / "orders.jsonl").check()
    finally:
        subprocess.run(["umount", folder], check=True)
    assert (finding.severity, finding.message, finding.fix) == ("error", "its file system is mounted read-only", None)
