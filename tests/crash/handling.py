"""A member of a group whose functions note what they were given: `… tests.crash.handling URL FILE PROTOCOL LANES`.

All members write to one file, a line at once, so that its order is that of their calls. A call takes its time: what is
read waits to be handled, and is lost if it was told to the group too early. So many calls, of different keys, are made
at the same time as there are `LANES`.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any, Literal

import tailrace as tr


def main(url: str, path: str, protocol: Literal["classic", "consumer"], lanes: str) -> None:
    """Run until SIGTERM."""
    notes = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    source = tr.source.Kafka(url, group_protocol=protocol)
    app = tr.App(source, name="shop", limits=tr.Limits(batch_bytes_max=1 << 16, shelf_bytes_max=1 << 16))

    @app.on("public.accounts", concurrency=int(lanes))
    def note(change: tr.Change) -> None:
        row: Any = change.after
        threading.Event().wait(0.002)
        os.write(notes, f"{row['id']} {row['version']}\n".encode())

    app.run()


if __name__ == "__main__":
    main(*sys.argv[1:])  # type: ignore[arg-type]
