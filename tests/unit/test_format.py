"""`Format` takes what its table says, in every form, and names what it does not take."""

from __future__ import annotations

import pytest

from tailrace import ConfigError
from tailrace.format import OPTIONS, Format
from tailrace.format.option import Choice, Option


@pytest.mark.parametrize(
    "option", [option for option in OPTIONS if isinstance(option.kind, Choice)], ids=lambda o: o.name
)
def test_every_word_of_the_table_is_known_to_the_encoder_and_no_other(option: Option) -> None:
    assert isinstance(option.kind, Choice)
    needed = {"topic_regex": "a", "topic_replacement": "b"} if option.name == "topic_naming_strategy" else {}
    for word in option.kind.words:
        made = Format(**{"schema_registry_url": "http://registry", option.name: word, **needed})
        assert made[option.name] == word
    with pytest.raises(ConfigError, match=f"^{option.name}: this must be "):
        Format(**{option.name: "no-such-word"})


def test_values_may_come_as_toml_has_them_or_as_properties_do() -> None:
    assert Format(tombstones_on_delete=False) == Format(tombstones_on_delete="false")
    assert Format(skipped_operations=["c", "u"]) == Format(skipped_operations="c,u")
    assert Format()["decimal_handling_mode"] == "precise"


def test_the_nearest_name_is_told() -> None:
    with pytest.raises(ConfigError, match="unknown key 'tombstone_on_delete'; did you mean 'tombstones_on_delete'"):
        Format(tombstone_on_delete=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [("tombstones_on_delete", 1), ("topic_prefix", 7), ("topic_prefix", ""), ("skipped_operations", "x")],
)
def test_an_impossible_value_is_an_error_that_names_the_option(name: str, value: str | int) -> None:
    with pytest.raises(ConfigError, match=name):
        Format(**{name: value})


def test_a_salt_is_in_no_message() -> None:
    for value in (7, "(", "a"):
        with pytest.raises(ConfigError) as caught:
            Format(**{"column_mask_hash_ROT13_with_salt_s3cret": value})
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"column_include_list": "a", "column_exclude_list": "b"},
        {"message_prefix_include_list": "a", "message_prefix_exclude_list": "b"},
        {"topic_naming_strategy": "io.debezium.schema.SchemaRegexTopicNamingStrategy"},
        {"topic_delimiter": "?"},
        {"column_truncate_to_x_chars": "a"},
    ],
)
def test_options_that_contradict_each_other_or_themselves_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        Format(**options)


def test_given_options_are_not_shown() -> None:
    assert repr(Format(topic_prefix="secret")) == "Format()"


def test_options_of_a_converter_may_be_of_keys_or_values_alone() -> None:
    own = {"key_converter_schema_registry_url": "http://a", "value_converter_schema_registry_url": "http://b"}
    made = Format(key_converter="avro", value_converter="avro", **own)
    assert made["value_converter_schema_registry_url"] == "http://b"
    with pytest.raises(ConfigError, match="value_converter = 'avro' needs schema_registry_url"):
        Format(key_converter="json", value_converter="avro", key_converter_schema_registry_url="http://a")
    with pytest.raises(ConfigError, match="unknown key 'key_converter_tombstones_on_delete'"):
        Format(key_converter_tombstones_on_delete=True)
    with pytest.raises(ConfigError, match="value_converter_connect_meta_data: this must be true or false"):
        Format(value_converter="avro", schema_registry_url="http://a", value_converter_connect_meta_data="x")


def test_sinks_of_lines_refuse_what_is_no_json() -> None:
    made = Format(value_converter="avro", schema_registry_url="http://a")
    with pytest.raises(ConfigError, match="writes JSON, not avro"):
        made.profile("p")


@pytest.mark.parametrize("profile", ["payload", "cloudevents", "cloudevents_binary"])
def test_profiles_that_are_ways_to_write_json_have_no_other_values(profile: str) -> None:
    with pytest.raises(ConfigError, match=r"value_converter: .* a way to write JSON.*CloudEvents too those in Avro"):
        Format(profile=profile, value_converter="avro", schema_registry_url="http://a")
    Format(profile=profile, key_converter="avro", schema_registry_url="http://a")
