"""The reference of the configuration names every key that there is, and no other."""

from __future__ import annotations

import dataclasses
import re

import pytest

from tailrace import checkpoint, dead_letters, sink, source, transform
from tailrace.config import Http
from tailrace.model import Limits
from tailrace.sink.kafka import Security, Topic
from tailrace.source.kafka import SchemaRegistry
from tailrace.source.postgres.takeover import Takeover
from tests.tidy import debezium_page, format_page, measured_page, python_page, scaling_page, transforms_page, tree

REFERENCE = (tree.ROOT / "docs" / "reference" / "configuration.md").read_text()
NAMED = set(re.findall(r"`([a-z_]+)`", REFERENCE))
CONFIGURED = [
    source.Kafka, source.Postgres, sink.DuckDB, sink.File, sink.Kafka, sink.Postgres, sink.Stdout, Http, Limits,
    checkpoint.File, checkpoint.SQLite, dead_letters.File, transform.Select, transform.Mask, transform.Rename,
    transform.MapChanges, transform.MapArrow, SchemaRegistry, Security, Takeover, Topic,
]  # fmt: skip


@pytest.mark.parametrize("kind", CONFIGURED, ids=lambda kind: kind.__qualname__)
def test_every_key_is_in_the_reference(kind: type) -> None:
    keys = {field.name for field in dataclasses.fields(kind) if field.init and not field.name.startswith("_")}
    assert not keys - NAMED


def test_the_page_of_format_is_that_of_the_table() -> None:
    assert format_page.PAGE.read_text() == format_page.page(), "run python -m tests.tidy.format_page"
    assert transforms_page.PAGE.read_text() == transforms_page.page(), "run python -m tests.tidy.transforms_page"


def test_the_page_of_the_python_api_is_what_the_code_declares() -> None:
    assert python_page.PAGE.read_text() == python_page.page(), "run python -m tests.tidy.python_page"


def test_the_page_of_the_python_api_has_every_public_name_once() -> None:
    listed = python_page.listed()
    assert len(listed) == len(set(listed))
    assert python_page.exported() - set(listed) == set(), "give each a place in GROUPS of tests/tidy/python_page.py"
    assert {name for name in listed if name.startswith("tr.")} == python_page.exported()


def test_names_of_the_page_of_the_python_api_lead_to_its_headings() -> None:
    text = python_page.PAGE.read_text()
    anchors = [re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in re.findall(r"^##+ (.+)$", text, re.M)]
    anchors += [f"{anchor}-1" for anchor in anchors if anchors.count(anchor) > 1]
    assert not {found for found in re.findall(r"\]\(#([^)]+)\)", text) if found not in anchors}


def test_the_page_of_debeziums_options_is_that_of_the_table() -> None:
    assert debezium_page.PAGE.read_text() == debezium_page.page(), "run python -m tests.tidy.debezium_page"


def test_the_reference_names_no_key_that_is_not_there() -> None:
    keys = {field.name for kind in CONFIGURED for field in dataclasses.fields(kind)}
    listed = set(re.findall(r"^\| `([a-z_]+)` \|", REFERENCE, re.MULTILINE))
    kinds = {str(kind.kind) for kind in CONFIGURED if hasattr(kind, "kind")}
    assert not listed - keys - kinds


def test_the_defaults_of_limits_are_those_of_the_reference() -> None:
    units = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
    rows = re.findall(r"^\| `(\w+)` \| (\d[\w +]*) \|", REFERENCE.partition("\n## limits\n")[2], re.MULTILINE)
    said = {
        name: sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+) ?([KMG]iB|)", default))
        for name, default in rows
    }
    assert said == {name: value for name, value in dataclasses.asdict(Limits()).items() if name != "spill_dir"}


def test_what_readme_says_was_measured_is_what_the_record_has() -> None:
    readme, rows = measured_page.README.read_text(), measured_page.record()
    assert measured_page.written(readme, rows) == readme, "run python -m tests.tidy.measured_page"
    doubled = {name: {**row, "value": 2 * row["value"]} for name, row in rows.items()}
    changed = set(measured_page.written(readme, doubled).splitlines()) ^ set(readme.splitlines())
    assert len(changed) == 2 * (len(measured_page.RATES) + len(measured_page.LAGS) + 1), "each number is in README"


def test_what_the_calculation_of_scale_begins_with_is_what_the_record_has() -> None:
    page, rows = scaling_page.PAGE.read_text(), measured_page.record()
    assert scaling_page.written(page, rows) == page, "run python -m tests.tidy.scaling_page"
