"""The table of `tailrace import-debezium` has every option that the real JARs know, and no other."""

from __future__ import annotations

import re

import pytest

from servers import debezium
from tailrace.debezium.converter import HARMLESS
from tailrace.debezium.option import CONNECTOR, find
from tailrace.debezium.rule import format_name
from tailrace.debezium.transform import TYPES
from tailrace.format import TRANSFORMS
from tests.wanting import or_skip

# Options of something else than a connector or what runs it: transforms and converters have tables of their own.
_OTHERS = (
    "io.debezium.transforms.", "io.debezium.connector.postgresql.transforms.", "io.debezium.converters.",
    "io.debezium.serde.", "io.debezium.relational.HistorizedRelationalDatabaseConnectorConfig",
)  # fmt: skip
# Lines of the table that no field stands for: maps that are passed on, and options that only the manual has.
_PASSED_ON = {
    "driver.<name>", "queue.provider.<name>", "signal.consumer.<name>", "internal.<name>",
    "openlineage.integration.<name>", "snapshot.select.statement.overrides.<table>",
    "column.mask.hash.v2.<algorithm>.with.salt.<salt>", "poll.dispatch.interval.ms",
}  # fmt: skip


@pytest.fixture(scope="module")
def known() -> list[tuple[str, str]]:
    """(class, option) as the JARs have them; a part that the user fills in is `1`."""
    or_skip(debezium.install)
    found = [(owner, re.sub(r"\([^)]*\)", "1", name)) for owner, name in debezium.options()]
    # A connector's JDBC options have the prefix that the class does not know.
    return [(owner, f"database.{name}" if owner.endswith(".JdbcConfiguration") else name) for owner, name in found]


def test_no_option_of_debezium_is_forgotten(known: list[tuple[str, str]]) -> None:
    asked = [(owner, name) for owner, name in known if not owner.startswith(_OTHERS) and owner != "json"]
    assert len(asked) > 150
    assert [f"{name} of {owner}" for owner, name in asked if find(name) is None] == []


def test_every_option_of_the_json_converter_is_taken_or_refused(known: list[tuple[str, str]]) -> None:
    assert {name for owner, name in known if owner == "json"} == set(HARMLESS)


def test_every_transform_of_debezium_and_its_options_are_known(known: list[tuple[str, str]]) -> None:
    asked = [(owner.removesuffix("ConfigDefinition"), name) for owner, name in known if ".transforms." in owner]
    assert {owner for owner, _ in asked} <= set(TYPES)
    honoured = [(kind, format_name(name)) for owner, name in asked if (kind := TYPES[owner].kind) is not None]
    assert [
        f"{kind}: {name}" for kind, name in honoured if name not in {option.name for option in TRANSFORMS[kind]}
    ] == []


@pytest.mark.usefixtures("known")
def test_no_transform_that_the_jars_offer_is_taken_for_one_of_the_users_own() -> None:
    offered = {name.removesuffix("$Key").removesuffix("$Value") for name in debezium.transforms()}
    assert len(offered) > 30
    assert sorted(offered - set(TYPES)) == []


def test_the_table_of_the_connector_has_no_option_that_debezium_does_not_have(known: list[tuple[str, str]]) -> None:
    names = {name for _, name in known}
    lines = {rule.name: re.sub(r"<[^>]+>", "1", rule.name) for rule in CONNECTOR}
    assert {name for name, filled in lines.items() if filled not in names} == _PASSED_ON
