"""Makes docs/reference/transforms.md from the tables of transforms: `python -m tests.tidy.transforms_page`."""

from __future__ import annotations

from tailrace.format import TRANSFORMS, Option
from tailrace.format.transform import GUARDS
from tests.tidy import tree

PAGE = tree.ROOT / "docs" / "reference" / "transforms.md"
_HEAD = """\
# Transforms of records

Each is an entry of `[[pipeline.<name>.format.transform]]` with a `kind`, applied in order to every record of a sink
that writes events; in Python `tailrace.format.Transform(kind, **options)`. Names are Debezium's with underscores for
dots, values and defaults are Debezium's. How to use them is in [transforms](../howto/transforms.md).

All but `filter` and `content_based_router`, which are [not compared](debezium.md#what-is-not-compared), do, byte for
byte, what Debezium 3.6's do (`tests/conformance/test_chains.py`, with schemas and without, with the block `transaction`
and without), to the records at the ends of transactions and to heartbeats too, but:

- a delete becomes a real tombstone in the modes `tombstone` and `delete-to-tombstone`; in mode `tombstone` Debezium
  with a JSON converter writes the text `null`, or a schema and a null, which Kafka's compaction keeps;
- headers that a transform adds to a delete stay there; in Debezium they show up on its tombstone as well, for both
  share one object; so do the times of a source block, which `timezone_converter` moves twice when a key changed;
- `infinity` stays what it is in another zone; Debezium stops there;
- a path of `partition_payload_fields` through an image that is not there counts for nothing, as one through a field
  that is not there; Debezium stops. A struct or a map cannot be hashed, and refuses the change;
- nulls that no transform replaced stay null in columns that have a default, as [everywhere](debezium.md);
- regular expressions know no look-around and no back references; expressions are Python, and
  judge changes only.

Made from the code by `python -m tests.tidy.transforms_page`: do not edit.

"""


def page() -> str:
    """The whole page."""
    parts = [f"## {kind}\n\n{_table(options)}" for kind, options in TRANSFORMS.items()]
    return _HEAD + "\n".join([*parts, f"## Of every transform\n\nAt most one of the first three.\n\n{_table(GUARDS)}"])


def _table(options: tuple[Option, ...]) -> str:
    return "| option | takes | default | does |\n|---|---|---|---|\n" + "".join(map(_row, options))


def _row(option: Option) -> str:
    default = f"`{option.default}`" if option.default else ""
    return f"| `{option.name}` | {option.kind} | {default} | {option.meaning} |\n"


if __name__ == "__main__":
    PAGE.write_text(page())
