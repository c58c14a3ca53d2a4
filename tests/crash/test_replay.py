"""A process dies between the sink's commit of a replayed dead letter and the removal of the letter."""

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from tailrace.dead_letters.journal import read_all

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from pathlib import Path
from tailrace.dead_letters import File
from tailrace.dead_letters.request import Action, submit
from tailrace.error import Reject
from tailrace.model import Column, Table
from tailrace.pipeline import Pipeline, replay_alone
from tailrace.sink import DuckDB
from tailrace.testing.fake import Log, LogSource

def refuse(batch):
    reasons = {at: "bad" for at, change in enumerate(batch) if change.after["what"].startswith("bad")}
    if reasons:
        raise Reject(reasons)
    return batch

step, folder = sys.argv[1], Path(sys.argv[2])
events = Table("public", "events", [Column("what", "text")])
log = Log("test/log/db/slot")
log.commit(*(("c", {"what": what}) for what in ("fine", "bad 1", "bad 2")), table=events)
for life in range(int(step.partition(" ")[2] or 0)):  # a bounded run ends before it looks for requests, without news
    log.commit(("c", {"what": "later"}), table=Table("public", "news", events.columns))
if step != "park":
    refuse = lambda batch: batch
refuse.__qualname__ = "refuse"
pipeline = Pipeline(
    LogSource(log), DuckDB(folder / "t.duckdb"), name="p", state_dir=None,
    transforms=[refuse] if "transform" in sys.argv else [],
    dead_letters=File(folder / "dead.jsonl"),
)
if "transform" not in sys.argv and step == "park":
    from tailrace.sink.duckdb.writer import DuckDBWriter
    write = DuckDBWriter.write
    DuckDBWriter.write = lambda self, batch: write(self, refuse(batch))
if step == "ask":
    submit(folder / "dead.jsonl", Action.REPLAY, None)
elif "alone" in step:
    replay_alone(pipeline)
else:
    pipeline.run(until_current=True)
"""


@pytest.mark.parametrize("who", ["sink", "transform"])
@pytest.mark.parametrize("step", ["alone", "run"])
def test_i14_a_kill_between_commit_and_removal_replays_nothing_twice(tmp_path: Path, step: str, who: str) -> None:
    def process(step: str, failpoint: str = "") -> int:
        command = [sys.executable, "-c", PROGRAM, step, str(tmp_path), who]
        ended = subprocess.run(
            command, env=os.environ | {"TAILRACE_FAILPOINT": failpoint}, cwd=ROOT, check=False, timeout=180
        )
        return ended.returncode

    assert process("park") == 0
    assert len(read_all(tmp_path / "dead.jsonl")) == 2
    assert process("ask") == 0
    assert process(f"{step} 1", "replay.after") == -9
    assert len(read_all(tmp_path / "dead.jsonl")) == 2, "the letters are still there"
    assert process(f"{step} 2") == 0
    assert not read_all(tmp_path / "dead.jsonl")
    with duckdb.connect(str(tmp_path / "t.duckdb"), read_only=True) as connection:
        assert connection.execute("select what from public.events order by what").fetchall() == [
            ("bad 1",), ("bad 2",), ("fine",),
        ]  # fmt: skip
        assert connection.execute("select * from _tailrace.replayed").fetchall() == []
