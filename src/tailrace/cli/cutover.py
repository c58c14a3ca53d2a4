"""`tailrace cutover`: the last step before the target takes over. Never stops a writer or a pipeline."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import msgspec

from tailrace.cli.aside import Aside
from tailrace.cli.option import CutoverOptions
from tailrace.cli.report import columns, fail
from tailrace.cli.run import Signals, ended
from tailrace.cli.status import parked
from tailrace.config import load
from tailrace.error import TailraceError
from tailrace.model import Carried
from tailrace.pipeline import State
from tailrace.pipeline import cutover as carry_over
from tailrace.supervisor import GRACE_S

__all__ = ["cutover"]

_LOOK_S = 0.1


def cutover(config: Path, name: str, options: CutoverOptions) -> int:
    """Wait until nothing is in flight, set the target's sequences and print them; 1 when the target lacks one."""
    pipeline = load(config, [name]).pipelines[name]
    stopped = threading.Event()

    def stop() -> None:
        stopped.set()
        pipeline.stop()

    def settle() -> None:
        deadline = time.monotonic() + pipeline.limits.stop_timeout_s + GRACE_S
        while pipeline.status().state not in {State.STOPPED, State.FAILED} and time.monotonic() < deadline:
            carrying.wait(_LOOK_S)

    carrying = Aside(
        lambda: carry_over(
            pipeline, margin=options.margin, wait_s=options.wait, parked=lambda: parked(pipeline), stop=stopped
        )
    )
    with Signals(stop) as signals:
        try:
            carried = carrying.result(stopped, settle)
        except TailraceError as error:
            fail(error, name if signals.exit_code else "")
            return ended(signals.code_of(error), left=carrying.left)
    sys.stdout.write(msgspec.json.encode(carried).decode() + "\n" if options.json else _shown(name, carried))
    return 1 if any(each.target is None for each in carried) else 0


def _shown(name: str, carried: list[Carried]) -> str:
    lacking = [each for each in carried if each.target is None]
    rows = [("source", "target", "last", "called")]
    rows += [(c.source, c.target or "missing", str(c.last), "yes" if c.called else "no") for c in carried]
    table = columns(rows) + "\n" if carried else ""
    if not lacking:
        return (
            f"{table}{name}: the target has all that is in the source's log; {len(carried)} sequence(s) go on there\n"
        )
    fixes = "".join(f"  {each.fix}\n" for each in lacking)
    return (
        f"{table}{name}: the target lacks {len(lacking)} sequence(s), or has them the other way round; none was set."
        f" Run there, then again:\n{fixes}"
    )
