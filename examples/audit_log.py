"""Append who changed what, and when, to a file that is only ever appended to."""

import json
import os
from pathlib import Path

import tailrace as tr

app = tr.App("postgresql://localhost/shop", name="audit")


@app.on("public.*", op="cud")
def append(changes: list[tr.Change]) -> None:
    """A repeat after a crash has the same position, by which a reader can tell it."""
    with Path("audit.jsonl").open("a") as log:
        for change in changes:
            entry = {
                "position": change.position.text,
                "at": change.committed_at.isoformat(),
                "transaction": change.transaction,
                "op": change.op,
                "table": str(change.table),
                "before": change.before.asdict() if change.before else None,
                "after": change.after.asdict() if change.after else None,
            }
            log.write(json.dumps(entry, default=str) + "\n")
        log.flush()
        os.fsync(log.fileno())  # a change counts as done when the handler returns
    print("logged", len(changes), "changes", flush=True)


app.run()
