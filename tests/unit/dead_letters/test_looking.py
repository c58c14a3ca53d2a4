"""Looking into a file of dead letters that its owner has open."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailrace.dead_letters import journal
from tailrace.dead_letters.journal import Journal, read_all
from tailrace.dead_letters.letter import Letter
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
