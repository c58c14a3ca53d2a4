"""A process that asks a consumer group who is in it, before its coordinator goes, meanwhile and afterwards.

python -m tests.server.kafka.asking HOST:PORT
"""

from __future__ import annotations

import sys

from confluent_kafka.admin import AdminClient

from tailrace.source.kafka import group as module
from tailrace.source.kafka.group import Group
from tests.waiting import until

TIMES = 3


def main(servers: str) -> None:
    """Says how far it is, a line each."""
    module._PATIENCE_S, module._SILENT_S = 1.0, 3600.0
    made: list[str] = []

    def make() -> AdminClient:
        made.append(servers)
        return AdminClient({"bootstrap.servers": servers})

    group = Group("g", make)

    def answered() -> bool:
        group.tend()
        return group.found(every_s=0.05) is not None

    until(answered, "for the first answer", timeout_s=180)
    print("answered", flush=True)
    first = len(made)
    until(lambda: not answered() and len(made) >= first + TIMES, "for questions that nobody answers", timeout_s=180)
    print("given up", flush=True)
    until(answered, "for the answer of a coordinator that has come back", timeout_s=180)
    print("answered again", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
