"""Makes the calculation of docs/explanation/scaling.md from docs/reference/bench.json. Never measures, never checks.

python -m tests.tidy.scaling_page
"""

from __future__ import annotations

import math
import re
import textwrap
from dataclasses import dataclass

from tests.tidy import measured_page, tree

PAGE = tree.ROOT / "docs" / "explanation" / "scaling.md"
_LOAD, _CORES, _OF = 1_000_000, 8, 2 / 3
_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TABLE = re.compile(r"(?<=\|---\|---\|---\|---\|---\|\n)(\|.*\n)*")
_NEEDED = re.compile(r"- \*\*Sources:\*\*.*?(?=- \*\*Brokers:\*\*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Station:
    """What a change costs somewhere, to a tenth of a microsecond as the page says it."""

    us: float

    @property
    def most(self) -> int:
        """Changes a second on one core."""
        return round(round(1e6 / self.us), -3)

    @property
    def cores(self) -> float:
        """For the load, no core busier than is planned for."""
        return self.us * _LOAD / 1e6 / _OF


def written(page: str, rows: measured_page.Rows) -> str:
    """The page with the figures that the record has."""
    told = re.search(r"walsender ([\d.]+) µs", rows["kafka_sink"]["note"])
    assert told is not None
    sender = Station(float(told[1]))
    sink, handlers, replica = (
        Station(round(rows[name]["cpu_us_per_event"], 1))
        for name in ("kafka_sink", "kafka_source_handlers", "kafka_to_postgres")
    )
    page = _TABLE.sub(_table(sender, sink, handlers, replica), page, count=1)
    page = _NEEDED.sub(_needed(sender, sink, handlers), page)
    machines = math.ceil(sink.cores / _CORES) + math.ceil(handlers.cores / _CORES)
    page = re.sub(r"That is \w+ machines? of", f"That is {_WORDS[machines]} machines of", page)
    most = f"{sender.us} µs a change, so {sender.most:,} changes a second here"
    return re.sub(r"[\d.]+ µs a change, so [\d,]+ changes a second here", most, page)


def _table(sender: Station, sink: Station, handlers: Station, replica: Station) -> str:
    lines = (
        ("PostgreSQL's walsender", "`kafka_sink`, in its note", sender, ""),
        ("Tailrace, log → Kafka", "`kafka_sink`", sink, ""),
        ("Tailrace, Kafka → Python handler", "`kafka_source_handlers`", handlers, ""),
        ("Tailrace, Kafka → PostgreSQL", "`kafka_to_postgres`", replica, ", and the target's own"),
    )
    return "".join(
        f"| {where} | {row} | {each.us} | {each.most:,} a second | {each.us}{more} |\n"
        for where, row, each, more in lines
    )


def _needed(sender: Station, sink: Station, handlers: Station) -> str:
    databases, processes = math.ceil(sender.cores), math.ceil(handlers.cores)
    share = round(_LOAD / databases, -3)
    writing, reading = (_machines(each.cores) for each in (sink, handlers))
    said = (
        f"- **Sources:** 1,000,000 / ({sender.most:,} × 2/3) = {sender.cores:.1f}, so {databases} databases, each with"
        f" a slot and a pipeline of its own, each of which fills about {share:,.0f} changes a second. The {databases}"
        f" pipelines need {sink.us} / (2/3) = {sink.cores:.1f} cores: {writing}.",
        f"- **Readers:** {handlers.us} / (2/3) = {handlers.cores:.1f} cores: {processes} processes, {reading}, for"
        " handlers that cost nothing. Add what yours cost: one that takes 100 µs needs 100 cores more.",
        "- **Partitions:** at least as many as reading processes, and a multiple of their number so that shares are"
        f" equal: {3 * processes} over all topics give {processes} processes three each, and room for {3 * processes}."
        " A key stays in its partition only as long as their number does, so choose it for the years to come. One hot"
        f" key is one partition, one process: at most {handlers.most:,} a second.",
    )
    return "".join(textwrap.fill(each, 120, subsequent_indent="  ", break_on_hyphens=False) + "\n" for each in said)


def _machines(cores: float) -> str:
    count = math.ceil(cores / _CORES)
    return f"{_WORDS[count]} machine{'s' if count > 1 else ''} of {_CORES} cores"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(), measured_page.record()))
