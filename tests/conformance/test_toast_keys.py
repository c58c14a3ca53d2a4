"""Keys that are stored out of line: the server leaves them out of a new row, and sends them with the old key."""

from __future__ import annotations

import pytest

from servers import postgres
from tests.conformance import sides
from tests.conformance.cases import Statements
from tests.conftest import fresh

_LONG = "repeat('k', 2500)"
"""Too long for a row in line, short enough for an index."""
CASES = [
    Statements(
        "toast_key",
        (
            "CREATE TABLE toast_key (k text PRIMARY KEY, n int, t text)",
            "ALTER TABLE toast_key ALTER k SET STORAGE EXTERNAL, ALTER t SET STORAGE EXTERNAL",
        ),
        (
            f"INSERT INTO toast_key VALUES ({_LONG}, 1, repeat('t', 9000))",
            "UPDATE toast_key SET n = 2",
            "UPDATE toast_key SET k = 'short'",
            "DELETE FROM toast_key",
        ),
    ),
    Statements(
        "toast_pair",
        (
            "CREATE TABLE toast_pair (a int, k text, n int, PRIMARY KEY (a, k))",
            "ALTER TABLE toast_pair ALTER k SET STORAGE EXTERNAL",
        ),
        (
            f"INSERT INTO toast_pair VALUES (1, {_LONG}, 1)",
            "UPDATE toast_pair SET n = 2",
            "UPDATE toast_pair SET a = 2",
            "DELETE FROM toast_pair",
        ),
    ),
    Statements(
        "toast_identity",
        (
            "CREATE TABLE toast_identity (id int, k text NOT NULL UNIQUE, n int)",
            "ALTER TABLE toast_identity ALTER k SET STORAGE EXTERNAL",
            "ALTER TABLE toast_identity REPLICA IDENTITY USING INDEX toast_identity_k_key",
        ),
        (
            f"INSERT INTO toast_identity VALUES (1, {_LONG}, 1)",
            "UPDATE toast_identity SET n = 2",
        ),
    ),
]


@pytest.mark.parametrize("schemas", ["false", "true"], ids=["bare", "schemas"])
def test_a_key_stored_out_of_line_is_what_the_old_key_says(
    postgres18: postgres.Server, debezium_host: sides.Start, schemas: str
) -> None:
    with fresh(postgres18) as url:
        run = sides.run_imported(debezium_host, url, CASES, converter_schemas_enable=schemas)
    keys = [event.value for event in run.debezium if event.value is not None and "toast_key" not in event.topic]
    assert len(keys) > 4 and all(b"unavailable" not in value for value in keys)
    assert run.tailrace == run.debezium
