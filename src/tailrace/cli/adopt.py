"""`tailrace adopt`: carry a position over to the server that pg_upgrade made. Never without a yes."""

from __future__ import annotations

import sys
from pathlib import Path

from tailrace.cli.report import confirm
from tailrace.config import load
from tailrace.model import Position
from tailrace.pipeline import adopt as carry_over
from tailrace.pipeline import alone

__all__ = ["adopt"]


def adopt(config: Path, name: str, *, yes: bool) -> int:
    """Show what was found on the new server, ask, and move the position."""
    pipeline = load(config, [name]).pipelines[name]

    def agree(before: Position, after: Position) -> None:
        sys.stderr.write(
            f"{name}: saved is {before.text} of {before.lineage}\n"
            f"{name}: its slot stands at the beginning of a log above that, at {after.text} of {after.lineage}\n"
        )
        confirm(
            "Is that the upgrade of the server that was read, and was no older copy of the position put back since?",
            yes=yes,
        )

    with alone(pipeline):
        before, after = carry_over(pipeline, agree)
    if before == after:
        sys.stdout.write(f"{name}: the position is of this server already; nothing was changed\n")
    else:
        sys.stdout.write(f"{name}: the next run goes on at {after.text} of {after.lineage}\n")
    return 0
