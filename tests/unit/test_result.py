"""What a benchmark makes of its runs: pairs that are interleaved, and the median of their ratios."""

from __future__ import annotations

import pytest

from benchmarks.result import Run, compared, interleaved


def run(seconds: float, *, rss_mb: float = 10.0, cpu_s: float = 0.1, walsender_cpu_s: float = 0.0) -> Run:
    return Run(seconds, cpu_s, events=100, rss_mb=rss_mb, walsender_cpu_s=walsender_cpu_s)


def test_the_sides_run_in_turn() -> None:
    calls: list[str] = []

    def side(name: str, *, seconds: float) -> Run:
        calls.append(name)
        return run(seconds + len(calls))

    sides = {"ours": lambda: side("ours", seconds=0), "theirs": lambda: side("theirs", seconds=100)}
    runs = interleaved(sides, 3)
    assert calls == ["ours", "theirs"] * 3
    assert {name: [each.seconds for each in of] for name, of in runs.items()} == {
        "ours": [1, 3, 5],
        "theirs": [102, 104, 106],
    }


def test_the_ratio_is_the_median_of_the_pairs_and_not_the_ratio_of_the_medians() -> None:
    # The machine is ten times slower in the second pair, for both: a ratio of means would be another, as would one of
    # the medians (of 100/2 and 100/4 events a second: 2.0).
    ours = [run(1, rss_mb=20), run(20, rss_mb=30), run(2, rss_mb=10)]
    theirs = [run(4), run(30), run(2)]
    row = compared("it", ours, reference="them", theirs=theirs)
    assert row.ratio == pytest.approx(1.5)  # of 4.0, 1.5 and 1.0
    assert (row.value, row.reference_value) == (pytest.approx(50), pytest.approx(25))
    assert (row.name, row.unit, row.reference, row.rss_mb, row.note) == ("it", "events/s", "them", 30, "")


def test_processor_time_is_a_median_too_and_the_walsenders_is_noted_of_both() -> None:
    ours = [run(1, cpu_s=cpu_s, walsender_cpu_s=cpu_s / 10) for cpu_s in (0.01, 0.02, 0.9)]
    theirs = [run(1, cpu_s=cpu_s, walsender_cpu_s=cpu_s / 100) for cpu_s in (0.03, 0.7, 0.04)]
    row = compared("it", ours, reference="them", theirs=theirs, note="told")
    assert row.cpu_us_per_event == pytest.approx(200) and row.reference_cpu_us_per_event == pytest.approx(400)
    assert row.note == "told; walsender 20.0 µs an event, 4.0 under the reference"


def test_a_run_without_its_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        compared("it", [run(1), run(1)], reference="them", theirs=[run(1)])
