"""Every option that shapes an event does what it does in the real Debezium."""

from __future__ import annotations

import pytest

from tailrace.format import Format
from tests.conformance import sides
from tests.conformance.modes import MODES, Mode


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_options_do_what_debeziums_do(mode: Mode, database: str, start_debezium: sides.Start) -> None:
    theirs = {"extended_headers_enabled": "false", **mode.options}
    theirs["converter_schemas_enable"] = theirs.pop("schemas_enable", "false")
    run = sides.run(start_debezium, database, mode.cases, Format(**mode.options), **theirs)
    for name in {event.topic.rpartition(".")[2] for event in (*run.tailrace, *run.debezium)}:
        assert run.of(name).tailrace == run.of(name).debezium
