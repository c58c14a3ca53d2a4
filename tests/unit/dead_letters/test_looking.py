"""Whose a file of dead letters is, and looking into one that its owner has open."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailrace.dead_letters import File, journal
from tailrace.dead_letters.journal import Journal, read_all
from tailrace.dead_letters.letter import Letter
from tailrace.error import Fatal
from tailrace.model import Limits
from tests.unit.sink.feed import Feed


def test_a_file_that_its_owner_replaces_meanwhile_is_read_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_COMPACT_NBYTES_MIN", 0)
    path = tmp_path / "dead.jsonl"
    owner = Journal(path, 1 << 20)
    letters = [Letter.of(change, "why", 1) for change in Feed().insert(1, 2, 3)]
    owner.park(letters)
    apply, seen = journal._apply, []

    def removing(entries: dict[str, journal._Entry], document: dict[str, object], line: journal._Entry) -> None:
        apply(entries, document, line)
        seen.append(line)
        if len(seen) == len(letters):
            owner.remove([letters[0].id, letters[1].id], "dropped")

    monkeypatch.setattr(journal, "_apply", removing)
    assert [letter.id for letter in read_all(path)] == [letters[2].id]
    assert len(path.read_bytes().splitlines()) == 1, "the owner has put another file in its place"
    owner.close()


def test_a_file_of_another_pipeline_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its letters would be replayed into the other's sink, and hold up that one's changes of the same keys."""
    monkeypatch.setattr(journal, "_COMPACT_NBYTES_MIN", 0)
    path = tmp_path / "dead.jsonl"
    File(path).open("other", Limits()).close()  # as long as it holds nothing it is anybody's
    letters = [Letter.of(change, "why", 1) for change in Feed().insert(1, 2, 3)]
    for begun in (False, True):
        owner = Journal(path, 1 << 20, owner="orders")
        if begun:
            owner.remove([letters[0].id, letters[1].id], "dropped")  # and the file is made anew
        else:
            owner.park(letters)
        owner.close()
        with pytest.raises(Fatal, match="are of the pipeline 'orders', not of 'other'") as refused:
            File(path).open("other", Limits())
        assert "a file of their own" in str(refused.value.hint)
    again = File(path).open("orders", Limits())
    assert again.count() == 1
    again.close()
