"""The desk of a running pipeline: who asks there when it closes."""

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from tailrace.comparison import Key
from tailrace.pipeline.desk import Ask, Desk, Reply
from tailrace.pipeline.repair import Ticket
from tailrace.testing.fake import ListSink, Target
from tests.waiting import until

REPAIR = msgspec.json.encode(Ask("repair", table="t")) + b"\n"


@contextlib.contextmanager
def _asking(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        yield client


@pytest.mark.parametrize("asking", [False, True])
def test_nobody_is_attended_any_more_once_it_is_closed(tmp_path: Path, asking: bool) -> None:
    """A thread that outlives its pipeline keeps what that holds alive until the interpreter's end."""
    submitted = threading.Event()

    def submit(table: str, keys: Sequence[Key]) -> Ticket:
        submitted.set()
        return Ticket(table, tuple(keys))  # nobody repairs: it lasts until the pipeline ends

    before = set(threading.enumerate())  # others, of tests before, may end meanwhile
    desk = Desk(tmp_path / "p.desk", "p", sink=ListSink(Target()), submit=submit)
    with _asking(tmp_path / "p.desk") as client:
        if asking:
            client.sendall(REPAIR)
            assert submitted.wait(120)
        else:
            until(lambda: len(set(threading.enumerate()) - before) == 2, "for the client to be let in")
        desk.close()
        assert not set(threading.enumerate()) - before
        if asking:
            with client.makefile("rb") as answers:
                reply = msgspec.json.decode(answers.readline(), type=Reply)
                assert reply.retryable and "ended before the rows were repaired" in str(reply.error)
                assert answers.readline() == b""
    desk.close()
