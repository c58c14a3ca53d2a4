"""A member of a group whose functions note what they have handled: `… tests.crash.handling URL FILE MANNER`.

All members write to one file, a line at once, so that its order is that of their calls. A call takes its time: what is
read waits to be handled, and is lost if it was told to the group too early.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import tailrace as tr


@dataclass(frozen=True, slots=True)
class Manner:
    """How a member reads, and what its function refuses; in JSON on its command line."""

    protocol: Literal["classic", "consumer"]
    lanes: int = 1
    """So many calls, of different keys, are made at the same time."""
    letters: str = ""
    """URL of the topic of dead letters."""
    delays_s: Sequence[float] = ()
    refused: Sequence[tuple[int, int, int | None]] = ()
    """Key, version, and how many tries of it fail in each process; None: it is rejected, always."""

    def text(self) -> str:
        return json.dumps(asdict(self))


def main(url: str, path: str, text: str) -> None:
    """Run until SIGTERM."""
    notes = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    manner = Manner(**json.loads(text))
    refused = {(key, version): times for key, version, times in manner.refused}
    tries: Counter[tuple[int, int]] = Counter()
    app = tr.App(
        tr.source.Kafka(url, group_protocol=manner.protocol),
        name="shop",
        dead_letters=tr.DeadLetterTopic(manner.letters, retry_delays_s=manner.delays_s) if manner.letters else None,
        limits=tr.Limits(batch_bytes_max=1 << 16, shelf_bytes_max=1 << 16),
    )

    @app.on("public.accounts", concurrency=manner.lanes, retries=1)
    def note(change: tr.Change) -> None:
        row: Any = change.after
        at = row["id"], row["version"]
        threading.Event().wait(0.002)
        if at in refused:
            tries[at] += 1
            if (times := refused[at]) is None:
                raise tr.Reject("never")
            if tries[at] <= times:
                raise OSError("not yet")
        os.write(notes, f"{at[0]} {at[1]}\n".encode())

    app.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
