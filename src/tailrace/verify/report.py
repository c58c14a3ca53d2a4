"""What a comparison found, as values. Never holds a cell but those of keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from tailrace.comparison import Key

__all__ = ["KEYS_SHOWN", "Kind", "Report", "TableReport", "Verdict"]

KEYS_SHOWN = 10
UNSETTLED = "unsettled"


class Kind(StrEnum):
    """How a row of the target differs from the source's."""

    DIFFERENT = "different"
    MISSING = "missing"
    EXTRA = "extra"


class Verdict(StrEnum):
    """What has become of a key that looked different."""

    EQUAL = "equal"
    GONE = "gone"
    DIFFERENT = "different"
    MISSING = "missing"
    EXTRA = "extra"


@dataclass(slots=True)
class TableReport:
    """One table. `rows` are the source's; `parked` rows wait in the dead letters; `unsettled` ones were written so
    often, or by transactions so long, that nothing could be said of them.

    `obstacle` says why the table could not be compared; `left_out` are columns that were not. `keys` are the first of
    each kind, under the names of `key`.
    """

    table: str
    key: tuple[str, ...] = ()
    rows: int = 0
    different: int = 0
    missing: int = 0
    extra: int = 0
    parked: int = 0
    unsettled: int = 0
    repaired: int = 0
    seconds: float = 0.0
    left_out: tuple[str, ...] = ()
    obstacle: str | None = None
    keys: dict[str, list[Key]] = field(default_factory=dict)
    differing: list[Key] = field(default_factory=list)
    """Every key that differs, kept only when it is to be repaired."""

    @property
    def equal(self) -> int:
        """Rows of the source that the target holds as they are."""
        return max(0, self.rows - self.different - self.missing - self.parked - self.unsettled)

    @property
    def differences(self) -> int:
        """Rows that differ and were not repaired."""
        return max(0, self.different + self.missing + self.extra - self.repaired)

    def add(self, kind: Kind, key: Key, *, keep: bool) -> None:
        """Count one difference; its key is kept if it is among the first, or all of them with `keep`."""
        self._count(kind.value, key)
        if keep:
            self.differing.append(key)

    def add_unsettled(self, key: Key) -> None:
        """Count one row of which nothing could be said; its key is kept if it is among the first."""
        self._count(UNSETTLED, key)

    def more(self, kind: str) -> int:
        """Rows of a kind of `keys` whose keys were not kept."""
        return int(getattr(self, kind)) - len(self.keys[kind])

    def _count(self, kind: str, key: Key) -> None:
        setattr(self, kind, getattr(self, kind) + 1)
        shown = self.keys.setdefault(kind, [])
        if len(shown) < KEYS_SHOWN:
            shown.append(key)


@dataclass(frozen=True, slots=True)
class Report:
    """All tables of one pipeline."""

    pipeline: str
    tables: tuple[TableReport, ...]

    @property
    def exit_code(self) -> int:
        """0 all equal; 3 something differs or could not be compared; 75 only that something did not settle."""
        if any(table.differences or table.obstacle for table in self.tables):
            return 3
        return 75 if any(table.unsettled for table in self.tables) else 0
