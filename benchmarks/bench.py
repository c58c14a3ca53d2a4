"""What a case is given: a server, the loads on it, the references, our side. Never decides what is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count

import psutil

from benchmarks import orders, process
from benchmarks.orders import Load
from benchmarks.result import Run
from servers import postgres

RECVLOGICAL = "pg_recvlogical to nothing"
COPY = "psql COPY to nothing"


@dataclass(slots=True)
class Bench:
    """One invocation of `make bench`: `rows` in the load, `pairs` interleaved pairs, `rivals` measured too or not."""

    server: postgres.Server
    rows: int
    big_rows: int
    commits: int
    pairs: int
    rivals: bool
    _load: Load | None = None
    _numbers: count[int] = field(default_factory=count)

    @property
    def load(self) -> Load:
        """The load of `rows` rows in transactions of 1,000, made at the first use."""
        if self._load is None:
            self._load = orders.load(self.server, "orders", self.rows)
        return self._load

    @property
    def postmaster(self) -> psutil.Process:
        """The server, to watch its walsenders."""
        return psutil.Process(self.server.pid)

    def slot(self) -> str:
        """A slot name that was not used before."""
        return f"bench_{next(self._numbers)}"

    def recvlogical(self, load: Load | None = None) -> Run:
        """The reference of streams: the same slot content, the same options, written to /dev/null."""
        load, slot = load or self.load, self.slot()
        orders.copy_slot(load, slot)
        options = {"proto_version": "4", "publication_names": "bench", "streaming": "on"}
        command = [str(self.server.bin("pg_recvlogical")), "-d", load.url, "-S", slot, "--start", "--no-loop"]
        command += ["-f", "/dev/null", f"--endpos={load.end_lsn}"]
        command += [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        try:
            return process.foreign(
                command, events=load.rows, environment=self.server.environment(), watch=self.postmaster
            )
        finally:
            orders.drop_slot(load, slot)

    def copy(self) -> Run:
        """The reference of snapshots: COPY of the whole table, thrown away by psql."""
        command = [str(self.server.bin("psql")), self.load.url, "-qc", "COPY orders TO STDOUT"]
        return process.foreign(
            command, events=self.load.rows, environment=self.server.environment(), watch=self.postmaster
        )

    def stream(self, side: str, load: Load | None = None, **arguments: object) -> tuple[Run, dict[str, float]]:
        """Our `side`, streaming the load from a copy of its slot."""
        load, slot = load or self.load, self.slot()
        orders.copy_slot(load, slot)
        try:
            return self.run(side, url=load.url, slot=slot, **arguments)
        finally:
            orders.drop_slot(load, slot)

    def snapshot(self, side: str, load: Load | None = None, **arguments: object) -> tuple[Run, dict[str, float]]:
        """Our `side`, taking a snapshot of the load through a slot of its own."""
        load, slot = load or self.load, self.slot()
        try:
            return self.run(side, url=load.url, slot=slot, snapshot=True, **arguments)
        finally:
            orders.drop_slot(load, slot)

    def run(self, side: str, **arguments: object) -> tuple[Run, dict[str, float]]:
        """Our `side` in a process of its own."""
        return process.ours(side, arguments, watch=self.postmaster)


def note(numbers: Mapping[str, float]) -> str:
    """What our side measured besides, in words."""
    return ", ".join(f"{value:,.4g} {name.replace('_', ' ')}" for name, value in numbers.items())
