"""A file of dead letters that another program moves, removes or cuts under the pipeline that has it open."""

from pathlib import Path

import pytest

from tailrace.dead_letters import File
from tailrace.error import Fatal
from tailrace.model import Batch, Limits
from tailrace.testing.fake import Log


@pytest.mark.parametrize("meddling", ["moved", "replaced", "removed", "cut"])
def test_i14_nothing_is_parked_in_a_file_that_another_program_took_away_or_cut(tmp_path: Path, meddling: str) -> None:
    """The letter was written into it all the same, and the position moved on."""
    log = Log()
    log.insert(1)
    log.insert(2)
    [batch] = Batch.merge([log.next(index, None, 0) for index in range(2)])  # type: ignore[misc]
    path = tmp_path / "dead.jsonl"
    letters = File(path).open("p", Limits())
    letters.park(batch, {0: "no"})
    if meddling == "cut":
        path.write_bytes(b"")
    else:
        path.rename(tmp_path / "taken")
        if meddling == "replaced":
            path.touch()
        elif meddling == "removed":
            (tmp_path / "taken").unlink()
    with pytest.raises(Fatal, match=r"another program cut it" if meddling == "cut" else r"was moved, removed or repl"):
        letters.park(batch, {1: "no"})
    assert letters.count() == 1
    letters.close()
    again = File(path).open("p", Limits())
    again.park(batch, {1: "no"})
    assert again.count() == 1
    again.close()


def test_i14_nothing_is_parked_in_an_empty_file_that_another_empty_one_replaced(tmp_path: Path) -> None:
    """As `logrotate` does: of equal length, it was taken for the same file until the next letter came."""
    log = Log()
    log.insert(1)
    [batch] = Batch.merge([log.next(0, None, 0)])  # type: ignore[misc]
    path = tmp_path / "dead.jsonl"
    letters = File(path).open("p", Limits())
    path.rename(tmp_path / "taken")
    path.touch()
    with pytest.raises(Fatal, match="was moved, removed or replaced"):
        letters.park(batch, {0: "no"})
    assert letters.count() == 0
    letters.close()
    again = File(path).open("p", Limits())
    again.park(batch, {0: "no"})
    assert again.count() == 1
    again.close()
