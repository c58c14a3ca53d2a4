"""Where a pipeline would go on if it started now: `resume` decides as it does for a run. Claims and makes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING

from tailrace.dialect.postgres import session
from tailrace.error import Fatal, HistoryLost, Retryable, TailraceError
from tailrace.model import Finding, Limits, Position
from tailrace.source.postgres import foreign, gap, host, publication, resume, slot, wal
from tailrace.source.postgres.finding import error, ok, warning
from tailrace.source.postgres.opening import Names, wal_end
from tailrace.source.postgres.place import Lineage, format_lsn
from tailrace.source.postgres.resume import Road, Situation
from tailrace.source.postgres.walsender import Walsender

if TYPE_CHECKING:
    from tailrace.source.postgres.config import Postgres


def outlook(source: Postgres, name: str, saved: Mapping[str, Position | None]) -> list[Finding]:
    """One finding; none where a process reads the slot now, or where `check` has said more. Raises `HistoryLost`."""
    names = Names.of(source, name)
    with ExitStack() as held:
        try:
            side = held.enter_context(closing(session.connect(source.login)))
            found = slot.load(side, names.slot)
            if found is not None and found.active_pid is not None:
                return []
            resume.check_slot(found, side.info.dbname)
            walsender = Walsender(source.login, frame_bytes_max=Limits().frame_bytes_max)
        except TailraceError:  # the server, the role and the slot have findings of their own
            return []
        held.enter_context(closing(walsender))
        identity = walsender.identify()
        lineage = Lineage(identity.system, identity.database, names.slot)
        gaps = source.allowance.gaps
        situation = Situation(
            lineage=lineage,
            known=saved,
            slot=found,
            mode=source.snapshot,
            adopt=not source.create,
            published=publication.load(side, names.publication) is not None,
            timeline=identity.timeline,
            wal_end=wal_end(side),
            history=lambda: walsender.history(identity.timeline),
            diverged=partial(wal.diverged, side, source.login),
            standby=host.load(side).standby,
            gap=None if gaps is None else gap.last(gaps, str(lineage)),
            takeover=source.takeover,
        )
        told = {"name": names.publication, "pipeline": name}
        own = partial(foreign.require_own_rows, side, source, **told, lineage=lineage)
        return [_finding(situation, own)]


def _finding(situation: Situation, require_own_rows: Callable[[], None]) -> Finding:
    subject = f"slot {situation.lineage.slot}"
    try:
        decision = resume.decide(situation)
        if decision.road is Road.SNAPSHOT:
            require_own_rows()
    except HistoryLost:
        raise
    except Retryable as passing:
        return warning(subject, str(passing.args[0]), passing.hint)
    except Fatal as wrong:
        return error(subject, str(wrong.args[0]), wrong.hint)
    if decision.lost is not None and situation.mode == "when_needed":
        return warning(subject, f"{decision.lost}; snapshot = when_needed: a start makes a new snapshot")
    if decision.road is Road.SNAPSHOT:
        return ok(subject, "a start makes it and begins with a snapshot")
    if decision.place is None:
        return ok(subject, "a start makes it and begins with the changes from then on")
    return ok(subject, f"a start goes on after {format_lsn(decision.place.end)}")
