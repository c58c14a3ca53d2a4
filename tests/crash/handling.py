"""A member of a group whose functions note what they have handled: `… tests.crash.handling URL FILE MANNER`.

All members write to one file, a line at once, so that its order is that of their calls. A call takes its time: what is
read waits to be handled, and is lost if it was told to the group too early.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import asdict, dataclass
from typing import Any, Literal

import tailrace as tr


@dataclass(frozen=True, slots=True)
class Manner:
    """How a member reads; in JSON on its command line."""

    protocol: Literal["classic", "consumer"]
    lanes: int = 1
    """So many calls, of different keys, are made at the same time."""

    def text(self) -> str:
        return json.dumps(asdict(self))


def main(url: str, path: str, text: str) -> None:
    """Run until SIGTERM."""
    notes = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    manner = Manner(**json.loads(text))
    app = tr.App(
        tr.source.Kafka(url, group_protocol=manner.protocol),
        name="shop",
        limits=tr.Limits(batch_bytes_max=1 << 16, shelf_bytes_max=1 << 16),
    )

    @app.on("public.accounts", concurrency=manner.lanes)
    def note(change: tr.Change) -> None:
        row: Any = change.after
        threading.Event().wait(0.002)
        os.write(notes, f"{row['id']} {row['version']}\n".encode())

    app.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
