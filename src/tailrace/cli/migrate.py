"""`tailrace import-debezium`: a connector's configuration as TOML on stdout. Never connects to anything.

What was dropped, and what else there is to know, goes to stderr: stdout can be written to a file.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tailrace.cli.option import ImportOptions
from tailrace.cli.report import say
from tailrace.debezium import Choices, read, translate, worker_options

__all__ = ["import_debezium"]


def import_debezium(file: Path, options: ImportOptions) -> int:
    """Print the configuration, after what there is to say about it."""
    choices = Choices(
        name=options.name,
        sink=options.sink,
        offsets=options.offsets,
        from_slot=options.from_slot,
        worker={} if options.worker is None else worker_options(options.worker),
    )
    made = translate(read(file), choices)
    for name, why in made.dropped:
        say(f"dropped {name}: {why}")
    for note in made.notes:
        say(f"note: {note}")
    sys.stdout.write(made.toml)
    return 0
