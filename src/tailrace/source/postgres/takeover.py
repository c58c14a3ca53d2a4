"""Where another reader of a slot was when it stopped, so that this one goes on there. Never asks the server.

Another reader means one that keeps LSNs of its own, such as Debezium. What is saved here comes before it: it counts
only as long as nothing is, and its transaction in part only until a whole one is saved.
"""

from __future__ import annotations

from dataclasses import dataclass

from tailrace.error import ConfigError
from tailrace.source.postgres.place import PROGRESS, Place, parse_lsn

__all__ = ["Takeover"]

_XID_MAX = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Takeover:
    """`[pipeline.<name>.source.takeover]`: the slot's former reader had delivered every transaction that ends at
    `committed_lsn` or before, and of the one after that, `xid`, the rows up to `row_lsn`.

    Or, in place of these, its snapshot at `snapshot_lsn` and nothing else. With `trust_slot` the slot's own position
    counts where it is further: then its reader must have confirmed nothing that it had not delivered.
    """

    committed_lsn: str | None = None
    xid: int | None = None
    row_lsn: str | None = None
    snapshot_lsn: str | None = None
    trust_slot: bool = False

    def __post_init__(self) -> None:
        if (self.committed_lsn is None) == (self.snapshot_lsn is None):
            raise ConfigError("takeover needs committed_lsn or snapshot_lsn, and not both")
        if (self.xid is None) != (self.row_lsn is None) or (self.xid is not None and self.committed_lsn is None):
            raise ConfigError("takeover.xid and row_lsn belong together, beside committed_lsn")
        if self.xid is not None and not 0 < self.xid <= _XID_MAX:
            raise ConfigError(f"takeover.xid is {self.xid}, not 1 to {_XID_MAX}")
        for name in ("committed_lsn", "row_lsn", "snapshot_lsn"):
            _lsn(getattr(self, name), name)

    def begin(self, confirmed: int) -> int:
        """Where the stream begins on a slot that stands at `confirmed`.

        Behind a snapshot that is where the slot stands: what was written while it began may be in both, or in neither.
        """
        if self.committed_lsn is None:
            return confirmed
        committed = parse_lsn(self.committed_lsn)
        return max(committed, confirmed) if self.trust_slot else committed

    @property
    def delivered(self) -> int:
        """What the slot must not be beyond, unless it is trusted."""
        return parse_lsn(self.committed_lsn or self.snapshot_lsn or "0/0")

    def part(self, begin: Place) -> tuple[int, int] | None:
        """The transaction of which a stream from `begin` leaves out rows, and the LSN of the last; None for no such."""
        if self.xid is None or self.row_lsn is None:
            return None
        untouched = begin.phase == PROGRESS and begin.end == begin.lsn == self.delivered
        return (self.xid, parse_lsn(self.row_lsn)) if untouched else None


def _lsn(text: str | None, name: str) -> None:
    if text is None:
        return
    try:
        high, low = (int(part, 16) for part in text.split("/"))
        if not (0 <= high < 1 << 32 and 0 <= low < 1 << 32):
            raise ValueError
    except ValueError:
        raise ConfigError(f"takeover.{name} = {text!r} is not an LSN", hint='write it as in "16/B374D848"') from None
