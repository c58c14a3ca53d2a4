"""Dead letters replayed into every sink that keeps its position: the position stays where it was, the rows arrive."""

from pathlib import Path

import pytest

from tailrace.contract import Sink, Writer
from tailrace.dead_letters import File as DeadLetters
from tailrace.dead_letters.request import Action, submit
from tailrace.error import Reject
from tailrace.model import Batch, Limits
from tailrace.pipeline import Pipeline, replay_alone
from tailrace.sink import DuckDB, File
from tailrace.testing.fake import Log, LogSource


class Picky:
    """The sink, but for one note."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.kind, self.transactional = sink.kind, sink.transactional
        self.table_like, self.truncate = sink.table_like, sink.truncate
        self.word: str | None = "bad"

    def check(self) -> list[object]:
        return []

    def open(self, name: str, limits: Limits) -> Writer:
        writer = self._sink.open(name, limits)
        write = writer.write

        def picky(batch: Batch) -> None:
            notes = [change.after["note"] if change.after is not None else None for change in batch]
            if reasons := {at: "bad" for at, note in enumerate(notes) if note == self.word}:
                raise Reject(reasons)
            write(batch)

        writer.write = picky  # type: ignore[method-assign]
        return writer


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("kind", ["file", "duckdb"])
def test_i14_a_replay_arrives_once_and_the_next_run_goes_on_where_it_was(
    tmp_path: Path, kind: str, alone: bool
) -> None:
    target = tmp_path / "target"
    sink = Picky(File(target) if kind == "file" else DuckDB(target))
    log, dead = Log("test/log/db/slot"), DeadLetters(tmp_path / "dead.jsonl")
    log.commit(("r", {"id": "1", "note": "bad"}))
    log.commit(("c", {"id": "2", "note": "fine"}), ("u", {"id": "1", "note": "x"}))
    pipeline = Pipeline(LogSource(log), sink, name="p", state_dir=None, dead_letters=dead)  # type: ignore[arg-type]
    pipeline.run(until_current=True)
    sink.word = None
    submit(dead.path, Action.REPLAY, None)
    if alone:
        assert replay_alone(pipeline) == 2
    log.insert(3, "more")
    pipeline.run(until_current=True)
    if not alone:
        log.insert(4, "after the request was seen")
        pipeline.run(until_current=True)
    assert found(kind, target)[:3] == [(1, "x"), (2, "fine"), (3, "more")]


def found(kind: str, target: Path) -> list[tuple[int, str]]:
    """Rows by id, the last image of each."""
    if kind == "duckdb":
        import duckdb

        with duckdb.connect(str(target), read_only=True) as connection:
            return connection.execute("select id, note from public.orders order by id").fetchall()
    import json

    rows = [json.loads(line)["value"]["after"] for line in target.read_text().splitlines()]
    return sorted({row["id"]: (row["id"], row["note"]) for row in rows}.values())
