"""Tells a reader of records the schemas that they are framed with. Never reads a record itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tailrace.error import Fatal
from tailrace.registry import Client

__all__ = ["Reader", "tell"]

_Records = Sequence[tuple[bytes | None, bytes | None, int, int]]


class Reader(Protocol):
    """What needs schemas: `_native.EventReader`."""

    def unknown(self, records: _Records) -> Sequence[int]:
        """Ids that it must be told before it is fed these records."""
        ...

    def add_schema(self, id: int, kind: str, text: str, *, references: Sequence[tuple[str, str]]) -> None:
        """Take in the schema of an id; `ValueError` for one whose values it cannot read."""
        ...


def tell(reader: Reader, records: _Records, *, client: Client | None) -> None:
    """Ask the registry for all schemas that `records` are framed with and `reader` does not know.

    `Fatal` when there are some and no registry, when the registry does not know one, and when one cannot be read;
    `Retryable` when it does not answer.
    """
    for schema_id in reader.unknown(records):
        if client is None:
            raise Fatal(
                f"a record is framed with schema {schema_id} of a schema registry",
                hint="schema_registry_url says where that registry is",
            )
        found = client.schema(schema_id)
        try:
            reader.add_schema(schema_id, found.kind.value, found.text, references=found.references)
        except ValueError as error:
            raise Fatal(f"records of schema {schema_id} cannot be read: {error}") from None
