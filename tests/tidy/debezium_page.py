"""Makes docs/reference/debezium-options.md from the table: `python -m tests.tidy.debezium_page`. Never checks it."""

from __future__ import annotations

from tailrace.debezium.option import CONNECTOR
from tailrace.debezium.rule import Fate, Rule
from tailrace.debezium.surrounding import SURROUNDING
from tailrace.debezium.transform import TYPES, Type
from tests.tidy import tree

PAGE = tree.ROOT / "docs" / "reference" / "debezium-options.md"
_HEAD = """\
# Debezium's options in Tailrace

What `tailrace import-debezium` makes of each option of a PostgreSQL connector of Debezium 3.6. **Honoured**: it goes
where the second column says, in `[pipeline.<name>.…]`. **Dropped**: it has no meaning here, and is listed on stderr.
**Refused**: an error (exit code 2) that says why and what to do, unless it has one of the values in brackets, which
change nothing. A name that is not here is refused too, with the nearest one that is. `<…>` stands for a part that you
fill in. How to come over is in [Coming from Debezium](../howto/debezium.md).

Made from the code by `python -m tests.tidy.debezium_page`: do not edit. `tests/conformance/test_options.py` asks
Debezium's own JARs whether an option is missing.
"""
_TABLE = "\n## {}\n\n| option | becomes | where it goes, or why not and what to do |\n|---|---|---|\n"
_TRANSFORMS = """
## Transforms

By their `transforms.<name>.type`. Options keep their names, with underscores for dots; the predicates of Kafka Connect
become `topic_name_matches`, `has_header_key`, `record_is_tombstone` and `negate`. Another class is refused.

| class | becomes | where it goes, or why not and what to do |
|---|---|---|
"""


def page() -> str:
    """The whole page."""
    connector = _TABLE.format("Of the connector") + "".join(map(_row, CONNECTOR))
    surrounding = _TABLE.format("Around it") + "".join(map(_row, SURROUNDING))
    return _HEAD + connector + surrounding + _TRANSFORMS + "".join(map(_type, TYPES.items()))


def _type(item: tuple[str, Type]) -> str:
    name, made = item
    becomes = f"honoured | `[[format.transform]]` `{made.kind}`" if made.kind else f"refused | {made.why}; {made.hint}"
    return f"| `{name}` | {becomes} |\n"


def _row(rule: Rule) -> str:
    what = rule.to if rule.fate is Fate.HONOURED else "; ".join(filter(None, (rule.why, rule.hint)))
    values = ", ".join(f"`{value}`" for value in rule.harmless if value)
    fate = f"{rule.fate} ({values})" if values else str(rule.fate)
    return f"| `{rule.name}` | {fate} | {what} |\n".replace("||", "|")


if __name__ == "__main__":
    PAGE.write_text(page())
