"""`tailrace tail`: changes on stdout through a temporary slot. Never saves a position, leaves nothing on the server."""

from __future__ import annotations

import os
import secrets

from tailrace.checkpoint.memory import Memory
from tailrace.cli.option import TailOptions
from tailrace.cli.printer import Printer
from tailrace.cli.run import Signals
from tailrace.error import ConfigError
from tailrace.pipeline import Pipeline
from tailrace.supervisor import Supervisor
from tailrace.tailing import temporary

__all__ = ["tail"]


def tail(url: str, options: TailOptions) -> int:
    """Print changes until stopped, `count` is reached or nobody reads any more."""
    if options.count is not None and options.count < 1:
        raise ConfigError(f"-n {options.count}: give a number above 0")
    source = temporary(url, snapshot=options.snapshot, tables=options.table, publication=options.publication)
    pipeline = Pipeline(
        source,
        Printer(options.format, options.count),
        name=f"tail_{os.getpid()}_{secrets.token_hex(4)}",
        checkpoint=Memory(),
        state_dir=None,
    )
    supervisor = Supervisor([pipeline])
    with Signals(supervisor.stop) as signals:
        supervisor.start(until_current=options.until_current, retry=False)  # the slot went with the connection
        code = supervisor.wait()
    for error in supervisor.outcomes.values():
        if error is not None:
            raise error
    return code or signals.exit_code
