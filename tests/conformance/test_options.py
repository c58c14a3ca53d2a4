"""The table of `tailrace import-debezium` has every option that the real JARs know, and no other; what each is when it
is left out, and what words it may have, is the same too."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from servers import debezium
from servers.debezium import Option
from tailrace.debezium import Choices, translate
from tailrace.debezium.connector import Connector, Form
from tailrace.debezium.converter import HARMLESS
from tailrace.debezium.option import CONNECTOR, find
from tailrace.debezium.rule import Fate, format_name
from tailrace.debezium.transform import TYPES
from tailrace.error import ConfigError
from tailrace.format import OPTIONS, TRANSFORMS
from tailrace.format.option import Choice
from tests.conformance.imported import imported
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


_OWN = ("plugin.name", "slot.drop.on.stop", "database.port")
_LEAST = {
    name: value
    for name, value in debezium.properties("postgresql://postgres@127.0.0.1:5432/shop").items()
    if name not in _OWN
}
"""A connector that leaves all out that may be left out."""
_WRITTEN = {"database.sslmode = prefer"}
"""Defaults that change the import when they are written: `prefer` is libpq's too, and stands in the URL then."""
_LOCAL = {"time_precision_mode": {"local"}}
"""Words of ours that Debezium lacks: times as Flink reads them."""


@pytest.fixture(scope="module")
def known() -> list[Option]:
    """All that the JARs have; a part that the user fills in is `1`."""
    or_skip(debezium.install)
    found = [replace(option, name=re.sub(r"\([^)]*\)", "1", option.name)) for option in debezium.options()]
    # A connector's JDBC options have the prefix that the class does not know.
    return [
        replace(option, name=f"database.{option.name}") if option.owner.endswith(".JdbcConfiguration") else option
        for option in found
    ]


@pytest.fixture(scope="module")
def asked(known: list[Option]) -> list[Option]:
    """Those of a connector and of what runs it."""
    return [option for option in known if not option.owner.startswith(_OTHERS) and option.owner != "json"]


def test_no_option_of_debezium_is_forgotten(asked: list[Option]) -> None:
    assert len(asked) > 150
    assert [f"{option.name} of {option.owner}" for option in asked if find(option.name) is None] == []


def test_an_option_that_is_left_out_is_imported_as_debeziums_default(asked: list[Option]) -> None:
    least = _meant(_LEAST)
    compared = [option for option in asked if option.default and option.owner != "connect"]
    assert len(compared) > 100
    assert not [option.name for option in compared if option.name in _LEAST and option.name != "offset.storage"]
    assert {
        f"{option.name} = {option.default}"
        for option in compared
        if _meant({**_LEAST, option.name: option.default}) != least
    } == _WRITTEN


def test_an_event_is_shaped_by_debeziums_defaults_where_nothing_is_said(asked: list[Option]) -> None:
    format = imported(_LEAST)[1]
    shaping = {option.name: option.default for option in asked if _shapes(option) and "1" not in option.name}
    assert len(shaping) > 30
    assert {name: format[format_name(name)] or "" for name in shaping} == {**shaping, "topic.prefix": "shop"}


def test_every_word_that_debezium_allows_is_taken_or_refused_by_the_options_name(asked: list[Option]) -> None:
    chosen = [option for option in asked if option.words and _fate(option) is Fate.HONOURED]
    assert len(chosen) > 12
    refused = {(option.name, word) for option in chosen for word in option.words if _refused(option.name, word)}
    assert refused == {
        ("snapshot.mode", "custom"),
        ("snapshot.mode", "configuration_based"),
        ("lsn.flush.mode", "manual"),
    }
    assert [option.name for option in chosen if not _refused(option.name, "no_word_of_it")] == []


def test_an_option_that_shapes_events_has_debeziums_words(asked: list[Option]) -> None:
    words = {format_name(option.name): option.words for option in asked if _shapes(option) and option.words}
    ours = {option.name: set(option.kind.words) for option in OPTIONS if isinstance(option.kind, Choice)}
    assert len(words) > 6
    assert {name: ours[name] - _LOCAL.get(name, set()) for name in words} == words


def test_every_option_of_the_json_converter_is_taken_or_refused(known: list[Option]) -> None:
    assert {option.name for option in known if option.owner == "json"} == set(HARMLESS)


def test_every_transform_of_debezium_and_its_options_are_known(known: list[Option]) -> None:
    asked = [
        replace(option, owner=option.owner.removesuffix("ConfigDefinition"))
        for option in known
        if ".transforms." in option.owner
    ]
    assert {option.owner for option in asked} <= set(TYPES)
    honoured = [(kind, option) for option in asked if (kind := TYPES[option.owner].kind) is not None]
    ours = {(kind, option.name): option for kind, options in TRANSFORMS.items() for option in options}
    assert [f"{kind}: {option.name}" for kind, option in honoured if (kind, format_name(option.name)) not in ours] == []
    for kind, option in honoured:
        mine = ours[kind, format_name(option.name)]
        assert (kind, option.name, mine.default or "") == (kind, option.name, option.default)
        if option.words:
            assert isinstance(mine.kind, Choice) and set(mine.kind.words) == option.words


@pytest.mark.usefixtures("known")
def test_no_transform_that_the_jars_offer_is_taken_for_one_of_the_users_own() -> None:
    offered = {name.removesuffix("$Key").removesuffix("$Value") for name in debezium.transforms()}
    assert len(offered) > 30
    assert sorted(offered - set(TYPES)) == []


def test_the_table_of_the_connector_has_no_option_that_debezium_does_not_have(known: list[Option]) -> None:
    names = {option.name for option in known}
    lines = {rule.name: re.sub(r"<[^>]+>", "1", rule.name) for rule in CONNECTOR}
    assert {name for name, filled in lines.items() if filled not in names} == _PASSED_ON


def _fate(option: Option) -> Fate | None:
    rule = find(option.name)
    return rule and rule.fate


def _shapes(option: Option) -> bool:
    rule = find(option.name)
    return rule is not None and rule.to.startswith("`[format]`")


def _meant(properties: dict[str, str]) -> object:
    """What a pipeline reads and writes; the reason, where the options cannot be imported."""
    try:
        source, format = imported(properties)
    except ConfigError as error:
        return str(error)
    return source, {option.name: format[option.name] for option in OPTIONS}


def _refused(name: str, value: str) -> bool:
    """Whether the import refuses the value, by the option's name."""
    try:
        translate(Connector(Form.ENGINE, {**_LEAST, name: value}), Choices())
    except ConfigError as error:
        assert f"\n  {name}: " in str(error) or f"{format_name(name)}: " in str(error)
        return True
    return False
