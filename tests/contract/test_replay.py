"""Dead letters replayed into every sink that keeps its position: the position stays where it was, the rows arrive;
wherever the letters lie."""

import contextlib
from pathlib import Path

import pytest

from tailrace.contract import Sink, Writer
from tailrace.dead_letters import File as LettersInFile
from tailrace.dead_letters import Kafka as LettersInTopic
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


@pytest.fixture(params=["letters in a file", "letters in a topic"])
def dead(request: pytest.FixtureRequest, tmp_path: Path) -> LettersInFile | LettersInTopic:
    if request.param == "letters in a file":
        return LettersInFile(tmp_path / "dead.jsonl")
    broker, topic = request.getfixturevalue("kafka"), request.getfixturevalue("topic")
    return LettersInTopic(f"kafka://{broker.address}/{topic}_dead")


def ask_for_all(dead: LettersInFile | LettersInTopic) -> None:
    """As an operator asks for every letter to be replayed."""
    if isinstance(dead, LettersInFile):
        submit(dead.path, Action.REPLAY, None)
        return
    with contextlib.closing(dead.store("p", make=False)) as store:
        store.ask(Action.REPLAY, [letter.id for letter in store.letters()])


def left(dead: LettersInFile | LettersInTopic) -> int:
    """Letters that are parked, as whoever opens them next finds them."""
    with contextlib.closing(dead.open("p", Limits())) as letters:
        return letters.count()


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("kind", ["file", "duckdb"])
def test_i14_a_replay_arrives_once_and_the_next_run_goes_on_where_it_was(
    dead: LettersInFile | LettersInTopic, tmp_path: Path, kind: str, alone: bool
) -> None:
    target = tmp_path / "target"
    sink = Picky(File(target) if kind == "file" else DuckDB(target))
    log = Log("test/log/db/slot")
    log.commit(("r", {"id": "1", "note": "bad"}))
    log.commit(("c", {"id": "2", "note": "fine"}), ("u", {"id": "1", "note": "x"}))
    pipeline = Pipeline(LogSource(log), sink, name="p", state_dir=None, dead_letters=dead)  # type: ignore[arg-type]
    pipeline.run(until_current=True)
    sink.word = None
    assert left(dead) == 2
    ask_for_all(dead)
    if alone:
        assert replay_alone(pipeline) == 2
    log.insert(3, "more")
    pipeline.run(until_current=True)
    if not alone:
        log.insert(4, "after the request was seen")
        pipeline.run(until_current=True)
    assert left(dead) == 0
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
