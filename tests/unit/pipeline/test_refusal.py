"""Who refuses changes, a sink or a transform, has them parked, and must name them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow
import pytest

from tailrace._native import BatchBuilder
from tailrace.checkpoint import Memory
from tailrace.dead_letters import File
from tailrace.dead_letters.journal import read_all
from tailrace.dead_letters.request import Action, submit
from tailrace.error import Fatal, Refused, Reject
from tailrace.model import Batch, Change, Limits, Table
from tailrace.pipeline import Pipeline, replay_alone
from tailrace.pipeline.gauge import Gauge
from tailrace.pipeline.line import Line
from tailrace.pipeline.shaping import replayed, shaped, steps_of
from tailrace.pipeline.stopping import Stopping
from tailrace.testing.fake import ORDERS, ListSink, Log, LogSource, Target
from tailrace.transform import Rename, map_arrow, map_changes

SALES = Table("public", "sales", ORDERS.columns, key=["id"])


def test_refused_changes_that_stay_in_the_batch_do_not_loop(tmp_path: Path) -> None:
    log, letters = Log(), File(tmp_path / "dead.jsonl")

    class Stubborn:
        """A batch that keeps what is taken out of it."""

        def __len__(self) -> int:
            return len(batch)

        def __getitem__(self, index: int) -> Change:
            return batch[index]

        def without(self, indexes: list[int]) -> "Stubborn":
            return self

    log.insert(1)
    batch = log._batches[0]
    pipeline = Pipeline(
        LogSource(log), ListSink(Target()), name="p", state_dir=None, checkpoint=Memory(), dead_letters=letters
    )
    line = Line(pipeline.plan(), Gauge("p"), Stopping(), until_current=False)
    line._letters = letters.open("p", Limits())
    with pytest.raises(Fatal, match="cannot be taken out"):
        line._park(Stubborn(), Reject({0: "too long"}))  # type: ignore[arg-type]
    line._letters.close()


class Picky:
    """A function for `map_changes` that refuses one note, and marks all others."""

    def __init__(self, word: str | None) -> None:
        self.word = word

    def __call__(self, change: Change) -> Change:
        note = change.after["note"] if change.after is not None else ""
        if note == self.word:
            raise Reject("a word that is not wanted")
        return change.replace(after={"note": f"{note}!"})


def make(log: Log, target: Target, letters: File | None, *transforms: Any) -> Pipeline:
    return Pipeline(
        LogSource(log), ListSink(target), name="p", state_dir=None, checkpoint=Memory(), dead_letters=letters,
        transforms=transforms, limits=Limits(save_interval_s=0.02, backoff_s_max=0.05, stop_timeout_s=60),
    )  # fmt: skip


def test_i14_what_a_transform_refuses_is_parked_as_it_was_given_and_replayed_from_there_on(tmp_path: Path) -> None:
    log, target, letters, picky = Log(), Target(), File(tmp_path / "dead.jsonl"), Picky("bad?")
    before = map_changes(lambda change: change.replace(after={"note": f"{change.after['note']}?"}))
    for key, note in ((1, "bad"), (2, "fine"), (1, "later")):
        log.insert(key, note)
    pipeline = make(log, target, letters, before, map_changes(picky), Rename({"public.orders": "shop.sales"}))
    pipeline.run(until_current=True)
    assert [record.cells for record in target.records] == [{"id": "2", "note": "fine?!"}]
    first, second = read_all(letters.path)
    assert (first.reason, first.after) == ("a word that is not wanted", {"id": "1", "note": "bad?"})
    assert second.reason == "an earlier change of this key is parked"

    submit(letters.path, Action.REPLAY, None)
    assert replay_alone(pipeline) == 0, "it is refused again"
    assert read_all(letters.path)[0].attempts == 2
    picky.word = None
    submit(letters.path, Action.REPLAY, None)
    assert replay_alone(pipeline) == 2
    assert [(record.table, record.cells["note"]) for record in target.records if record.cells] == [
        ("shop.sales", "fine?!"), ("shop.sales", "bad?!"), ("shop.sales", "later?!"),
    ]  # fmt: skip


def test_what_the_sink_refuses_of_letters_that_a_transform_refused_before_stays_with_its_reason(tmp_path: Path) -> None:
    log, target, letters, picky = Log(), Target(), File(tmp_path / "dead.jsonl"), Picky("bad")
    log.commit(("c", {"id": "1", "note": "bad"}), ("c", {"id": "2", "note": "bad"}))
    drop_first = map_changes(lambda change: None if change.after["id"] == 1 else change)
    pipeline = make(log, target, letters, map_changes(picky), drop_first)
    pipeline.run(until_current=True)
    picky.word, target.refuse = None, lambda change: "too long"
    submit(letters.path, Action.REPLAY, None)
    assert replay_alone(pipeline) == 1, "one was dropped by the transform"
    assert [(letter.after, letter.reason) for letter in read_all(letters.path)] == [
        ({"id": "2", "note": "bad"}, "too long")
    ]  # fmt: skip


def test_i14_a_later_change_of_a_parked_key_is_parked_though_it_comes_alone(tmp_path: Path) -> None:
    """What the sink would take, in a batch in which it refuses nothing."""
    log, target, letters = Log(), Target(), File(tmp_path / "dead.jsonl")
    log.insert(1, "bad")
    target.refuse = lambda change: "too long" if change.after["note"] == "bad" else None
    pipeline = make(log, target, letters)
    pipeline.run(until_current=True)
    log.insert(1, "good")
    log.insert(2, "good")
    pipeline.run(until_current=True)
    assert target.keys == ["2"]
    assert [(letter.after, letter.reason) for letter in read_all(letters.path)] == [
        ({"id": "1", "note": "bad"}, "too long"),
        ({"id": "1", "note": "good"}, "an earlier change of this key is parked"),
    ]


class Piecemeal(Target):
    """Has written what stands before the change that it refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.offered: list[list[int]] = []

    def write(self, batch: Batch, commit: object = None) -> None:
        self.offered.append([change.after["id"] for change in batch if change.after is not None])
        for index, change in enumerate(batch):
            if change.after is not None and change.after["note"] == "bad":
                raise Reject({index: "too long"}, written=range(index))
        super().write(batch)


def test_what_the_sink_has_written_before_it_refused_a_change_is_neither_parked_nor_offered_again(
    tmp_path: Path,
) -> None:
    log, target, letters = Log(), Piecemeal(), File(tmp_path / "dead.jsonl")
    log.commit(*(("c", {"id": str(key), "note": note}) for key, note in ((1, "good"), (2, "bad"), (3, "good"))))
    make(log, target, letters).run(until_current=True)
    assert [ids for ids in target.offered if ids] == [[1, 2, 3], [3]]
    assert [letter.after for letter in read_all(letters.path)] == [{"id": "2", "note": "bad"}]


def test_a_letter_whose_transform_has_gone_stays(tmp_path: Path) -> None:
    log, target, letters = Log(), Target(), File(tmp_path / "dead.jsonl")
    log.insert(1, "bad")
    make(log, target, letters, map_changes(Picky("bad"))).run(until_current=True)
    submit(letters.path, Action.REPLAY, None)
    assert replay_alone(make(log, target, letters)) == 0
    [letter] = read_all(letters.path)
    assert "is no longer in the pipeline" in letter.reason


def test_a_transform_that_refuses_without_dead_letters_stops_the_pipeline() -> None:
    log, target = Log(), Target()
    log.insert(1, "bad")
    with pytest.raises(Refused, match=r"transform .*Picky refused 1 change\(s\).*not wanted"):
        make(log, target, None, map_changes(Picky("bad"))).run(until_current=True)
    assert not log.confirmed


@pytest.mark.parametrize("reasons", [{"id": "no"}, {None: "no"}, {7: "no"}, {-1: "no"}, {}])
@pytest.mark.parametrize("who", ["sink", "transform"])
def test_a_reject_that_names_no_change_is_fatal_and_says_whose_it_is(
    tmp_path: Path, who: str, reasons: Mapping[Any, str]
) -> None:
    def refuse(batch: Batch) -> Batch:
        raise Reject(reasons)

    log, target, letters = Log(), Target(), File(tmp_path / "dead.jsonl")
    log.insert(1)
    if who == "sink":
        target.fail(Reject(reasons))
    pipeline = make(log, target, letters, *([refuse] if who == "transform" else []))
    with pytest.raises(
        Fatal, match=r"^sink list raised Reject" if who == "sink" else "^transform .*refuse raised Reject"
    ):
        pipeline.run(until_current=True)
    assert not read_all(letters.path)


def _refuse_columns(of: Table, stream: Any) -> Any:
    if of == ORDERS:
        return stream
    raise Reject({2: "no"}, written=[1])


def _refuse_batch(batch: Batch) -> Batch:
    raise Reject({2: "no"}, written=[1])


@pytest.mark.parametrize("form", ["batch", "first table", "second table"])
def test_a_transform_that_says_what_is_written_is_fatal_since_it_writes_nothing(form: str) -> None:
    """It was passed over, and what the transform called done was given to it again."""
    sales = Table("public", "sales", ORDERS.columns)
    builder = BatchBuilder("none")
    builder.begin(xid=1, lsn=1 << 20, committed_at_us=0)
    for table in (ORDERS,) * (form == "second table") + (sales,) * 3:
        builder.add("c", table, after={"id": "1", "note": "n"})
    builder.commit()
    transform = _refuse_batch if form == "batch" else map_arrow(_refuse_columns)
    with pytest.raises(Fatal, match=r"^transform .*_refuse_.* raised Reject with change 1 .* as written") as ended:
        shaped(builder.take(), ("_refuse_…", transform))
    assert "leave `written` out" in str(ended.value)


def _refuse_some(given: Any, *_: object) -> Any:
    if isinstance(given, Batch) and not len(given):
        return given
    raise Reject("no")


@pytest.mark.parametrize("who", ["sink", "batch", "arrow"])
def test_a_reject_that_names_none_of_several_changes_is_fatal_and_parks_none(tmp_path: Path, who: str) -> None:
    """The first of them was parked, and then the next, until the one that was refused stood first."""
    log, target, letters = Log(), Target(), File(tmp_path / "dead.jsonl")
    log.commit(*(("c", {"id": str(key), "note": ""}) for key in (1, 2)))
    if who == "sink":
        target.fail(Reject("no"))
    transforms = {"sink": [], "batch": [_refuse_some], "arrow": [map_arrow(_refuse_some)]}[who]
    said = "raised Reject over 2 changes without naming which of them: no"
    with pytest.raises(Fatal, match=said) as ended:
        make(log, target, letters, *transforms).run(until_current=True)
    assert "{index:" in str(ended.value)
    assert not read_all(letters.path) and not target.records and not log.confirmed


@pytest.mark.parametrize("transform", [_refuse_some, map_arrow(_refuse_some)])
def test_a_reject_that_names_none_is_of_the_one_change_there_is(tmp_path: Path, transform: Any) -> None:
    log, target, letters = Log(), Target(), File(tmp_path / "dead.jsonl")
    log.insert(1)
    make(log, target, letters, transform).run(until_current=True)
    assert [letter.reason for letter in read_all(letters.path)] == ["no"]


def _refuse_bad(notes: list[str | None]) -> None:
    if any(note is not None and note.startswith("bad") for note in notes):
        raise Reject("one of them")


def _refuse_bad_batch(batch: Batch) -> Batch:
    _refuse_bad([change.after["note"] for change in batch if change.after is not None])
    return batch


def _refuse_bad_columns(of: Table, stream: Any) -> Any:
    found = pyarrow.RecordBatchReader.from_stream(stream).read_all()
    if of != ORDERS:
        _refuse_bad(found.column("note").to_pylist())
    elif found.num_rows > 1:
        found = found.slice(0, 1)
    return found


@pytest.mark.parametrize("who", ["sink", "batch", "arrow"])
def test_of_letters_that_are_refused_together_the_one_at_fault_stays(tmp_path: Path, who: str) -> None:
    """The pipeline ended, and did so again at each start where letters are offered as soon as their pauses are over."""
    log, target, letters = Log(), Target(), File(tmp_path / "dead.jsonl")
    notes = ("a", "bad", "c", "bad too", "e")
    log.commit(("c", {"id": "1", "note": "first"}), ("c", {"id": "2", "note": "second"}))
    log.commit(*(("c", {"id": str(key), "note": note}) for key, note in enumerate(notes)), table=SALES)
    log.commit(("u", {"id": "1", "note": "later"}), table=SALES)
    transforms = {"sink": [], "batch": [_refuse_bad_batch], "arrow": [map_arrow(_refuse_bad_columns)]}[who]
    [(name, _)] = steps_of(transforms) or [(None, None)]
    parked = letters.open("p", Limits())
    batches = [log.next(index, None, 0) for index in range(3)]
    for batch in batches:
        assert isinstance(batch, Batch)
        parked.park(batch, dict.fromkeys(range(len(batch)), "parked"), transform=name)

    def write(batch: Batch) -> None:
        if who == "sink":
            _refuse_bad_batch(batch)
        target.write(batch)

    def again(batch: Batch, transform: str | None) -> None:
        replayed(batch, transform, source=LogSource(log), steps=steps_of(transforms), write=write)

    submit(letters.path, Action.REPLAY, None)
    left = parked.replay(again, {log.lineage: batch.positions[0]})
    parked.close()
    assert [(letter.reason, letter.attempts, letter.after["note"]) for letter in read_all(letters.path)] == [
        ("one of them", 2, "bad"), ("one of them", 2, "bad too"), ("parked", 0, "later"),
    ]  # fmt: skip
    assert left == 5
    taken = [record.cells["note"] for record in target.records if record.cells]
    assert [note for note in taken if note in notes] == ["a", "c", "e"]
