"""The demo on the terminal: a live table, or a line every two seconds where there is no terminal. Never measures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.box import SIMPLE
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tailrace.demo.compare import Compared
from tailrace.demo.tally import PipelineTally, Tally, quantile

_LINE_S = 2.0
_STATE_STYLE = {"streaming": "green", "snapshot": "cyan", "killed": "bold red", "retrying": "yellow", "failed": "red"}
_OP_STYLE = {"c": "green", "u": "yellow", "d": "red", "r": "cyan"}


class View:
    """Shows a Tally; enter it, `show` it often, and `say` what happens."""

    def __init__(self, console: Console, tally: Tally) -> None:
        self._console = console
        self._tally = tally
        self._live = Live(console=console, refresh_per_second=8, transient=True) if console.is_terminal else None
        self._line_at = 0.0
        self._began_at = time.monotonic()

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def say(self, text: str) -> None:
        """A line that stays, with the time since the view began: the snapshot's too, which the tally does not count."""
        self._console.print(f"{time.monotonic() - self._began_at:5.1f} s  {text}", highlight=False)

    def show(self) -> None:
        """The present numbers."""
        if self._live:
            self._live.update(_panel(self._tally))
        elif time.monotonic() >= self._line_at:
            self._line_at = time.monotonic() + _LINE_S
            self.say(_line(self._tally))

    def result(self, compared: Sequence[Compared], took_s: float) -> None:
        """The final tables: every comparison, and what the demo was."""
        targets = list(self._tally.targets)
        rows = Table(title="Row for row, by checksum", title_justify="left", box=SIMPLE)
        rows.add_column("table")
        rows.add_column("rows", justify="right")
        for target in targets:
            rows.add_column(target)
        for table in dict.fromkeys(each.table for each in compared):
            own = {each.target: each for each in compared if each.table == table}
            verdicts = [_verdict(own[target]) for target in targets]
            rows.add_row(f"shop.{table}", f"{own[targets[0]].source.rows:,}", *verdicts)
        self._console.print(rows)
        self._console.print(_summary(self._tally, compared, took_s))


def _verdict(each: Compared) -> Text:
    if each.identical:
        return Text(f"identical {each.copy.checksum >> 32:08x}", style="green")
    return Text(f"DIFFERENT: {each.copy.rows:,} rows", style="bold red")


def _panel(tally: Tally) -> RenderableType:
    table = Table(box=None, expand=True, pad_edge=False)
    table.add_column("")
    table.add_column("state")
    for heading in ("rows/s", "rows", "lag"):
        table.add_column(heading, justify="right")
    commits = f"{tally.transactions:,} commits"
    table.add_row("writer → PostgreSQL", commits, f"{tally.written.per_s:,.0f}", f"{tally.written.count:,}", "")
    for each in tally.pipelines.values():
        state = Text(each.state, style=_STATE_STYLE.get(each.state, ""))
        numbers = (f"{each.delivered.per_s:,.0f}", f"{each.delivered.count:,}", _ms(each.recent_lag_ms))
        table.add_row(each.road, state, *numbers)
    latest = [event for each in tally.pipelines.values() for event in each.latest[-2:]]
    events = Text("  ").join(Text(event, style=_OP_STYLE.get(event[0], "")) for event in latest)
    bar = ProgressBar(total=tally.seconds, completed=min(tally.seconds, tally.elapsed_s))
    kills = f"{tally.kills} of {tally.kills_due} kills"
    content = Group(table, Text(""), Group(Text("latest  ", end="", style="dim"), events), bar)
    return Panel(content, title=f"{tally.title}: {tally.phase}", subtitle=kills)


def _line(tally: Tally) -> str:
    shown = [f"written {tally.written.count:,} ({tally.written.per_s:,.0f}/s)"]
    shown += [_brief(each) for each in tally.pipelines.values()]
    return " | ".join(shown)


def _brief(each: PipelineTally) -> str:
    lag = f", lag {_ms(each.recent_lag_ms)}" if each.recent_lag_ms is not None else ""
    return f"{each.name} {each.state} {each.delivered.count:,} ({each.delivered.per_s:,.0f}/s{lag})"


def _summary(tally: Tally, compared: Sequence[Compared], took_s: float) -> Table:
    summary = Table(title=tally.title, title_justify="left", box=SIMPLE, pad_edge=False)
    summary.add_column("target")
    for heading in ("identical", "rows", "changes", "seconds", "p50 lag", "p99 lag", "kills\nsurvived"):
        summary.add_column(heading, justify="right")
    for target in tally.targets:
        own = [one for one in compared if one.target == target]
        same = bool(own) and all(one.identical for one in own)
        lags_ms = tally.lags_ms(target)
        summary.add_row(
            target,
            Text("yes", style="bold green") if same else Text("NO", style="bold red"),
            f"{sum(one.copy.rows for one in own):,}",
            f"{tally.written.count:,}",
            f"{took_s:.1f}",
            _ms(quantile(lags_ms, 0.5)),
            _ms(quantile(lags_ms, 0.99)),
            str(tally.kills),
        )
    summary.caption = "lag: commit to durable in the target, restarts after the kills included"
    return summary


def _ms(lag_ms: int | None) -> str:
    if lag_ms is None:
        return ""
    return f"{lag_ms} ms" if lag_ms < 10_000 else f"{lag_ms / 1000:.1f} s"
