"""Decides where a stream begins, from what is saved and what the server still has. Never does I/O: facts in, road out.

The server helps little: it begins at the slot's confirmed position without a word when asked for an older one, and
skips without a word to a newer one that its history never had. So every contradiction is refused here (I6).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from tailrace.error import ConfigError, Fatal, HistoryLost, Retryable
from tailrace.model import Position
from tailrace.source.postgres.fault import RESET_HINT
from tailrace.source.postgres.gap import Gap
from tailrace.source.postgres.place import Lineage, Place, format_lsn, parse_lsn
from tailrace.source.postgres.slot import Slot
from tailrace.source.postgres.takeover import Takeover

_UNSYNCED = (
    "the slot was not (yet) synchronised to this server when it was promoted: `tailrace check` says what it needs"
)
_FEEDBACK = "set hot_standby_feedback = on at the standby, and give it a slot at its primary (primary_slot_name)"
_ANEW = "take `takeover` out of the configuration, and drop the slot if it is there: a new snapshot begins"
SnapshotMode = Literal["initial", "always", "never", "only", "when_needed"]


class Road(StrEnum):
    """What `open` does next."""

    SNAPSHOT = "snapshot"
    """Make the slot (anew) and read the tables at its consistent point."""
    FRESH = "fresh"
    """Make the slot and stream from its consistent point."""
    STREAM = "stream"
    """Stream from a place on the slot that there is."""
    DONE = "done"
    """Nothing is left to do."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The road and, where it continues, the place, which is `saved` or only found on the slot; `lost` is why a new
    snapshot replaces what was."""

    road: Road
    place: Place | None = None
    saved: bool = False
    lost: str | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """All that bears on the decision. What is fetched only when it is needed: `history`, the ancestors of the present
    timeline, and `diverged`, whether the log is another one than that in which a place was."""

    lineage: Lineage
    known: Mapping[str, Position | None]
    slot: Slot | None
    mode: SnapshotMode
    adopt: bool
    published: bool
    timeline: int
    wal_end: int
    history: Callable[[], Sequence[tuple[int, int]]]
    diverged: Callable[[Place], bool]
    standby: bool = False
    gap: Gap | None = None
    takeover: Takeover | None = None
    begins: bool = True
    """Nothing was opened yet since the process began: `always` means this start."""


def decide(situation: Situation) -> Decision:
    """The road; `HistoryLost` when the source cannot go on right after what is saved and may not begin anew."""
    check_slot(situation.slot, situation.lineage.database)
    if situation.mode == "always" and situation.begins and situation.known.get(str(situation.lineage)) is not None:
        return Decision(Road.SNAPSHOT, lost="a start")
    try:
        return _decide(situation)
    except HistoryLost as error:
        if situation.mode != "when_needed":
            raise
        if situation.slot is not None and str(situation.lineage) not in situation.known:
            if situation.takeover is not None:
                raise
            raise _unclaimed(situation.slot) from error  # starting anew would drop what is not ours
        return Decision(Road.SNAPSHOT, lost=str(error.args[0]))


def averted(situation: Situation, decision: Decision) -> Gap | None:
    """The record of a gap that did not come about: its process ended before it had dropped the slot, which goes on."""
    gap, place = situation.gap, decision.place
    if gap is None or place is None or situation.slot is None or decision.road is not Road.STREAM:
        return None
    return gap if place.end <= parse_lsn(gap.wal_end) else None


def check_slot(slot: Slot | None, database: str) -> None:
    """`ConfigError` for a slot of another kind, plugin, database or protocol under our name."""
    if slot is None:
        return
    if slot.type != "logical" or slot.plugin != "pgoutput":
        raise ConfigError(f"replication slot {slot.name!r} is not one of pgoutput", hint="give another name as `slot`")
    if slot.database != database:
        raise ConfigError(
            f"replication slot {slot.name!r} belongs to database {slot.database!r}, not {database!r}",
            hint="slot names are unique over a server: give another name as `slot`",
        )
    if slot.two_phase:
        raise ConfigError(
            f"replication slot {slot.name!r} was made with two_phase = true: it sends what is only prepared",
            hint="make it anew without, or give another name as `slot`: what is prepared comes when it commits",
        )


def _decide(situation: Situation) -> Decision:
    lineage = str(situation.lineage)
    if lineage not in situation.known:
        return _unknown(situation)
    position = situation.known[lineage]
    place = None if position is None else Place.of(position)
    if place is None and situation.takeover is not None:
        return _take_over(situation, situation.takeover)
    if place is None or not place.snapshot_complete:
        return _interrupted(situation)
    if situation.mode == "only":
        return Decision(Road.DONE, place, saved=True)
    _require_history(situation, place)
    _require_log(situation, place)
    return Decision(Road.STREAM, place, saved=True)


def _unknown(situation: Situation) -> Decision:
    slot, lineage = situation.slot, situation.lineage
    others = [name for name in situation.known if name != str(lineage)]
    if others:
        raise HistoryLost(
            f"the saved position is of {', '.join(others)}, but this is {lineage}",
            hint=f"after pg_upgrade `tailrace adopt` takes it over; else {RESET_HINT}",
        )
    if situation.takeover is not None:
        return _take_over(situation, situation.takeover)
    if slot is None:
        return Decision(Road.FRESH if situation.mode == "never" else Road.SNAPSHOT)
    if situation.mode == "never" and situation.adopt and slot.confirmed is not None:
        return Decision(Road.STREAM, Place.progress(slot.confirmed, situation.timeline))
    raise _unclaimed(slot)


def _take_over(situation: Situation, takeover: Takeover) -> Decision:
    """Go on where the former reader was. Its snapshot may be complete at a place that the slot has not reached."""
    slot = situation.slot
    confirmed = 0 if slot is None or slot.confirmed is None else slot.confirmed
    if confirmed > takeover.delivered and not takeover.trust_slot:
        raise HistoryLost(
            f"replication slot {situation.lineage.slot!r} was confirmed up to {format_lsn(confirmed)}, beyond"
            f" {format_lsn(takeover.delivered)}, where takeover says that its former reader was",
            hint="that reader still runs, or ran since: stop it and import its last offsets; trust_slot = true goes on"
            " from where the slot stands",
        )
    place = Place.progress(takeover.begin(confirmed), situation.timeline)
    try:
        _require_history(situation, place)
    except HistoryLost as error:
        raise HistoryLost(f"the slot cannot be taken over: {error.args[0]}", hint=_ANEW) from None
    return Decision(Road.STREAM, place)


def _unclaimed(slot: Slot) -> Fatal:
    return Fatal(
        f"replication slot {slot.name!r} exists, and no position of it is saved here: it is another pipeline's, or this"
        " one kept its position elsewhere",
        hint="start it where its state is (`state_dir`, by default the folder .tailrace, and the sink's file); or"
        f" give another `slot`; or drop it: SELECT pg_drop_replication_slot('{slot.name}'); or, if it was made for"
        ' this pipeline, go on from where it stands with create = false and snapshot = "never"',
    )


def _interrupted(situation: Situation) -> Decision:
    slot = situation.slot
    if situation.mode != "never":
        return Decision(Road.SNAPSHOT)
    if slot is None and situation.gap is not None:
        raise HistoryLost(_gone(situation, parse_lsn(situation.gap.confirmed)), hint=RESET_HINT)
    if slot is None or slot.confirmed is None:
        return Decision(Road.FRESH)
    # Nothing was delivered yet, so the slot still stands where its stream begins.
    return Decision(Road.STREAM, Place.progress(slot.confirmed, situation.timeline))


def _require_history(situation: Situation, place: Place) -> None:
    slot, end = situation.slot, format_lsn(place.end)
    name = situation.lineage.slot
    if slot is None:
        promoted = situation.timeline > place.timeline
        raise HistoryLost(
            _gone(situation, place.end),
            hint=f"{_UNSYNCED}; {RESET_HINT}" if promoted else RESET_HINT,
        )
    if not situation.published:
        raise HistoryLost(
            f"the publication of replication slot {name!r} was dropped: what was in it after {end} is not known",
            hint=RESET_HINT,
        )
    if slot.invalidation is not None or slot.confirmed is None:
        reason = slot.invalidation or "it was never usable"
        raise HistoryLost(f"replication slot {name!r} was invalidated by the server: {reason}", hint=_why(reason))
    if place.end < slot.confirmed:
        raise HistoryLost(
            f"replication slot {name!r} was confirmed up to {format_lsn(slot.confirmed)}, beyond the saved {end}:"
            " the server would skip what lies between",
            hint=f"an old checkpoint was restored, or another reader used the slot; {RESET_HINT}",
        )
    _require_timeline(situation, place)
    if place.end > situation.wal_end and situation.standby:
        raise Retryable(
            f"the standby has replayed up to {format_lsn(situation.wal_end)} only, and {end} is saved: it must catch up"
        )
    if place.end > situation.wal_end:
        raise HistoryLost(
            f"the saved position {end} lies after the end of the server's log, {format_lsn(situation.wal_end)}",
            hint=f"the server was restored from a backup or lost its tail in a failover; {RESET_HINT}",
        )


def _require_log(situation: Situation, place: Place) -> None:
    """The server's log is the one that was read, and not that of a backup which has gone on for longer than ours.

    A slot that was confirmed up to what is saved lived through it; one of a backup stands where it stood then. What was
    taken over from another reader need not be where a record ends.
    """
    slot = situation.slot
    if slot is None or situation.standby or situation.takeover is not None or place.timeline != situation.timeline:
        return
    if (slot.confirmed or 0) < place.end and situation.diverged(place):
        raise HistoryLost(
            f"the server's log has other records at the saved position {format_lsn(place.end)}: it is another log than"
            " the one that was read",
            hint=f"the server was restored from a backup and has gone on since; {RESET_HINT}",
        )


def _gone(situation: Situation, begin: int) -> str:
    """What became of a slot that is not there: the record says it, if it was us who dropped it."""
    gap, name = situation.gap, situation.lineage.slot
    if gap is None or parse_lsn(gap.wal_end) < begin:
        return f"replication slot {name!r} does not exist any more: the log after {format_lsn(begin)} is gone"
    return (
        f"replication slot {name!r} was dropped by this pipeline at {gap.dropped_at}, as it kept {gap.retained_bytes}"
        f" bytes of log (retained_bytes_max = {gap.retained_bytes_max}): what changed between {format_lsn(begin)} and"
        f" {gap.wal_end}, and since, is missing"
    )


def _require_timeline(situation: Situation, place: Place) -> None:
    if place.timeline == situation.timeline:
        return
    left = dict(situation.history()) if situation.timeline > place.timeline else {}
    switch = left.get(place.timeline)
    if switch is None:
        former = situation.timeline < place.timeline
        raise HistoryLost(
            f"the saved position is on timeline {place.timeline}, no ancestor of the server's {situation.timeline}",
            hint=f"is this a former primary? Then take it out of the url; else {RESET_HINT}" if former else RESET_HINT,
        )
    if switch < place.end:
        raise HistoryLost(
            f"timeline {place.timeline} was left at {format_lsn(switch)}, before the saved {format_lsn(place.end)}:"
            " this server never had what was delivered last",
            hint=f"a failover lost the tail of the log, which synchronized_standby_slots prevents; {RESET_HINT}",
        )


def _why(reason: str) -> str:
    settings = {
        "wal_removed": "raise max_slot_wal_keep_size, or keep the pipeline running",
        "rows_removed": _FEEDBACK,
        "conflict with recovery": _FEEDBACK,
        "idle_timeout": "raise idle_replication_slot_timeout, or keep the pipeline running",
        "wal_level_insufficient": "set wal_level = logical and restart the server",
    }
    advice = settings.get(reason)
    return f"{advice}; {RESET_HINT}" if advice else RESET_HINT
