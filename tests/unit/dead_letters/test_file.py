"""Dead letters: parked durably before the rest is written, order per key kept, replay inside the pipeline."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace._native import BatchBuilder, DebeziumJson, EventReader
from tailrace.checkpoint import Memory
from tailrace.contract import Letters
from tailrace.dead_letters import File
from tailrace.dead_letters.journal import scan
from tailrace.dead_letters.letter import Letter, letter_id, rebuild
from tailrace.dead_letters.request import Action, pending, submit
from tailrace.error import Fatal, Fenced, Reject, Retryable
from tailrace.model import UNCHANGED, Batch, Change, Column, Limits, Table, TypeDefinition
from tailrace.pipeline import Pipeline
from tailrace.testing.fake import AtomicSink, ListSink, Log, LogSource, Target
from tests.waiting import until

QUICK = Limits(save_interval_s=0.02, backoff_s_max=0.05, stop_timeout_s=60)
NO_KEY = Table("public", "events", [Column("what", "text")])


def batch_of(log: Log) -> Batch:
    [batch] = Batch.merge([log.next(index, None, 0) for index in range(len(log))])  # type: ignore[misc]
    return batch


def row(key: int, note: str = "") -> dict[str, str | None]:
    return {"id": str(key), "note": note}


def opened(path: Path, **limits: int) -> Letters:
    return File(path / "dead.jsonl").open("p", Limits(**limits))  # type: ignore[arg-type]


def is_bad(change: Change) -> str | None:
    return "bad note" if change.after is not None and change.after["note"] == "bad" else None


def make(tmp_path: Path, log: Log, target: Target, checkpoint: Memory | None = None) -> Pipeline:
    return Pipeline(
        LogSource(log), ListSink(target), name="p", checkpoint=checkpoint or Memory(), state_dir=None,
        dead_letters=File(tmp_path / "dead.jsonl"), limits=QUICK,
    )  # fmt: skip


def test_a_letter_gives_back_the_change_cell_by_cell(tmp_path: Path) -> None:
    table = Table(
        "s", "t", [Column("id", "int8", nullable=False), Column("a", "text"), Column("b", "numeric(5,2)")], key=["id"]
    )
    builder = BatchBuilder("postgres/1/shop/slot", database="shop")
    builder.begin(xid=7, lsn=4096, committed_at_us=1_700_000_000_123_456, origin=("elsewhere", 77))
    builder.add("c", table, after={"id": "1", "a": 'ü\n"', "b": None})
    builder.add("u", table, before={"id": "1"}, after={"id": "2", "a": UNCHANGED, "b": "1.50"})
    builder.add("d", table, before={"id": "2", "a": "x", "b": None})
    builder.add("t", table)
    builder.message("hello", b"\x00\xff")
    builder.message("aside", b"", transactional=False)
    builder.commit()
    batch = builder.take()
    letters = [Letter.parse(json.loads(Letter.of(change, "why", 1).line())["letter"]) for change in batch]
    again = rebuild(letters, batch.positions[0])
    assert again.positions == batch.positions
    for old, new in zip(batch, again, strict=True):
        assert (old.op, old.position, old.committed_at, old.transaction) == (
            new.op, new.position, new.committed_at, new.transaction,
        )  # fmt: skip
        assert (new.origin, new.origin_lsn) == ("elsewhere", 77)
        for image in ("key", "before", "after"):
            was, now = getattr(old, image), getattr(new, image)
            assert (was is None) == (now is None)
            assert was is None or was.texts() == now.texts()
        assert old.op == "m" or old.table == new.table
    assert again[4].message is not None
    assert (again[4].message.content, again[4].message.transactional) == (b"\x00\xff", True)
    assert again[5].message is not None and not again[5].message.transactional


def test_a_letter_keeps_what_a_truncate_said() -> None:
    builder = BatchBuilder("postgres/1/shop/slot", database="shop")
    builder.begin(xid=7, lsn=4096, committed_at_us=1_700_000_000_123_456)
    said = [(False, False), (True, False), (False, True), (True, True)]
    for options in said:
        builder.add("t", NO_KEY, truncate_options=options)
    builder.commit()
    batch = builder.take()
    assert [change.truncate_options for change in batch] == said
    assert [change.truncate_options for change in again(batch)] == said


def test_a_letter_keeps_what_its_table_is_made_of() -> None:
    mood = TypeDefinition("public", "mood", "enum", labels=["sad", "ok"])
    pair = TypeDefinition("public", "pair", "composite", parts=[("a", "integer"), ("b", "mood")])
    columns = [
        Column("id", "int8", nullable=False, identity=True, comment="counts"),
        Column("how", "text", native="mood", labels=["sad", "ok"], default="'ok'::mood", defaulted=True, backfill="ok"),
        Column("both", "text", native="pair"),
    ]
    table = Table("public", "days", columns, key=["id"], comment="one a day", types=[mood, pair])
    builder = BatchBuilder("postgres/1/shop/slot", database="shop")
    builder.begin(xid=7, lsn=4096, committed_at_us=1_700_000_000_123_456)
    builder.add("c", table, after={"id": "1", "how": "ok", "both": "(1,sad)"})
    builder.commit()
    kept = again(builder.take())[0].table
    assert (kept, kept.comment, kept.types) == (table, "one a day", (mood, pair))
    assert [part.parts for part in kept.types] == [(), (("a", "integer"), ("b", "mood"))]
    beside = ("comment", "identity", "backfill", "default", "defaulted")
    for was, now in zip(table.columns, kept.columns, strict=True):
        assert [getattr(was, name) for name in beside] == [getattr(now, name) for name in beside]


@pytest.mark.parametrize("connector", ["postgresql", "mysql"])
def test_a_letter_of_a_topic_names_the_source_of_its_event(connector: str) -> None:
    source = {"connector": connector, "db": "shop", "ts_us": 1_700_000_000_000_000, "snapshot": "false", "txId": 7}
    source |= {"schema": "public", "table": "orders", "lsn": 90, "sequence": '["80","90"]'}
    value = json.dumps({"before": None, "after": {"id": 1}, "source": source, "op": "c"}).encode()
    reader = EventReader("kafka/cluster/topic/0", topic="orders", partition=0, plain="append")
    reader.feed([(b'{"id":1}', value, 0, 12)])
    batch = reader.take()
    assert batch is not None
    assert source_block(again(batch)) == source_block(batch)
    assert source_block(batch).items() >= {"connector": connector, "db": "shop", "lsn": 90}.items()


def again(batch: Batch) -> Batch:
    """What letters of all changes become, once they were written and read."""
    letters = [Letter.parse(json.loads(Letter.of(change, "why", 1).line())["letter"]) for change in batch]
    return rebuild(letters, batch.positions[0])


def source_block(batch: Batch) -> dict[str, object]:
    """What a Kafka sink says of the source of the first change."""
    [encoded] = batch.json(DebeziumJson({"topic_prefix": "shop"}))
    source: dict[str, object] = json.loads(encoded.value(0) or b"")["source"]
    return source


def test_i14_what_is_refused_is_parked_before_the_rest_is_written(tmp_path: Path) -> None:
    log, target = Log(), Target()
    log.commit(("c", row(1)), ("c", row(2, "bad")), ("c", row(3)))
    parked_at_write: list[int] = []

    class Watching(Target):
        def write(self, batch: Batch, commit: object = None) -> None:
            if len(batch) == 2:
                parked_at_write.append(len(scan(tmp_path / "dead.jsonl")[0]))
            super().write(batch)

    target = Watching()
    target.refuse = is_bad
    make(tmp_path, log, target).run(until_current=True)
    assert parked_at_write == [1]
    assert target.keys == ["1", "3"]
    assert len(log.confirmed) == 1


def test_i14_a_crash_after_parking_parks_nothing_twice_and_loses_nothing(tmp_path: Path) -> None:
    log, target, checkpoint = Log(), Target(), Memory()
    log.commit(("c", row(1)), ("c", row(2, "bad")), ("c", row(3)))

    class Crashing(Target):
        def write(self, batch: Batch, commit: object = None) -> None:
            if len(batch) == 2:
                raise Fatal("killed")
            super().write(batch)

    crashing = Crashing()
    crashing.refuse = is_bad
    with pytest.raises(Fatal, match="killed"):
        make(tmp_path, log, crashing, checkpoint).run()
    target.refuse = is_bad
    make(tmp_path, log, target, checkpoint).run(until_current=True)
    assert target.keys == ["1", "3"]
    assert len(scan(tmp_path / "dead.jsonl")[0]) == 1


def test_later_changes_of_a_parked_key_are_parked_behind_it_and_earlier_ones_are_not(tmp_path: Path) -> None:
    log, target = Log(), Target()
    log.commit(("c", row(1)), ("c", row(2)), ("u", row(1, "bad")), ("u", row(2)), ("u", row(1, "later")))
    log.commit(("u", row(1, "last")), ("d", row(2)))
    target.refuse = is_bad
    make(tmp_path, log, target).run(until_current=True)
    assert [(record.op, record.key["id"]) for record in target.records if record.key] == [
        ("c", "1"), ("c", "2"), ("u", "2"), ("d", "2"),
    ]  # fmt: skip
    assert len(scan(tmp_path / "dead.jsonl")[0]) == 3


def test_replay_in_the_running_pipeline_keeps_the_order_of_each_key(tmp_path: Path) -> None:
    log, target = Log(), Target()
    log.commit(("c", row(1, "bad")), ("u", row(1, "second")), ("c", row(2, "bad")), ("c", row(3)))
    target.refuse = is_bad
    pipeline = make(tmp_path, log, target)
    thread = threading.Thread(target=pipeline.run)
    thread.start()
    try:
        target.wait(1)
        assert pipeline.status().dead_letters == 3
        target.refuse = lambda change: "still" if change.key is not None and change.key["id"] == 2 else None
        submit(tmp_path / "dead.jsonl", Action.REPLAY, None)
        records = target.wait(3)
        until(lambda: not pending(tmp_path / "dead.jsonl"), "for the request to be carried out")
    finally:
        pipeline.stop()
        thread.join(60)
    assert [(record.op, record.key["id"]) for record in records if record.key] == [("c", "3"), ("c", "1"), ("u", "1")]
    letters = opened(tmp_path)
    assert letters.count() == 1
    letters.close()
    [entry] = scan(tmp_path / "dead.jsonl")[0].values()
    assert (entry.reason, entry.attempts) == ("still", 2)


def test_a_replay_that_fails_keeps_the_later_letters_of_its_key(tmp_path: Path) -> None:
    log = Log()
    log.commit(("c", row(1, "bad")), ("u", row(1, "second")), ("c", row(2)))
    batch = batch_of(log)
    letters = opened(tmp_path)
    letters.park(batch, {0: "no", 1: "behind", 2: "no"})
    written: list[str] = []

    def write(part: Batch, transform: str | None) -> None:
        if reasons := {index: "again" for index, change in enumerate(part) if is_bad(change)}:
            raise Reject(reasons)
        written.extend(change.after["id"] for change in part if change.after is not None)

    submit(tmp_path / "dead.jsonl", Action.REPLAY, None)
    assert letters.replay(write, {log.lineage: batch.positions[0]}) == 1
    assert written == [2]
    assert letters.count() == 2
    assert pending(tmp_path / "dead.jsonl") == []
    letters.close()


def test_what_a_sink_has_written_before_it_refused_the_rest_is_no_letter_any_more(tmp_path: Path) -> None:
    log = Log()
    for key in (1, 2, 3):
        log.insert(key)
    batch, letters = batch_of(log), opened(tmp_path)
    letters.park(batch, dict.fromkeys(range(3), "full"))
    offered: list[list[str]] = []
    gone: list[str] = []

    def write(part: Batch, transform: str | None) -> None:
        offered.append([change.position.text for change in part])
        if len(offered) == 1:
            raise Reject({1: "too large"}, written=[0])

    places = [change.position.text for change in batch]
    submit(tmp_path / "dead.jsonl", Action.REPLAY, None)
    left = letters.replay(write, {}, lambda positions: gone.extend(at.text for at in positions))
    assert (left, letters.count()) == (2, 1)
    assert offered == [places, places[2:]]
    assert gone == [places[0], places[2]]
    letters.close()


def test_a_letter_asked_for_alone_waits_for_an_earlier_one_of_its_key(tmp_path: Path) -> None:
    log = Log()
    log.commit(("c", row(1)), ("u", row(1)))
    batch = batch_of(log)
    letters = opened(tmp_path)
    letters.park(batch, {0: "no", 1: "behind"})
    submit(tmp_path / "dead.jsonl", Action.REPLAY, (letter_id(batch[1].position),))
    out_of_order = letters.replay(
        lambda part, transform: pytest.fail("out of order"), {log.lineage: batch.positions[0]}
    )
    assert out_of_order == 0
    submit(tmp_path / "dead.jsonl", Action.DROP, (letter_id(batch[0].position),))
    submit(tmp_path / "dead.jsonl", Action.REPLAY, (letter_id(batch[1].position),))
    assert letters.replay(lambda part, transform: None, {log.lineage: batch.positions[0]}) == 2
    letters.close()


@pytest.mark.parametrize("named", [False, True])
def test_letters_are_offered_in_stream_order_whatever_the_order_in_which_they_were_parked(
    tmp_path: Path, named: bool
) -> None:
    """A sink may refuse a later change of a key first, and what stands before it when the rest is offered."""
    log = Log()
    log.commit(("c", row(1)), ("u", row(1, "second")), ("c", row(2)))
    batch, letters = batch_of(log), opened(tmp_path)
    for index in (2, 1, 0):
        letters.park(batch, {index: "no"})
    ids = tuple(letter_id(batch[index].position) for index in (1, 2, 0)) if named else None
    submit(tmp_path / "dead.jsonl", Action.REPLAY, ids)
    offered: list[str] = []
    assert letters.replay(lambda part, transform: offered.extend(change.position.text for change in part), {}) == 3
    assert offered == [change.position.text for change in batch]
    letters.close()


def test_a_replay_does_not_move_the_position_back(tmp_path: Path) -> None:
    log, target = Log(), Target()
    log.commit(("c", row(1, "bad")))
    log.insert(2)
    target.refuse = is_bad
    dead = File(tmp_path / "dead.jsonl")
    pipeline = Pipeline(LogSource(log), AtomicSink(target), name="p", state_dir=None, dead_letters=dead, limits=QUICK)
    pipeline.run(until_current=True)
    saved = target.saved[log.lineage]
    target.refuse = lambda change: None
    submit(dead.path, Action.REPLAY, None)
    log.insert(3)
    pipeline.run(until_current=True)
    assert sorted(target.keys, key=str) == ["1", "2", "3"]
    assert saved is not None
    assert target.saved[log.lineage] > saved  # type: ignore[operator]


def test_a_request_that_another_process_has_fenced_off_is_carried_out_later(tmp_path: Path) -> None:
    log = Log()
    log.insert(1)
    letters = opened(tmp_path)
    letters.park(batch_of(log), {0: "no"})
    submit(tmp_path / "dead.jsonl", Action.REPLAY, None)

    def fenced(batch: Batch, transform: str | None) -> None:
        raise Fenced("another process has claimed this")

    with pytest.raises(Fenced):
        letters.replay(fenced, {})
    assert len(pending(tmp_path / "dead.jsonl")) == 1
    assert letters.replay(lambda batch, transform: None, {}) == 1
    assert pending(tmp_path / "dead.jsonl") == []


def test_a_request_that_is_fatal_for_the_sink_does_not_stop_the_next_run_too(tmp_path: Path) -> None:
    log = Log()
    log.insert(1)
    letters = opened(tmp_path)
    letters.park(batch_of(log), {0: "no"})
    asked = submit(tmp_path / "dead.jsonl", Action.REPLAY, None)

    def write(batch: Batch, transform: str | None) -> None:
        raise Fatal("broken") if not asked.path.with_suffix(".later").exists() else Retryable("later")

    with pytest.raises(Fatal, match="broken"):
        letters.replay(write, {})
    assert pending(tmp_path / "dead.jsonl") == []
    assert letters.count() == 1
    asked = submit(tmp_path / "dead.jsonl", Action.REPLAY, None)
    asked.path.with_suffix(".later").touch()
    with pytest.raises(Retryable, match="later"):
        letters.replay(write, {})
    assert pending(tmp_path / "dead.jsonl") == [asked]
    letters.close()


def test_an_idle_pipeline_replays_right_after_its_start(tmp_path: Path) -> None:
    log, target, checkpoint = Log(), Target(), Memory()
    log.commit(("c", row(1, "bad")))
    target.refuse = is_bad
    make(tmp_path, log, target, checkpoint).run(until_current=True)
    target.refuse = lambda change: None
    submit(tmp_path / "dead.jsonl", Action.REPLAY, None)
    pipeline = make(tmp_path, log, target, checkpoint)
    thread = threading.Thread(target=pipeline.run)
    thread.start()
    try:
        assert [record.op for record in target.wait(1)] == ["c"]
    finally:
        pipeline.stop()
        thread.join(60)


def test_i8_a_full_file_stops_the_pipeline(tmp_path: Path) -> None:
    log = Log()
    for key in range(20):
        log.insert(key, "bad")
    letters = opened(tmp_path, dead_letters_bytes_max=3000)
    with pytest.raises(Fatal, match="are full: 3000 bytes"):
        for index in range(20):
            letters.park(batch_of(log), {index: "no"})
    assert 0 < letters.count() < 20
    letters.close()


@given(cut=st.integers(0, 4000))
@settings(deadline=None, max_examples=60)
def test_a_file_cut_anywhere_keeps_every_whole_line(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    tmp_path = tmp_path_factory.mktemp("cut")
    log = Log()
    for key in range(5):
        log.insert(key)
    batch = batch_of(log)
    letters = opened(tmp_path)
    letters.park(batch, dict.fromkeys(range(5), "no"))
    letters.close()
    path = tmp_path / "dead.jsonl"
    content = path.read_bytes()[:cut]
    path.write_bytes(content)
    letters = opened(tmp_path)
    assert letters.count() == max(content.count(b"\n") - 1, 0)  # the first says whose they are
    letters.park(batch, dict.fromkeys(range(5), "no"))
    assert letters.count() == 5
    letters.close()
    assert len(scan(path)[0]) == 5


def test_a_damaged_line_is_named_with_its_number(tmp_path: Path) -> None:
    log = Log()
    log.insert(1)
    letters = opened(tmp_path)
    letters.park(batch_of(log), {0: "no"})
    letters.close()
    path = tmp_path / "dead.jsonl"
    path.write_bytes(path.read_bytes() + b"{}{\n")
    with pytest.raises(Fatal, match=r"dead\.jsonl, line 3"):
        opened(tmp_path)


def test_removed_letters_make_room_and_the_file_is_compacted(tmp_path: Path) -> None:
    log = Log()
    for key in range(40):
        log.insert(key, "x" * 50_000)
    batch = batch_of(log)
    letters = opened(tmp_path)
    letters.park(batch, dict.fromkeys(range(40), "no"))
    size = (tmp_path / "dead.jsonl").stat().st_size
    submit(tmp_path / "dead.jsonl", Action.DROP, tuple(letter_id(batch[index].position) for index in range(39)))
    letters.replay(lambda part, transform: None, {log.lineage: batch.positions[0]})
    assert (tmp_path / "dead.jsonl").stat().st_size < size / 10
    assert letters.count() == 1
    assert list(letters.parked(batch)) == [39]
    letters.close()
    again = opened(tmp_path)
    assert list(again.parked(batch)) == [39]
    again.close()


def test_i16_one_owner_at_a_time_and_only_the_user_may_read(tmp_path: Path) -> None:
    letters = opened(tmp_path)
    with pytest.raises(Retryable, match="dead letters of pipeline p"):
        opened(tmp_path)
    letters.close()
    letters.close()
    assert (tmp_path / "dead.jsonl").stat().st_mode & 0o777 == 0o600


def test_what_is_no_request_is_set_aside(tmp_path: Path) -> None:
    asked = submit(tmp_path / "dead.jsonl", Action.DROP, None)
    asked.path.write_text("nonsense")
    assert pending(tmp_path / "dead.jsonl") == []
    assert asked.path.with_suffix(".bad").exists()


def test_a_full_disk_parks_nothing_by_halves(tmp_path: Path) -> None:
    program = f"""
import resource
from pathlib import Path
from tailrace.dead_letters import File
from tailrace.dead_letters.journal import scan
from tailrace.error import Retryable
from tailrace.model import Limits
from tailrace.testing.fake import Log
log = Log()
log.commit(*[("c", {{"id": str(key), "note": "x" * 300}}) for key in range(50)])
batch = log.next(0, None, 0)
letters = File(Path({str(tmp_path / "dead.jsonl")!r})).open("p", Limits())
letters.park(batch, {{0: "no"}})
before = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, before[1]))
try:
    letters.park(batch, dict.fromkeys(range(50), "no, for a long reason"))
except Retryable as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, before)
assert letters.count() == 1
letters.park(batch, {{1: "no"}})  # shorter: of a line that was begun there nothing may stand behind it
assert len(scan(Path({str(tmp_path / "dead.jsonl")!r}))[0]) == 2
letters.park(batch, dict.fromkeys(range(50), "no"))
letters.close()
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert "free some space" in ended.stdout
    assert len(scan(tmp_path / "dead.jsonl")[0]) == 50
