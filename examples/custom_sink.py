"""A sink of one's own: a frozen dataclass that opens a writer; `tr.testing.check_sink` puts it through the contract."""

import os
from dataclasses import dataclass
from typing import ClassVar

import tailrace as tr


@dataclass(frozen=True)
class Tally:
    """Appends a line for each batch; at-least-once, since the position is kept beside it."""

    path: str
    kind: ClassVar[str] = "tally"
    transactional: ClassVar[bool] = False
    table_like: ClassVar[bool] = False
    truncate: ClassVar[bool] = True

    def check(self) -> list[tr.Finding]:
        return []

    def open(self, name: str, limits: tr.Limits) -> "TallyWriter":
        return TallyWriter(self.path)


class TallyWriter:
    def __init__(self, path: str) -> None:
        self.file = open(path, "ab", buffering=0)  # noqa: PTH123, SIM115 - closed by `close`

    def write(self, batch: tr.Batch) -> None:
        if len(batch):  # an empty batch is progress
            self.file.write(f"{len(batch)} changes of {', '.join(map(str, batch.tables))}\n".encode())
            os.fsync(self.file)

    def close(self) -> None:
        self.file.close()


tr.Pipeline(tr.source.Postgres("postgresql://localhost/shop"), Tally("tally.txt"), name="tally").run(until_current=True)
