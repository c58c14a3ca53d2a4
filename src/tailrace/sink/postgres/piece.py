"""Cuts a batch where the definition of a table changes: rows from before a type was widened are cast with it.

ALTER TABLE … TYPE converts the rows that are there, at the source and at the target alike. A row that is older than it
and comes as text behind it would be read as another value: `0.1` as a real and as a double precision are two numbers,
and a character(5) has blanks that its cast to text takes away.
"""

from __future__ import annotations

from tailrace.model import Batch

__all__ = ["pieces"]


def pieces(batch: Batch) -> list[tuple[int, Batch]]:
    """Neighbouring changes that know one version of each table, with the index of their first; as a rule all."""
    tables = batch.tables
    if len({(table.schema, table.name) for table in tables}) == len(tables):
        return [(0, batch)]
    found: list[tuple[int, Batch]] = []
    run: list[Batch] = []
    known: dict[tuple[str, str], int] = {}
    begin = end = 0
    for segment in batch.segments():
        versions = {(table.schema, table.name): table.version for table in segment.tables}
        if any(known.get(place, version) != version for place, version in versions.items()):
            found += [(begin, piece) for piece in Batch.merge(run)]
            begin, run, known = end, [], {}
        known |= versions
        run.append(segment)
        end += len(segment)
    return found + [(begin, piece) for piece in Batch.merge(run)]
