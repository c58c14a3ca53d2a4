"""What a measurement yields and how it is shown: runs, medians, rows of `build/bench.json`. Never measures."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Run:
    """One timed run: wall and processor seconds of the side itself, events handled, peak resident memory."""

    seconds: float
    cpu_s: float
    events: int
    rss_mb: float
    walsender_cpu_s: float = 0.0

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of processor time an event."""
        return self.cpu_s * 1e6 / self.events


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table and of `bench.json`; None where something does not apply."""

    name: str
    value: float
    unit: str
    reference: str | None = None
    reference_value: float | None = None
    ratio: float | None = None
    cpu_us_per_event: float | None = None
    reference_cpu_us_per_event: float | None = None
    rss_mb: float | None = None
    note: str = ""

    def as_dict(self) -> dict[str, object]:
        """The row as `bench.json` has it, numbers to four significant digits."""
        return {
            key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in asdict(self).items()
        }


def interleaved(sides: Mapping[str, Callable[[], Run]], rounds: int) -> dict[str, list[Run]]:
    """Run every side once a round, `rounds` times: what slows the machine for a while slows them all alike."""
    runs: dict[str, list[Run]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            runs[name].append(side())
    return runs


def compared(name: str, ours: Sequence[Run], *, reference: str, theirs: Sequence[Run], note: str = "") -> Row:
    """Rates in events a second against a reference; the ratio is the median of the pairs' ratios."""
    walsender = [run.walsender_cpu_s * 1e6 / run.events for run in ours if run.walsender_cpu_s]
    if walsender:
        beside = [run.walsender_cpu_s * 1e6 / run.events for run in theirs if run.walsender_cpu_s]
        against = f", {statistics.median(beside):.1f} under the reference" if beside else ""
        note = "; ".join(filter(None, [note, f"walsender {statistics.median(walsender):.1f} µs an event{against}"]))
    return Row(
        name,
        statistics.median(run.rate for run in ours),
        "events/s",
        reference=reference,
        reference_value=statistics.median(run.rate for run in theirs),
        ratio=statistics.median(mine.rate / other.rate for mine, other in zip(ours, theirs, strict=True)),
        cpu_us_per_event=statistics.median(run.cpu_us for run in ours),
        reference_cpu_us_per_event=statistics.median(run.cpu_us for run in theirs),
        rss_mb=max(run.rss_mb for run in ours),
        note=note,
    )


def quantiles(lags_s: list[float]) -> dict[str, float]:
    """p50 and p99 in milliseconds."""
    cuts = statistics.quantiles(lags_s, n=100)
    return {"p50": cuts[49] * 1e3, "p99": cuts[98] * 1e3}


_WIDTH = 150


def show(rows: Sequence[Row]) -> None:
    """Print the table, and below it what each row notes."""
    table = Table()
    for heading in ("benchmark", "value", "unit", "reference", "its value", "ratio", "CPU µs", "(ref.)", "RSS MB"):
        text = heading in ("benchmark", "unit", "reference")
        table.add_column(heading, no_wrap=True, justify="left" if text else "right")
    for row in rows:
        numbers = (row.reference_value, row.ratio, row.cpu_us_per_event, row.reference_cpu_us_per_event, row.rss_mb)
        shown = ["" if number is None else _short(number) for number in numbers]
        table.add_row(row.name, _short(row.value), row.unit, row.reference or "", *shown)
    terminal = Console()
    console = terminal if terminal.width >= _WIDTH else Console(width=_WIDTH, soft_wrap=True)
    console.print(table)
    for row in rows:
        if row.note:
            console.print(f"{row.name}: {row.note}", highlight=False)


def _short(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"
