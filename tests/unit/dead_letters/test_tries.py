"""What counts as a try of a letter: it was offered, and refused for itself."""

from __future__ import annotations

from pathlib import Path

from tailrace.app import App
from tailrace.dead_letters.journal import read_all
from tailrace.dead_letters.request import Action, submit
from tailrace.error import Reject
from tailrace.model import Change, Limits
from tailrace.testing.fake import Log
from tests.unit.dead_letters.test_file import batch_of, opened, row


def test_i14_what_waits_behind_a_letter_that_is_refused_again_keeps_its_tries(tmp_path: Path) -> None:
    refused = {"1", "2"}
    app = App("postgresql://localhost/shop", name="p")

    @app.on("public.orders")
    def order(change: Change) -> None:
        if change.after is not None and change.after["note"] in refused:
            raise Reject("not this one")

    log = Log()
    log.commit(("c", row(1, "1")), ("u", row(1, "2")), ("u", row(1, "3")), ("c", row(2, "2")))
    batch, letters = batch_of(log), opened(tmp_path)
    letters.park(batch, dict.fromkeys(range(4), "parked"))
    writer = app.open("p", Limits())

    def tried_again() -> list[tuple[int, str]]:
        submit(tmp_path / "dead.jsonl", Action.REPLAY, None)
        letters.replay(lambda part, transform: writer.write(part), {log.lineage: batch.positions[0]})
        return [(letter.attempts, letter.reason) for letter in read_all(tmp_path / "dead.jsonl")]

    never, no = (0, "parked"), "not this one"
    assert tried_again() == [(2, no), never, never, (2, no)]
    assert tried_again() == [(3, no), never, never, (3, no)]
    refused.discard("1")
    assert tried_again() == [(1, no), never, (4, no)]
    refused.clear()
    assert tried_again() == []
    writer.close()
    letters.close()
