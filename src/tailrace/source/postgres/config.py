"""The configuration of a PostgreSQL source, which is the source itself (`contract.Source`). Holds no connection."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal, get_args

from tailrace.contract import Positions, Source
from tailrace.dialect.postgres import session
from tailrace.dialect.postgres.session import Login
from tailrace.error import ConfigError
from tailrace.model import Finding, Limits, Position, Rest, Table
from tailrace.source.postgres import check, describing, host, orphan, outlook, pattern, publication, rest, slot, upgrade
from tailrace.source.postgres.guardian import Allowance, AtRetainedMax
from tailrace.source.postgres.opening import Names, Opening
from tailrace.source.postgres.publication import Wanted
from tailrace.source.postgres.resume import SnapshotMode, check_slot
from tailrace.source.postgres.stream import PostgresStream
from tailrace.source.postgres.takeover import Takeover
from tailrace.source.postgres.view import PostgresView

_log = logging.getLogger("tailrace.source.postgres")
_SLOT = re.compile(r"[a-z0-9_]{1,63}")
_READERS_MAX = 64


@dataclass(frozen=True, slots=True)
class Postgres:
    """Reads a database's changes from PostgreSQL's log, 14 or newer, through a slot of pgoutput.

    `url` is a URI or a conninfo string with anything that libpq understands. `tables` are `schema.table` globs, from
    which the publication is made; `/…/` is a regular expression, and `!` before a pattern leaves tables out. A
    publication that Tailrace made is extended when more tables match at the next start, and all of it is captured; one
    that somebody else made is never altered, and what matches is captured. Of a table that is added to a publication
    later, the rows from before are not in. `slot` and `publication` default to `tailrace_<pipeline>`.

    `snapshot`: `initial` reads the tables first; `never` begins with the changes; `only` ends after the tables and
    leaves no slot; `when_needed` is `initial` and makes a new snapshot where the others would raise `HistoryLost`;
    `always` makes a new one at every start of a process, whatever is saved, and not after a fault that passed.
    `origin="none"` leaves out what came by replication from elsewhere (16 or newer); a snapshot, which could not, is
    refused then of tables that another pipeline or a subscription fills. `temporary` leaves nothing on the
    server: its slot goes with the connection, and its publication with the stream.

    `failover` (17 or newer) has the slot synchronised to standbys, so that the stream goes on after one is promoted;
    the url then names all hosts and `target_session_attrs=read-write`.

    A slot that is not confirmed keeps log on the server's disk. Beyond `retained_bytes_alarm` that is told in the log,
    beyond `retained_bytes_max` as well, and `at_retained_max` says what happens then, also while the sink is stuck:
    `warn`: nothing else; `stop`: the pipeline ends with an error, the slot stays; `drop`: the slot is dropped, once the
    file `gaps` has recorded from where to where changes are missing, and `HistoryLost` says so now and at every start
    (`snapshot="when_needed"` begins anew). A start that finds more than the maximum gets a quarter more, to catch up.

    `takeover` continues a slot that another reader left, such as Debezium's, at the place where that one was: see
    `Takeover`. It counts as long as nothing is saved.

    `no_tables` makes a publication without tables, and never adds one: messages come, and what others add to it.
    `all_tables` makes one FOR ALL TABLES, as only a superuser may: a table that is made later is in it at once, and
    captured if it matches `tables`; a table without a replica identity loses UPDATE and DELETE, captured or not.

    `streaming="off"` has the server keep large transactions until they have ended, on its own disk.

    `heartbeat_action_query` is run every `heartbeat_action_interval_s`, with the role's own settings; one that fails is
    told in the log. `slot_drop_on_stop` drops the slot when the pipeline has stopped on purpose, not after a fault:
    what changes until the next start is not kept, so that start raises `HistoryLost` or makes a snapshot.

    `password_command` is run at every connection, without a shell; the one line that it prints is the password.
    """

    kind: ClassVar[str] = "postgres"

    url: str = field(repr=False)
    tables: Sequence[str] = ("*.*",)
    slot: str | None = None
    publication: str | None = None
    create: bool = True
    snapshot: SnapshotMode = "initial"
    snapshot_readers: int = 1
    origin: Literal["any", "none"] = "any"
    messages: bool = True
    streaming: Literal["on", "off"] = "on"
    publish_via_partition_root: bool = True
    publish_generated_columns: bool = True
    temporary: bool = False
    failover: bool = False
    retained_bytes_alarm: int | None = None
    retained_bytes_max: int | None = None
    at_retained_max: AtRetainedMax = "warn"
    gaps: str | Path | None = None
    takeover: Takeover | None = None
    password_command: str | None = field(default=None, repr=False)
    no_tables: bool = False
    all_tables: bool = False
    slot_drop_on_stop: bool = False
    heartbeat_action_query: str | None = field(default=None, repr=False)
    heartbeat_action_interval_s: float = 10.0
    begun: set[str] = field(default_factory=set, init=False, repr=False, compare=False)
    """The pipelines that this very object has begun: what `snapshot = "always"` means by a start."""
    unstreamed: set[str] = field(default_factory=set, init=False, repr=False, compare=False)
    """The pipelines whose next stream gets no transaction before its end, since the server failed to decode one."""

    thinned: dict[str, list[str]] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What was told last of what a pipeline's publication leaves out: the next stream tells what is new of it."""

    def __post_init__(self) -> None:
        _ = self.login
        if isinstance(self.tables, str):
            raise ConfigError("tables is one text", hint=f"write it as a list: [{self.tables!r}]")
        object.__setattr__(self, "tables", tuple(self.tables))
        pattern.validate(self.tables)
        if self.slot is not None and not _SLOT.fullmatch(self.slot):
            raise ConfigError(f"slot {self.slot!r} is not a slot's name", hint="use a-z, 0-9 and _, at most 63 of them")
        if self.publication is not None and not 0 < len(self.publication.encode()) < 64:
            raise ConfigError(f"publication {self.publication!r} is not a name of 1 to 63 bytes")
        _require(self.snapshot, get_args(SnapshotMode), "snapshot")
        _require(self.origin, ("any", "none"), "origin")
        _require(self.streaming, ("on", "off"), "streaming")
        self._require_allowance()
        if not 0.01 <= self.heartbeat_action_interval_s <= 86400:
            raise ConfigError(f"heartbeat_action_interval_s is {self.heartbeat_action_interval_s}, not 0.01 to 86400")
        if self.heartbeat_action_query is not None and not self.heartbeat_action_query.strip():
            raise ConfigError("heartbeat_action_query is empty", hint="write a statement, or take it out")
        if self.failover and self.temporary:
            raise ConfigError("failover = true needs a slot that stays, and temporary = true makes one that does not")
        if self.no_tables and self.all_tables:
            raise ConfigError("no_tables = true and all_tables = true contradict each other", hint="take one out")
        if not 1 <= self.snapshot_readers <= _READERS_MAX:
            raise ConfigError(f"snapshot_readers is {self.snapshot_readers}, not 1 to {_READERS_MAX}")

    def check(self) -> list[Finding]:
        """See `Source.check`."""
        return check.check(self)

    def check_start(self, name: str) -> list[Finding]:
        """See `Starting.check_start`: slot and publication are those of the pipeline, as `open` names them."""
        if self.temporary:
            return check.check(self)
        names = Names.of(self, name)
        return check.check(replace(self, slot=names.slot, publication=names.publication))

    def outlook(self, name: str, saved: Mapping[str, Position | None]) -> list[Finding]:
        """See `Starting.outlook`."""
        return [] if self.temporary else outlook.outlook(self, name, saved)

    def open(
        self,
        name: str,
        positions: Positions,
        limits: Limits,
        *,
        until_current: bool = False,
        stop: threading.Event | None = None,
    ) -> PostgresStream:
        """See `Source.open`."""
        return Opening(self, name, limits, stop=stop).open(positions, until_current=until_current)

    def drop(self, name: str) -> list[str]:
        """See `Source.drop`: the slot, and the publication if Tailrace made it."""
        names = Names.of(self, name)
        removed = []
        with session.connect(self.login) as connection:
            check_slot(slot.load(connection, names.slot), connection.info.dbname)
            if slot.drop(connection, names.slot):
                removed.append(f"replication slot {names.slot}")
            if host.load(connection).standby:
                _log.warning("publication %s stays: only the primary of this standby can drop it", names.publication)
            elif publication.drop(connection, names.publication):
                removed.append(f"publication {names.publication}")
        return removed

    def retire(self, name: str) -> None:
        """See `Retiring.retire`: the slot, if it does not stay beyond a stop."""
        if self.slot_drop_on_stop and not self.temporary:
            with session.connect(self.login) as connection:
                slot.drop(connection, Names.of(self, name).slot)

    def successor(self, name: str, saved: Mapping[str, Position | None]) -> tuple[Position, Position]:
        """See `Succeeded.successor`: the same slot on a server that pg_upgrade made of the one that was read."""
        return upgrade.successor(self, Names.of(self, name), saved)

    def retained_bytes(self, name: str) -> int | None:
        """See `Retaining.retained_bytes`: the WAL that the slot holds back."""
        with session.connect(self.login) as connection:
            found = slot.load(connection, Names.of(self, name).slot)
        return found.retained if found is not None else None

    def behind_bytes(self, name: str, saved: Mapping[str, Position | None]) -> int | None:
        """See `Retaining.behind_bytes`."""
        with session.connect(self.login) as connection:
            return rest.behind(connection, Names.of(self, name).slot, saved)

    def orphans(self, owners: Mapping[str, Source]) -> list[Finding]:
        """See `Orphaning.orphans`: slots, on all databases of the server, and publications."""
        ours = {name: source for name, source in owners.items() if isinstance(source, Postgres)}
        names = [Names.of(source, name) for name, source in ours.items() if not source.temporary]
        slots, publications = {each.slot for each in names}, {each.publication for each in names}
        return orphan.orphans(self.login, slots, publications)

    def view(self, name: str) -> PostgresView:
        """See `ComparableSource.view`."""
        return PostgresView(self, name)

    def tables_now(self, name: str) -> list[Table]:
        """See `Describing.tables_now`."""
        with session.connect(self.login) as connection:
            return describing.tables(connection, Names.of(self, name).publication, self.tables)

    def rest(self, name: str) -> Rest:
        """See `Leavable.rest`."""
        with session.connect(self.login) as connection:
            return rest.rest(connection, Names.of(self, name).publication, self.tables)

    def passed(self, name: str, saved: Mapping[str, Position | None], upto: str) -> bool:
        """See `Leavable.passed`."""
        return rest.passed(Names.of(self, name).slot, saved, upto)

    @property
    def login(self) -> Login:
        """Where to connect, and how the password is come by; `ConfigError` when that contradicts itself."""
        return Login(self.url, self.password_command)

    @property
    def allowance(self) -> Allowance:
        """What the slot may keep on the server."""
        gaps = None if self.gaps is None else Path(self.gaps)
        return Allowance(self.retained_bytes_alarm, self.retained_bytes_max, self.at_retained_max, gaps)

    def _require_allowance(self) -> None:
        for name in ("retained_bytes_alarm", "retained_bytes_max"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigError(f"{name} is {value}, not a number of bytes above 0")
        _require(self.at_retained_max, get_args(AtRetainedMax), "at_retained_max")
        if self.at_retained_max != "warn" and self.retained_bytes_max is None:
            raise ConfigError(f'at_retained_max = "{self.at_retained_max}" without retained_bytes_max')
        if self.at_retained_max == "drop" and self.gaps is None:
            raise ConfigError('at_retained_max = "drop" without gaps', hint="name the file where gaps are recorded")

    def wanted(self, pipeline: str, name: str, *, standby: bool = False) -> Wanted:
        """The publication that this source asks for under `name`; a tail is given one, or makes one of its own."""
        return Wanted(
            name=name,
            pipeline=None if self.temporary else pipeline,
            tables=tuple(self.tables),
            create=self.create and not (self.temporary and self.publication is not None),
            via_root=self.publish_via_partition_root,
            generated=self.publish_generated_columns,
            standby=standby,
            no_tables=self.no_tables,
            all_tables=self.all_tables,
        )


def _require(value: str, allowed: Sequence[str], name: str) -> None:
    if value not in allowed:
        raise ConfigError(f"{name} = {value!r} is not one of {', '.join(allowed)}")
