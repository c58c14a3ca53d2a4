"""xml, which the small build of the server that all tests share lacks: as every other type, against the real engine."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from servers.postgres import Server
from tests.conformance import sides
from tests.conformance.cases import Case, Statements, Values

CASES: list[Case] = [
    Values(
        "xmls",
        "x xml, y xml NOT NULL",
        (
            "'<a/>', '<b c=\"d\">é &amp; \"</b>'",
            "null, '<?xml version=\"1.0\"?><a>1</a>'",
            "'no element', '<!-- comment --><a> </a>'",
        ),
    ),
    Statements(
        "toast_xml",
        ("CREATE TABLE toast_xml (id int PRIMARY KEY, n int, x xml)",),
        (
            "ALTER TABLE toast_xml ALTER x SET STORAGE EXTERNAL",
            "INSERT INTO toast_xml VALUES (1, 1, ('<a>' || repeat('x', 9000) || '</a>')::xml)",
            "UPDATE toast_xml SET n = 2",
            "DELETE FROM toast_xml",
        ),
    ),
]


@pytest.mark.parametrize("schemas", ["false", "true"], ids=["bare", "schemas"])
def test_xml_equals_debeziums(start_postgres: Callable[..., Server], debezium_host: sides.Start, schemas: str) -> None:
    server = start_postgres(18, full=True)
    run = sides.run_imported(debezium_host, server.url, CASES, converter_schemas_enable=schemas)
    assert len(run.debezium) > 8
    assert run.tailrace == run.debezium
