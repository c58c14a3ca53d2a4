"""The status and its socket."""

import os
import socket
import threading
from pathlib import Path

import pytest

import tailrace as tr
from tailrace.error import ConfigError, Fatal, Retryable
from tailrace.model import Limits
from tailrace.pipeline import Pipeline, State, Status, ask, socket_path
from tailrace.pipeline.status import StatusServer
from tailrace.testing.fake import ListSink, Log, LogSource, Target
from tests.waiting import until
from tests.wanting import needs_root


def sample() -> Status:
    return Status(name="p", state=State.STREAMING, pid=1, since=1.0, started_at=0.5, positions={"l": "1"}, lag_s=0.25)


def test_another_process_reads_the_same_status(tmp_path: Path) -> None:
    server = StatusServer(tmp_path / "p.sock", sample)
    try:
        assert ask(tmp_path / "p.sock") == sample()
        assert ask(tmp_path / "p.sock") == sample()
        assert (tmp_path / "p.sock").stat().st_mode & 0o777 == 0o600
    finally:
        server.close()
        server.close()
    assert ask(tmp_path / "p.sock") is None
    assert not (tmp_path / "p.sock").exists()


def test_a_socket_in_a_deep_folder_works(tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["deep" * 10] * 4)
    folder.mkdir(parents=True)
    server = StatusServer(folder / "p.sock", sample)
    assert ask(folder / "p.sock") == sample()
    server.close()


def test_what_a_killed_process_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "p.sock").write_text("")
    server = StatusServer(tmp_path / "p.sock", sample)
    assert ask(tmp_path / "p.sock") == sample()
    server.close()


def test_nobody_answers_where_nothing_runs(tmp_path: Path) -> None:
    assert ask(tmp_path / "p.sock") is None
    assert ask(tmp_path / "nowhere" / "p.sock") is None


def test_a_process_that_hangs_is_told_from_one_that_is_not_there(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(tmp_path / "p.sock"))
        deaf.listen(0)
        for _ in range(3):  # also once its queue is full
            with pytest.raises(Retryable, match="the process that runs p did not answer within 0"):
                ask(tmp_path / "p.sock", timeout_s=0.1)
    assert ask(tmp_path / "p.sock") is None, "a socket that nobody has open"


def test_nobody_answers_any_more_once_it_is_closed(tmp_path: Path) -> None:
    """A thread that outlives its pipeline keeps what that holds alive until the interpreter's end."""
    asked = threading.Event()

    def slowly() -> Status:
        asked.set()
        until(lambda: server._closed, "for the end")
        return sample()

    before = set(threading.enumerate())  # others, of tests before, may end meanwhile
    server = StatusServer(tmp_path / "p.sock", slowly)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "p.sock"))
        assert asked.wait(120)
        server.close()
        assert not set(threading.enumerate()) - before


def test_another_user_is_told_that_he_may_not_ask(tmp_path: Path) -> None:
    needs_root()
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    server = StatusServer(tmp_path / "p.sock", sample)
    try:
        if child := os.fork():
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        else:
            _ask_as_nobody(tmp_path / "p.sock")
    finally:
        server.close()


def _ask_as_nobody(path: Path) -> None:
    os.setuid(65534)
    try:
        ask(path)
    except Fatal:
        os._exit(7)
    finally:
        os._exit(1)


def test_a_running_pipeline_tells_what_it_does(tmp_path: Path) -> None:
    log, target = Log(), Target()
    pipeline = Pipeline(
        LogSource(log),
        ListSink(target),
        name="p",
        state_dir=tmp_path,
        limits=Limits(save_interval_s=0, stop_timeout_s=60),
    )
    assert pipeline.status().state is State.STOPPED
    thread = threading.Thread(target=pipeline.run)
    thread.start()
    try:
        last = log.insert(1)
        target.wait(1)
        until(lambda: log.confirmed and pipeline.status().lag_s == 0.0, "for the writer to be done with it")
        seen = ask(socket_path(tmp_path, "p"))
        assert seen is not None
        assert (seen.state, seen.pid, seen.changes, seen.error) == (State.STREAMING, os.getpid(), 1, None)
        assert seen.positions == {log.lineage: last.text}
        assert seen.lag_s == 0.0
        target.gate.clear()
        log.insert(2)
        target.wait_for(lambda: target.offers == 2)
        until(lambda: (pipeline.status().lag_s or 0) > 0)
        target.gate.set()
    finally:
        target.gate.set()
        pipeline.stop()
        thread.join(60)
    assert pipeline.status().state is State.STOPPED
    assert not socket_path(tmp_path, "p").exists()
    assert (tmp_path / "p.status").stat().st_mode & 0o777 == 0o600, "what it kept of its last status"


def test_two_of_its_parts_in_one_file_are_refused(tmp_path: Path) -> None:
    """A file sink cuts off what it has not written: the dead letters, and their changes are lost."""
    path, other = tmp_path / "out.jsonl", tmp_path / "other"
    sink = tr.sink.File(path)
    with pytest.raises(ConfigError, match=rf"two of sink, checkpoint and dead_letters are to be kept in {path}"):
        Pipeline(LogSource(Log()), sink, name="p", dead_letters=tr.DeadLetterFile(f"{tmp_path}/./out.jsonl"))
    with pytest.raises(ConfigError, match="two of sink, checkpoint and dead_letters"):
        letters = tr.DeadLetterFile(other)
        Pipeline(LogSource(Log()), sink, name="p", checkpoint=tr.checkpoint.SQLite(other), dead_letters=letters)
    Pipeline(LogSource(Log()), sink, name="p", dead_letters=tr.DeadLetterFile(other))


@pytest.mark.parametrize("name", [name for name in Limits.__slots__ if name != "spill_dir"])
def test_i8_a_limit_that_leaves_room_for_nothing_is_refused(name: str) -> None:
    """Nothing would ever be read, without a word."""
    wrong, least = ((-1,), "0 or above") if name.endswith("_s") else ((-1, 0), "above 0")
    for number in (*wrong, float("nan")):
        limits = Limits(**{name: number})  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match=f"limits.{name}: this must be {least}"):
            Pipeline(LogSource(Log()), ListSink(Target()), name="p", limits=limits)
    limits = Limits(**{name: 1 << 63})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=f"limits.{name}: this must be [0-9]+ at most"):
        Pipeline(LogSource(Log()), ListSink(Target()), name="p", limits=limits)
    if name.endswith("_s"):
        Pipeline(LogSource(Log()), ListSink(Target()), name="p", limits=Limits(**{name: 0}))  # type: ignore[arg-type]


def test_a_state_folder_may_be_given_as_a_text(tmp_path: Path) -> None:
    log = Log()
    log.insert(1)
    folder = tmp_path / "state"
    pipeline = Pipeline(LogSource(log), ListSink(Target()), name="p", state_dir=str(folder))
    pipeline.run(until_current=True)
    assert (folder / "p.position").exists()
