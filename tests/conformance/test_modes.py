"""Every option that shapes an event does what it does in the real Debezium, and is brought over by the import."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from servers import postgres
from tests.conformance import equal, sides
from tests.conformance.cases import Case
from tests.conformance.modes import MODES, Mode
from tests.conformance.once import Once
from tests.conftest import fresh

Told = Callable[[str, object], None]
Compare = Callable[[Mode], sides.Run]
_CASES = [(mode, case) for mode in MODES for case in mode.cases]


@pytest.fixture(scope="module")
def compared(postgres18: postgres.Server, debezium_host: sides.Start) -> Compare:
    """Both sides over all cases of a mode at once; each mode is run once."""
    runs = Once[sides.Run]()

    def made(mode: Mode) -> sides.Run:
        with fresh(postgres18) as url:
            return _run(debezium_host, url, mode)

    return lambda mode: runs.get(mode.name, lambda: made(mode))


def _run(start: sides.Start, url: str, mode: Mode) -> sides.Run:
    theirs = dict(mode.options)
    theirs["converter_schemas_enable"] = theirs.pop("schemas_enable", "false")
    return sides.run_imported(start, url, mode.cases, **theirs)


@pytest.mark.parametrize(
    ("mode", "case"),
    [
        pytest.param(mode, case, marks=equal.mark(mode), id=f"{mode.name}-{case.name.strip(chr(34))}")
        for mode, case in _CASES
    ],
)
def test_events_in_a_mode_equal_debeziums(mode: Mode, case: Case, compared: Compare, record_property: Told) -> None:
    run = compared(mode).of(case.name.strip('"'))
    record_property("records", len(run.debezium))
    assert run.debezium or "skipped_operations" in mode.options, "nothing was compared"
    assert run.tailrace == run.debezium


@pytest.mark.parametrize("mode", [pytest.param(mode, marks=equal.mark(mode), id=mode.name) for mode in MODES])
def test_no_event_of_a_mode_is_left_uncompared(mode: Mode, compared: Compare) -> None:
    run = compared(mode)
    assert {event.topic for event in run.tailrace} == {event.topic for event in run.debezium}
    assert len(run.tailrace) == len(run.debezium)
