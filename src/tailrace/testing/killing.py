"""Lets a sink write in a process of its own that is killed (SIGKILL) at a call of its choice. Never runs a pipeline.

That process is a new one and no fork, which the threads of many clients would not survive: the sink goes there pickled.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from types import FrameType
from typing import Any, cast

from tailrace.contract import Positions, Sink, Writer
from tailrace.error import Reject
from tailrace.model import Limits
from tailrace.testing.orders import LINEAGE, Cells, transaction

NAME = "check_sink"
_PROGRAM = "from tailrace.testing.killing import live; live()"
_PATIENCE_S = 120.0


def write_and_die(open_sink: Callable[[], Sink], lsn: int, *rows: Cells, at: int | None = None) -> int | None:
    """Insert `rows` in a process that is killed at the call number `at` of `write`, or right after it returned.

    What the sink refuses is left out of a second offer, as a pipeline does. Nothing is closed. Returns how many calls
    `write` made of functions, Python's and C's, returns counted too; None when it was killed before it had.
    RuntimeError with its traceback when the process fails by itself.
    """
    # What names the sink's class may lie on a path that is this process's own.
    work = pickle.dumps((sys.path, pickle.dumps((open_sink(), lsn, [dict(row) for row in rows], at))))
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], input=work, capture_output=True, timeout=_PATIENCE_S, check=False
    )
    if done.returncode != -signal.SIGKILL:
        raise RuntimeError(f"the process that writes failed:\n{done.stderr.decode()}")
    return int(done.stdout) if done.stdout else None


def opened(sink: Sink) -> Writer:
    """Its writer, the lineage claimed if that keeps positions."""
    writer = sink.open(NAME, Limits())
    if sink.transactional:
        cast(Positions, writer).claim(LINEAGE)
    return writer


def live() -> None:
    """What that process does."""
    path, work = pickle.load(sys.stdin.buffer)
    sys.path[:] = path
    sink, lsn, rows, at = pickle.loads(work)
    writer, batch = opened(sink), transaction(lsn, *(("c", row) for row in rows))
    calls = count(1)

    def step(frame: FrameType, event: str, argument: Any) -> None:
        if next(calls) == at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(step)
    try:
        writer.write(batch)
    except Reject as reject:
        writer.write(batch.without([*reject.reasons, *reject.written]))
    sys.setprofile(None)
    os.write(sys.stdout.fileno(), str(next(calls) - 1).encode())
    os.kill(os.getpid(), signal.SIGKILL)
