"""`tailrace consume`: changes of topics on stdout, as a member of a consumer group. Keeps no position of its own."""

from __future__ import annotations

import logging
import os
import secrets

from tailrace.checkpoint.memory import Memory
from tailrace.cli.option import ConsumeOptions
from tailrace.cli.printer import Printer
from tailrace.cli.run import Signals
from tailrace.config import source_fields, source_from_url
from tailrace.contract import Source, Stream
from tailrace.dialect.kafka.address import parse
from tailrace.error import ConfigError, TailraceError
from tailrace.model import Limits
from tailrace.pipeline import Pipeline
from tailrace.supervisor import Supervisor
from tailrace.tailing import Watched

__all__ = ["consume"]

log = logging.getLogger("tailrace.cli")


def consume(url: str, options: ConsumeOptions) -> int:
    """Print changes until stopped, `count` is reached or nobody reads any more.

    A group's offsets go on as far as was printed. Without a group there is one of our own, which is deleted at the end.
    """
    if options.count is not None and options.count < 1:
        raise ConfigError(f"-n {options.count}: give a number above 0")
    if "group" not in source_fields(url):
        raise ConfigError("consume reads topics, and this is no URL of Kafka", hint="tailrace tail reads databases")
    name = f"consume_{os.getpid()}_{secrets.token_hex(4)}"
    named = {} if options.group is None else {"group": options.group}
    source = source_from_url(url, auto_offset_reset=options.begin, **named)
    streams: list[Stream] = []
    pipeline = Pipeline(
        Watched(source, streams.append),
        # The last batch may be printed in part.
        Printer(options.format, options.count, lambda positions: streams[-1].confirm(positions)),
        name=name,
        checkpoint=Memory(),
        limits=Limits(save_interval_s=0),  # so that no earlier position is confirmed behind that of the last line
        state_dir=None,
    )
    supervisor = Supervisor([pipeline])
    with Signals(supervisor.stop) as signals:
        supervisor.start(until_current=options.until_current, retry=False)
        code = supervisor.wait()
    if options.group is None and "group" not in parse(url).query:
        _forget(source, name)
    for error in supervisor.outcomes.values():
        if error is not None:
            raise error
    return code or signals.exit_code


def _forget(source: Source, name: str) -> None:
    """The group was ours alone; the broker deletes it by itself in some days when it cannot be asked now."""
    try:
        source.drop(name)
    except TailraceError as error:
        log.info("the group of this command stays until the broker forgets it: %s", error.args[0])
