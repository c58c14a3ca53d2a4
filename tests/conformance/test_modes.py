"""Every option that shapes an event does what it does in the real Debezium."""

from __future__ import annotations

import pytest

from tailrace._native import DebeziumJson
from tests.conformance import sides
from tests.conformance.modes import MODES, Mode


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_options_do_what_debeziums_do(mode: Mode, database: str, start_debezium: sides.Start) -> None:
    profile = DebeziumJson(
        "shop",
        decimal_handling_mode=mode.decimal_handling_mode,
        tombstones_on_delete=mode.tombstones_on_delete,
        unavailable_value_placeholder=mode.unavailable_value_placeholder,
        skipped_operations=mode.skipped_operations,
    )
    run = sides.run(
        start_debezium,
        database,
        mode.cases,
        profile,
        extended_headers_enabled="false",
        decimal_handling_mode=mode.decimal_handling_mode,
        tombstones_on_delete=str(mode.tombstones_on_delete).lower(),
        unavailable_value_placeholder=mode.unavailable_value_placeholder,
        skipped_operations=mode.skipped_operations,
    )
    for name in {event.topic.rpartition(".")[2] for event in (*run.tailrace, *run.debezium)}:
        assert run.of(name).tailrace == run.of(name).debezium
