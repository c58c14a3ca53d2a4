"""Asks servers now and then what log they keep for a pipeline, so that no scrape waits for a server. Never fails."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from tailrace.contract import Retaining
from tailrace.error import TailraceError
from tailrace.pipeline import Pipeline

__all__ = ["Retained"]

_EVERY_S = 15.0
_OLD_S = 60.0

log = logging.getLogger("tailrace.health")


class Retained:
    """The last answers. One thread a pipeline: a server that hangs makes its own answer old, and no other."""

    def __init__(self, pipelines: Sequence[Pipeline]) -> None:
        self._closed = threading.Event()
        self._answers: dict[str, tuple[float, int | None]] = {}
        for pipeline in pipelines:
            if isinstance(pipeline.source, Retaining):
                arguments = (pipeline.name, pipeline.source)
                name = f"tailrace-{pipeline.name}-retained"
                threading.Thread(target=self._ask, args=arguments, name=name, daemon=True).start()

    def nbytes(self, name: str) -> int | None:
        """What the server keeps for pipeline `name`; None when unknown, or not heard for a minute."""
        at, nbytes = self._answers.get(name, (0.0, None))
        return nbytes if time.monotonic() - at < _OLD_S else None

    def close(self) -> None:
        """Ask no more; closing twice is harmless (I12)."""
        self._closed.set()

    def _ask(self, name: str, source: Retaining) -> None:
        while not self._closed.is_set():
            try:
                self._answers[name] = (time.monotonic(), source.retained_bytes(name))
            except TailraceError as error:  # the pipeline tells of it too; what is known becomes old
                log.debug("%s: what the server retains is not known: %s", name, error.args[0])
            self._closed.wait(_EVERY_S)
