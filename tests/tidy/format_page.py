"""Makes docs/reference/format.md from the table of options: `python -m tests.tidy.format_page`. Never checks it."""

from __future__ import annotations

from tailrace.format import OPTIONS, Option
from tests.tidy import tree

PAGE = tree.ROOT / "docs" / "reference" / "format.md"
_HEAD = """\
# Options of events

In `[pipeline.<name>.format]`, and as keywords of `tr.Format`. Names are Debezium's with underscores for dots, values
are Debezium's. `<N>` and the like stand for a part of the name that you fill in. A list is a list in TOML, or one text
with commas between, as Debezium has it (`\\,` is a comma within an item). What the events look like is in
[Debezium's events](debezium.md).

Made from the code by `python -m tests.tidy.format_page`: do not edit.

| option | takes | default | does |
|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    return _HEAD + "".join(_row(option) for option in OPTIONS)


def _row(option: Option) -> str:
    default = "" if option.default is None else f"`{option.default}`"
    if option.debezium is not None:
        default += f" (Debezium: `{option.debezium}`)"
    return f"| `{option.name}` | {option.kind} | {default.strip()} | {option.meaning} |\n"


if __name__ == "__main__":
    PAGE.write_text(page())
