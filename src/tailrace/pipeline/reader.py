"""The reader thread: opens the source, reads onto the shelf, tends the connection. Never writes, saves or decides.

Every method of a Stream but `confirm` runs here, so that a source needs no locks of its own.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from tailrace.contract import Dated, Measured, Partitioned, Shared, Stream, Unheard
from tailrace.error import EndOfStream, TailraceError, trace
from tailrace.model import Position, Revoked
from tailrace.pipeline.failpoint import Place, reach
from tailrace.pipeline.shelf import End, Shelf

__all__ = ["SILENT_S", "Reader", "reader_name"]

_READ_S = 0.25
_TEND_S = 0.1
SILENT_S = 5.0
"""A stream comes back within half a second; after so long, what it measured is too old to be told."""

log = logging.getLogger(__name__)


def reader_name(pipeline: str) -> str:
    """The name of the thread that reads for a pipeline."""
    return f"tailrace-{pipeline}-reader"


class Reader:
    """One stream, from open to close, on a thread of its own. It ends by putting `End` on the shelf, always."""

    def __init__(
        self,
        name: str,
        open_stream: Callable[[threading.Event], Stream],
        shelf: Shelf,
        *,
        revoking: Callable[[Revoked], None],
    ) -> None:
        self._open_stream = open_stream
        self._revoking = revoking
        """Told of each revocation before its mark stands on the shelf, on the reader thread."""
        self._shelf = shelf
        self._stream: Stream | None = None
        self._quiet = threading.Event()
        self._done = threading.Event()
        self._released: deque[tuple[str, ...]] = deque()
        self._claimed: deque[Mapping[str, Position | None]] = deque()
        self._answered = threading.Condition()
        # In the context of who makes it, for the log. A daemon: a driver that hangs must not keep a process alive.
        run = contextvars.copy_context().run
        self._thread = threading.Thread(target=run, args=(self._run,), name=reader_name(name), daemon=True)
        self._measured: Measured | None = None
        self._dated: Dated | None = None
        self._lag: int | None = None
        self.unheard: str | None = None
        """What the server did not tell at the stream's last call, in words; None while it answers."""
        self.alive_at = self.moved_at = time.monotonic()
        """When the stream last came back from a call, and when it last brought something, or had nothing to bring."""
        self.caught_at: float | None = None
        """All that the server had then is on the shelf; like the others by the monotonic clock."""

    @property
    def opened(self) -> bool:
        """The stream is open: something may have been read."""
        return self._stream is not None

    @property
    def shared(self) -> bool:
        """Other processes read the same: its lineages come and go."""
        return isinstance(self._stream, Shared)

    def start(self) -> None:
        """Open the source and begin to read."""
        self._thread.start()

    def quiet(self) -> None:
        """Read nothing more, put `End` behind what was read, keep the connection alive until `finish`; an `open` that
        waits gives up."""
        self._quiet.set()

    def confirm(self, positions: Sequence[Position]) -> None:
        """Tell the stream what is saved; from the writer thread."""
        if self._stream is not None:
            self._stream.confirm(positions)

    def release(self, lineages: tuple[str, ...]) -> None:
        """What was revoked is finished; the reader thread tells the stream."""
        with self._answered:
            self._released.append(lineages)
            self._answered.notify_all()

    def begin(self, claimed: Mapping[str, Position | None]) -> None:
        """What was assigned is claimed; the reader thread tells the stream."""
        self._claimed.append(claimed)

    def lag_bytes(self) -> int | None:
        """What the stream measured at its last call; None when it does not measure, or is silent since."""
        return self._lag if time.monotonic() - self.alive_at < SILENT_S else None

    def lags(self) -> Mapping[str, int]:
        """The same by partition, in records; nothing when the stream has none, or is silent since."""
        stream = self._stream if time.monotonic() - self.alive_at < SILENT_S else None
        return stream.lags() if isinstance(stream, Partitioned) else {}

    def finish(self, timeout_s: float) -> bool:
        """Close the stream and end the thread; False when it does not come back within `timeout_s`."""
        self._quiet.set()
        with self._answered:
            self._done.set()
            self._answered.notify_all()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            stream = self._open_stream(self._quiet)
        except BaseException as error:  # noqa: BLE001 - handed to the writer thread, which raises it
            self._shelf.put(End(error))
            return
        self._measured = stream if isinstance(stream, Measured) else None
        self._dated = stream if isinstance(stream, Dated) else None
        self._note(moved=True)
        if isinstance(stream, Shared):
            stream.attach(self._settle)
        self._stream = stream
        try:
            alive = self._pump(stream)
            while alive and not self._done.wait(_TEND_S):
                self._answer(stream)
                stream.tend()
                self._note(moved=True)
            self._done.wait()
            self._answer(stream)
        except Exception as error:  # noqa: BLE001 - all that was read is on the shelf; only the last status is lost
            log.info("the source broke while the last changes were written: %s", type(error).__name__)
        finally:
            self._close(stream)

    def _pump(self, stream: Stream) -> bool:
        """Read until told to be quiet; False when the stream broke, and must not be tended."""
        try:
            while not self._quiet.is_set():
                self._answer(stream)
                if self._shelf.full:
                    if not self._shelf.wait_room(_TEND_S):
                        stream.tend()
                        self._note(moved=True)
                    continue
                reach(Place.READ)
                if (item := stream.read(_READ_S)) is not None:
                    reach(Place.DECODE)
                    if isinstance(item, Revoked):
                        self._revoking(item)
                    self._shelf.put(item)
                    reach(Place.SHELF)
                self._note(moved=item is not None)
        except EndOfStream:
            self._shelf.put(End())
        except BaseException as error:  # noqa: BLE001 - handed to the writer thread, which raises it
            self._shelf.put(End(error))
            return False
        else:
            self._shelf.put(End())
        return True

    def _note(self, *, moved: bool) -> None:
        """Remember what the last call of the stream showed, once all of it is on the shelf."""
        self.alive_at = now = time.monotonic()
        lag = None if self._measured is None else self._measured.lag_bytes()
        self.unheard = self._stream.unheard() if isinstance(self._stream, Unheard) else None
        flows = not lag or self._lag is None or lag < self._lag  # without rows for us, the log still goes by
        if moved or (flows and self.unheard is None):
            self.moved_at = now
        if lag == 0:
            # What was committed since the server was asked may not have come yet.
            self.caught_at = now if self._dated is None else self._dated.measured_at()
        self._lag = lag

    def _answer(self, stream: Stream) -> None:
        """Tell the stream what the writer thread has done for it."""
        while self._released:
            stream.release(self._released.popleft())
        while self._claimed and isinstance(stream, Shared):
            stream.begin(self._claimed.popleft())

    def _settle(self, revoked: Revoked, timeout_s: float) -> bool:
        """Wait, inside a call of the stream, until the writer thread is done with what was revoked. Whoever finishes
        has settled everything before."""
        self._revoking(revoked)
        self._shelf.put(revoked)

        def answered() -> bool:
            return revoked.lineages in self._released or self._done.is_set()

        with self._answered:
            return self._answered.wait_for(answered, timeout_s)

    def _close(self, stream: Stream) -> None:
        try:
            stream.close()
        except TailraceError as error:
            log.info("closing the source: %s", error.args[0])
        except Exception as error:  # noqa: BLE001 - what was read is handed over; only the farewell failed
            log.warning("closing the source raised %s", type(error).__name__)
            log.debug("closing the source: %s", trace(error))
