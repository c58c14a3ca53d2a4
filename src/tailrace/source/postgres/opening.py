"""Opens the source, step by step in the one order that loses nothing: look, decide, claim, make, read.

Never reads a change. The claim is recorded before anything is made on the server, so that what is found there later is
known to be ours.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from psycopg import sql

from tailrace._native import Select
from tailrace.contract import Positions
from tailrace.dialect.postgres.session import Connection, connect, fetch, run
from tailrace.dialect.postgres.witness import Witness, silence_s
from tailrace.error import CheckFailed, ConfigError, HistoryLost, Retryable, TailraceError
from tailrace.model import Batch, Limits
from tailrace.source.postgres import foreign, gap, host, pattern, plan, publication, resume, slot, snapshot, wal
from tailrace.source.postgres.fault import Undecoded
from tailrace.source.postgres.guardian import Guardian
from tailrace.source.postgres.heartbeat import Heartbeat
from tailrace.source.postgres.host import Host
from tailrace.source.postgres.loop import Watch
from tailrace.source.postgres.measure import Measure
from tailrace.source.postgres.place import Lineage, Place, format_lsn, parse_lsn
from tailrace.source.postgres.plan import Moved
from tailrace.source.postgres.publication import Publication
from tailrace.source.postgres.receiver import Course, Receiver
from tailrace.source.postgres.resume import Decision, Road, Situation
from tailrace.source.postgres.roster import Roster
from tailrace.source.postgres.snapshot import Bounds, Exported, Snapshot
from tailrace.source.postgres.stream import Describer, Opened, PostgresStream
from tailrace.source.postgres.walsender import CreatedSlot, StreamOptions, Walsender

if TYPE_CHECKING:
    from tailrace.source.postgres.config import Postgres

_log = logging.getLogger("tailrace.source.postgres")
_ATTEMPTS = 5
_LOCK_PATIENCE = sql.SQL("SET lock_timeout = '2s'")
"""What one table that is locked holds back of the catalog must not hold up the others."""
_WAL_END = (
    "SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END)::text"
)


@dataclass(frozen=True, slots=True)
class Names:
    """What the slot and the publication of a pipeline are called."""

    slot: str
    publication: str

    @classmethod
    def of(cls, source: Postgres, pipeline: str) -> Names:
        """As configured, else after the pipeline; a tail's are unique."""
        if source.temporary:
            name = f"tailrace_tail_{os.getpid()}_{secrets.token_hex(4)}"
        else:
            name = "tailrace_" + "".join(c if c.isascii() and c.isalnum() else "_" for c in pipeline.lower())
        if len(name) > 63 and source.slot is None:
            raise ConfigError(f"slot name {name!r} is longer than 63 characters", hint="give a shorter `slot`")
        return cls(source.slot or name, source.publication or name)


@dataclass(frozen=True, slots=True)
class _Scene:
    side: Connection
    walsender: Walsender
    lineage: Lineage
    timeline: int
    host: Host


class Opening:
    """One call of `Postgres.open`: holds the connections until the stream owns them."""

    def __init__(self, source: Postgres, pipeline: str, limits: Limits, *, stop: threading.Event | None = None) -> None:
        self._source = source
        self._pipeline = pipeline
        self._limits = limits
        self._stop = stop
        self._names = Names.of(source, pipeline)
        self._resources = ExitStack()

    def open(self, positions: Positions, *, until_current: bool) -> PostgresStream:
        """Do all the steps; on any error everything that was opened is closed again."""
        with ExitStack() as guard:
            guard.push(self._resources)
            stream = PostgresStream(self._open(positions, until_current))
            guard.pop_all()
            return stream

    def _open(self, positions: Positions, until_current: bool) -> Opened:
        side = self._resources.enter_context(closing(connect(self._source.login)))
        run(side, _LOCK_PATIENCE, "bound the wait for locks")
        walsender = self._resources.enter_context(closing(self._walsender()))
        _require_release(walsender.server_version, self._source)
        here = host.load(side)
        host.require_same(here, walsender.host())
        there = slot.load(side, self._names.slot)
        host.require_role(here, walsender.server_version, slot=there, failover=self._source.failover)
        if self._source.origin == "none":
            Watch(side)()
        # Complain about names before anything is recorded or made.
        pattern.choose(self._source.tables, publication.relations(side))
        identity = walsender.identify()
        lineage = Lineage(identity.system, identity.database, self._names.slot)
        scene = _Scene(side, walsender, lineage, identity.timeline, here)
        situation = self._situation(scene, positions)
        decision = resume.decide(situation)
        if decision.road in {Road.SNAPSHOT, Road.FRESH}:
            walsender.require_log_level(self._names.slot)
        if decision.road is Road.SNAPSHOT:
            self._require_own_rows(scene)
        self._claim(scene, positions, decision)
        if decision.road is Road.SNAPSHOT:
            self._look_again(scene, positions, new=not situation.known)
        self._source.begun.add(self._pipeline)
        if averted := resume.averted(situation, decision):
            _log.warning(
                "replication slot %s is there: it was not dropped at %s, as %s records, and nothing is missing",
                self._names.slot,
                averted.dropped_at,
                self._source.gaps,
            )
        return self._go(scene, decision, until_current)

    def _require_own_rows(self, scene: _Scene) -> None:
        names = {"name": self._names.publication, "pipeline": self._pipeline}
        foreign.require_own_rows(scene.side, self._source, **names, lineage=scene.lineage)

    def _look_again(self, scene: _Scene, positions: Positions, *, new: bool) -> None:
        """Of two that start at once each has claimed before it looks again. One that is refused leaves nothing, or the
        other would be refused for a claim of nobody."""
        try:
            self._require_own_rows(scene)
        except CheckFailed:
            if new:
                positions.forget()
            raise

    def _situation(self, scene: _Scene, positions: Positions) -> Situation:
        # Whoever had the slot saves and confirms until it lets go: what was saved is read behind that.
        free = slot.load_free(scene.side, scene.lineage.slot, self._stop)
        known = positions.known()
        if self._source.temporary and known:
            raise HistoryLost(
                "the temporary slot went with its connection", hint="start again; nothing was kept, on purpose"
            )
        return Situation(
            lineage=scene.lineage,
            known=known,
            slot=free,
            mode=self._source.snapshot,
            adopt=not self._source.create,
            published=publication.load(scene.side, self._names.publication) is not None,
            timeline=scene.timeline,
            wal_end=wal_end(scene.side),
            history=lambda: scene.walsender.history(scene.timeline),
            diverged=partial(wal.diverged, scene.side, self._source.login, stop=self._stop),
            standby=scene.host.standby,
            gap=gap.last(gaps, str(scene.lineage)) if (gaps := self._source.allowance.gaps) is not None else None,
            takeover=self._source.takeover,
            begins=self._pipeline not in self._source.begun,
        )

    def _claim(self, scene: _Scene, positions: Positions, decision: Decision) -> None:
        lineage = str(scene.lineage)
        known = positions.known().get(lineage)
        if decision.lost is not None:
            mode = self._source.snapshot
            level = logging.INFO if mode == "always" else logging.WARNING
            _log.log(level, "%s; snapshot = %s: starting again with a new snapshot", decision.lost, mode)
            slot.drop(scene.side, scene.lineage.slot, self._stop)
            positions.forget()
            known = None
        if positions.claim(lineage) != known:
            raise Retryable(f"the position of {lineage} moved while it was opened: another process uses this pipeline")

    def _go(self, scene: _Scene, decision: Decision, until_current: bool) -> Opened:
        place = decision.place
        if decision.road is Road.DONE and place is not None:
            return Opened(scene.lineage, place, None, None, resources=self._resources)
        found = self._publication(scene)
        globs = publication.selection(scene.side, found, self._source.tables)
        taken = None
        if decision.road is Road.SNAPSHOT:
            taken, place = self._snapshot(scene, globs)
        elif place is None:
            slot.drop(scene.side, scene.lineage.slot, self._stop)
            place = Place.progress(self._create_slot(scene, export=False).consistent_point, scene.timeline)
        elif self._source.failover:
            self._keep_for_failover(scene)
        first = None if taken or decision.saved else Batch.progress(place.position(str(scene.lineage)))
        until = wal_end(scene.side) if until_current else None
        takeover = self._source.takeover
        part = None if takeover is None else takeover.part(place)
        streaming = self._source.streaming == "on" and self._pipeline not in self._source.unstreamed
        self._source.unstreamed.discard(self._pipeline)
        course = Course(scene.lineage, scene.timeline, place, until, part, streaming)
        measure = Measure(scene.side, scene.lineage.slot, Roster(found.name, globs))
        measure.ask()  # what is published now is what is missed later
        measure.settle()
        guardian = None
        if self._source.retained_bytes_alarm is not None or self._source.retained_bytes_max is not None:
            guardian = Guardian(
                measure,
                self._source.allowance,
                lineage=str(scene.lineage),
                slot=scene.lineage.slot,
                side=scene.side,
            )
        describe = Describer(scene.side, found.name, globs=globs, slot=scene.lineage.slot, settle=measure.settle)
        follow = (
            None
            if self._source.snapshot == "only"
            else partial(self._follow, scene, course, describe=describe, measure=measure)
        )
        return Opened(
            scene.lineage,
            place,
            taken,
            follow,
            first=first,
            keep=None if globs is None else Select(tables=globs),
            watches=self._watches(scene, measure),
            give_up=partial(self._give_up, scene) if self._source.snapshot == "when_needed" else None,
            decode_less=self._decode_less if streaming and not self._source.temporary else None,
            guardian=guardian,
            resources=self._resources,
        )

    def _decode_less(self, error: Undecoded) -> Retryable:
        """What PostgreSQL cannot decode of a transaction that it takes for one in progress, it can once it has ended:
        then it skips what was rolled back in it."""
        self._source.unstreamed.add(self._pipeline)
        return Retryable(f"{error.args[0]}; the next stream gets transactions once they have ended")

    def _give_up(self, scene: _Scene, lost: HistoryLost) -> Retryable:
        """Let go of a slot that cannot go on, so that the next `open` finds it gone and begins anew."""
        slot.drop(scene.side, scene.lineage.slot, self._stop)
        return Retryable(f"{lost.args[0]}; snapshot = when_needed: a new one follows")

    def _follow(self, scene: _Scene, course: Course, *, describe: Describer, measure: Measure) -> Receiver:
        walsender = scene.walsender
        if walsender.closed:
            walsender = self._resources.enter_context(closing(self._walsender()))
            host.require_same(scene.host, walsender.host())
        options = StreamOptions(
            self._names.slot,
            self._names.publication,
            self._source.origin,
            messages=self._source.messages,
            streaming=course.streaming,
        )
        walsender.start(options, course.begin.end)
        measure.settle()
        timeout_s = slot.sender_timeout_s(scene.side)
        statement = self._source.heartbeat_action_query
        if statement is not None:
            beat = Heartbeat(self._source.login, statement, self._source.heartbeat_action_interval_s)
            self._resources.enter_context(closing(beat))
        return Receiver(
            walsender, course, describe=describe, measure=measure, limits=self._limits, sender_timeout_s=timeout_s
        )

    def _snapshot(self, scene: _Scene, globs: tuple[str, ...] | None) -> tuple[Snapshot, Place]:
        witness = Witness(self._source.login, silence_s(slot.sender_timeout_s(scene.side)))
        bounds = Bounds(
            self._source.snapshot_readers, self._limits.segment_bytes, self._limits.frame_bytes_max, witness
        )
        slot.drop(scene.side, scene.lineage.slot, self._stop)
        for attempt in range(1, _ATTEMPTS + 1):
            files = plan.files(scene.side, plan.tables_of(scene.side, self._names.publication, globs))
            made = self._create_slot(scene, export=True)
            exported = Exported(made.snapshot or "", self._names.publication, globs, files)
            place = Place.progress(made.consistent_point, scene.timeline)
            try:
                taken = snapshot.begin(self._source.login, exported, lineage=scene.lineage, place=place, bounds=bounds)
            except Moved as moved:
                _log.warning("attempt %d to begin a snapshot is thrown away: %s", attempt, moved)
                scene.walsender.drop_slot(scene.lineage.slot)
                continue
            # Its locks hold up DDL, for which what is left to ask of the catalog may wait in vain.
            self._resources.callback(taken.close)
            if not self._source.temporary:
                scene.walsender.close()  # a snapshot may last for hours; the stream gets a connection of its own
            return taken, place
        raise Retryable(
            f"tables were rewritten or truncated during each of {_ATTEMPTS} attempts to begin a snapshot",
            hint="wait until the maintenance that does it is over",
        )

    def _create_slot(self, scene: _Scene, *, export: bool) -> CreatedSlot:
        temporary = self._source.temporary or self._source.snapshot == "only"
        failover = self._source.failover and not temporary
        made = scene.walsender.create_slot(scene.lineage.slot, temporary=temporary, export=export, failover=failover)
        _log.info("created replication slot %s at %s", scene.lineage.slot, format_lsn(made.consistent_point))
        return made

    def _keep_for_failover(self, scene: _Scene) -> None:
        there = slot.load(scene.side, scene.lineage.slot)
        if there is not None and not there.failover:
            scene.walsender.keep_for_failover(there.name)
            _log.info("turned on failover of replication slot %s", there.name)

    def _watches(self, scene: _Scene, measure: Measure) -> tuple[Callable[[], None], ...]:
        """What is asked before what was read is handed on.

        From a standby, whether the timeline is still ours: positions tell theirs, and no session with SQL can be asked
        for that of a standby. With origin = "none", whether what pipelines write here is marked.
        """
        marked = (Watch(scene.side, measure.settle),) if self._source.origin == "none" else ()
        if not scene.host.standby:
            return marked
        asked = self._resources.enter_context(closing(self._walsender()))
        host.require_same(scene.host, asked.host())
        return (partial(host.require_timeline, scene.timeline, lambda: asked.identify().timeline), *marked)

    def _walsender(self) -> Walsender:
        return Walsender(self._source.login, frame_bytes_max=self._limits.frame_bytes_max, stop=self._stop)

    def _publication(self, scene: _Scene) -> Publication:
        side, standby = scene.side, scene.host.standby
        own = self._source.temporary and self._source.publication is None and not standby
        wanted = self._source.wanted(self._pipeline, self._names.publication, standby=standby)
        if own:
            publication.sweep(side)
            publication.lock(side, wanted.name)
            self._resources.callback(_drop_publication, side, wanted.name)
        found = publication.ensure(side, wanted)
        left_out = publication.thinned(side, found.name) if found.ours else []
        told = self._source.thinned.get(self._pipeline, [])
        for what in left_out:
            if what not in told:
                _log.warning("publication %s was made to leave out %s; %s", found.name, what, publication.WHOLE)
        self._source.thinned[self._pipeline] = left_out
        return found


def _drop_publication(side: Connection, name: str) -> None:
    try:
        publication.drop(side, name)
    except TailraceError as error:
        _log.info("publication %s stays until the next tail sweeps it: %s", name, error.args[0])


def wal_end(side: Connection) -> int:
    """Where the log ends: on a standby, what was replayed of it."""
    ((text,),) = fetch(side, _WAL_END)
    return parse_lsn(text)


def _require_release(server_version: int, source: Postgres) -> None:
    if server_version < 140000:
        raise CheckFailed(f"the server is PostgreSQL {server_version // 10000}", hint="14 is the oldest that works")
    if source.failover and server_version < 170000:
        raise ConfigError(
            f"failover = true needs PostgreSQL 17, the server is {server_version // 10000}", hint="set failover = false"
        )
    if source.origin == "none" and server_version < 160000:
        raise ConfigError(
            f'origin = "none" needs PostgreSQL 16, the server is {server_version // 10000}', hint='set origin = "any"'
        )
