"""The clock of the demonstration's lines: it never goes back, whatever the writer's time begins with."""

import io
import time

from rich.console import Console

from tailrace.demo.tally import Tally
from tailrace.demo.view import View


def test_the_clock_of_the_lines_does_not_begin_again_with_the_writer() -> None:
    shown = io.StringIO()
    tally = Tally("shop", {}, [], 25.0, 2, started_at=time.monotonic() - 5)
    view = View(Console(file=shown, width=100), tally)
    view.say("the snapshot is complete")
    tally.started_at = time.monotonic()
    view.say("the writer begins")
    first, second = (float(line.split()[0]) for line in shown.getvalue().splitlines())
    assert first <= second
