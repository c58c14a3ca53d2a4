"""Whose a file of dead letters is, and looking into one that its owner has open."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailrace.checkpoint import Memory
from tailrace.cli.parked import InFile, letters_of, throw_away
from tailrace.dead_letters import File, journal
from tailrace.dead_letters.file import discard
from tailrace.dead_letters.journal import Journal, read_all
from tailrace.dead_letters.letter import Letter
from tailrace.dead_letters.request import pending
from tailrace.error import Fatal
from tailrace.model import Limits
from tailrace.pipeline import Pipeline
from tailrace.testing.fake import ListSink, Log, LogSource, Target
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


def test_a_file_that_holds_no_letter_any_more_is_taken_over(tmp_path: Path) -> None:
    """As by a pipeline that was renamed."""
    path = tmp_path / "dead.jsonl"
    one, two = Feed().insert(1), Feed().insert(2)
    before = File(path).open("orders", Limits())
    before.park(one, {0: "why"})
    before.close()
    with pytest.raises(Fatal, match="are of the pipeline 'orders', not of 'sales'") as refused:
        File(path).open("sales", Limits())
    assert "renamed, replay or drop them under the old name, or move the file" in str(refused.value.hint)
    assert discard(path, owner="orders") == 1
    for name in ("sales", "orders", "sales"):  # as long as nothing is parked it is anybody's
        File(path).open(name, Limits()).close()
    after = File(path).open("sales", Limits())
    after.park(two, {0: "why"})
    after.close()
    again = File(path).open("sales", Limits())
    assert again.count() == 1
    again.close()
    with pytest.raises(Fatal, match="are of the pipeline 'sales', not of 'orders'"):
        File(path).open("orders", Limits())


def test_commands_in_the_name_of_another_pipeline_change_and_show_nothing(tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    owner = File(path).open("orders", Limits())
    owner.park(Feed().insert(1), {0: "why"})
    owner.close()
    held = path.read_bytes()
    other = Pipeline(
        LogSource(Log()), ListSink(Target()), name="sales", state_dir=None, checkpoint=Memory(), dead_letters=File(path)
    )
    place = InFile(path, other)
    for command in (
        place.letters,
        lambda: place.replay([]),
        lambda: place.drop([]),
        lambda: letters_of(other),
        lambda: throw_away(File(path), "sales"),
    ):
        with pytest.raises(Fatal, match="are of the pipeline 'orders', not of 'sales'"):
            command()
        assert pending(path) == []
        assert path.read_bytes() == held
