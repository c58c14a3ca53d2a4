"""Writes batches at least once: `write` returns when every record is acknowledged. Never keeps a position."""

from __future__ import annotations

import time

from tailrace.model import Batch
from tailrace.sink.kafka.sender import Sender

__all__ = ["KafkaWriter"]


class KafkaWriter:
    """An open Kafka sink without transactions. See `contract.Writer` and `contract.Interruptible`."""

    def __init__(self, sender: Sender, *, stop_timeout_s: float) -> None:
        self._sender = sender
        self._stop_timeout_s = stop_timeout_s

    def write(self, batch: Batch) -> None:
        """Produce all records of `batch` and wait for their acknowledgement."""
        self._sender.watch()
        self._sender.send(batch)  # progress of an idle source may be a heartbeat
        if not self._sender.settle():
            raise self._sender.refusals(batch)

    def interrupt(self) -> None:
        """See `Interruptible.interrupt`."""
        self._sender.patience.end_at(time.monotonic() + self._stop_timeout_s)

    def close(self) -> None:
        """Drop what is not acknowledged; closing twice is harmless (I12)."""
        self._sender.close()
