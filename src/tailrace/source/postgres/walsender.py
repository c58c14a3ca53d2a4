"""Speaks the streaming replication protocol of the manual to a walsender. Never decodes what it reads.

psycopg opens the connection and passes commands and statuses on; the stream itself is drained in Rust, through the same
libpq, with the interpreter lock released.
"""

from __future__ import annotations

import logging
import select
import struct
import threading
import time
from dataclasses import dataclass
from typing import Literal

import psycopg
from psycopg import errors, pq, sql

from tailrace._native import Chunk, CopyReader
from tailrace.dialect.postgres import libpq
from tailrace.dialect.postgres.fault import told, translate
from tailrace.dialect.postgres.session import Connection, Login, connect_replication
from tailrace.error import CheckFailed, Fatal, HistoryLost, Retryable
from tailrace.source.postgres import host
from tailrace.source.postgres.fault import RESET_HINT, WAL_LEVEL_FIX, broken, translate_stream, waits_for_standby
from tailrace.source.postgres.host import Host
from tailrace.source.postgres.place import format_lsn, parse_lsn

_log = logging.getLogger("tailrace.source.postgres")
_STATUS = struct.Struct("!cqqqqB")
_DATA_HEADER_BYTES = 25
_EPOCH_2000_US = 946_684_800_000_000
_PATIENCE_S = 10.0
_FAREWELL_S = 1.0
_STOP_S = 0.1
_SKIPPED = "55000"
_RAISES_LEVEL = 190000
_ELDERS = "transactions that began earlier"
_STANDBY_SNAPSHOT = "its primary to log a snapshot; there SELECT pg_log_standby_snapshot() hastens it"


@dataclass(frozen=True, slots=True)
class Identity:
    """Which server and database this is, and on which timeline (IDENTIFY_SYSTEM)."""

    system: str
    timeline: int
    database: str


@dataclass(frozen=True, slots=True)
class CreatedSlot:
    """A new slot: where its stream begins, and the snapshot that shows the tables at that very point."""

    consistent_point: int
    snapshot: str | None


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """What START_REPLICATION asks of pgoutput."""

    slot: str
    publication: str
    origin: Literal["any", "none"]
    messages: bool
    streaming: bool


class Walsender:
    """One replication connection: first commands, then, after `start`, a stream that only its reader thread touches."""

    def __init__(self, login: Login, *, frame_bytes_max: int, stop: threading.Event | None = None) -> None:
        self._connection: Connection = connect_replication(login)
        self._frame_bytes_max = frame_bytes_max
        self._stop = stop or threading.Event()
        self._poll = select.poll()
        self._poll.register(self._pgconn.socket, select.POLLIN)
        self._reader: CopyReader | None = None
        self._slot = ""
        self._warning: str | None = None
        self._held_up: str | None = None
        self._send_error: psycopg.Error | None = None
        self._connection.add_notice_handler(self._note)

    @property
    def server_version(self) -> int:
        """As libpq numbers them: 180001 is 18.1."""
        return self._connection.info.server_version

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._connection.closed

    def identify(self) -> Identity:
        """IDENTIFY_SYSTEM."""
        system, timeline, _, database = self._row(sql.SQL("IDENTIFY_SYSTEM"), "identify the server")
        return Identity(system or "", int(timeline or 0), database or "")

    def host(self) -> Host:
        """Which server this connection reached."""
        started, standby = self._row(sql.SQL(host.STATEMENT), "ask the server for its role")
        return Host(started or "", standby == "1")

    def history(self, timeline: int) -> list[tuple[int, int]]:
        """TIMELINE_HISTORY: the ancestors of `timeline`, each with the LSN at which it was left."""
        _, content = self._row(
            sql.SQL("TIMELINE_HISTORY {}").format(timeline), f"read the history of timeline {timeline}"
        )
        lines = [line.split() for line in (content or "").splitlines()]
        return [(int(line[0]), parse_lsn(line[1])) for line in lines if line and not line[0].startswith("#")]

    def create_slot(self, name: str, *, temporary: bool, export: bool, failover: bool = False) -> CreatedSlot:
        """CREATE_REPLICATION_SLOT for pgoutput; waits for every transaction that runs now to end, and says so.

        An exported snapshot lives until the next command on this connection. `failover` is for 17 and newer.
        `CheckFailed` on a server whose settings do not allow it.
        """
        command = sql.SQL("CREATE_REPLICATION_SLOT {}{} LOGICAL pgoutput {}").format(
            sql.Identifier(name), sql.SQL(" TEMPORARY" if temporary else ""), self._slot_options(export, failover)
        )
        standby, doing = self.host().standby, f"create replication slot {name!r}"
        try:
            _, point, snapshot, _ = self._row(command, doing, _STANDBY_SNAPSHOT if standby else _ELDERS)
        except Fatal as error:
            if isinstance(error.__cause__, errors.ObjectNotInPrerequisiteState):
                raise self._unprepared(error, standby=standby) from error.__cause__
            raise
        return CreatedSlot(parse_lsn(point or "0/0"), snapshot)

    def require_log_level(self, name: str) -> None:
        """`CheckFailed` on a server that could make no slot `name`, before anything is made for it. From 19 on the
        server raises the level itself."""
        if self.server_version < _RAISES_LEVEL and (level := self._log_level()) != "logical":
            where = "here, and on the primary too: " if self.host().standby else ""
            raise CheckFailed(
                f"cannot create replication slot {name!r}: wal_level is {level}", hint=f"{where}{WAL_LEVEL_FIX}"
            )

    def keep_for_failover(self, name: str) -> None:
        """ALTER_REPLICATION_SLOT: from now on standbys shall have the slot too (17 and newer)."""
        self._do(
            sql.SQL("ALTER_REPLICATION_SLOT {} (FAILOVER true)").format(sql.Identifier(name)),
            f"turn on failover of replication slot {name!r}",
        )

    def drop_slot(self, name: str) -> None:
        """DROP_REPLICATION_SLOT: the only way to drop a temporary slot, which its own session keeps active."""
        self._do(sql.SQL("DROP_REPLICATION_SLOT {}").format(sql.Identifier(name)), f"drop replication slot {name!r}")

    def start(self, options: StreamOptions, lsn: int) -> None:
        """START_REPLICATION at `lsn`; from here on this is a stream. `HistoryLost` when it cannot begin there."""
        self._slot = options.slot
        command = _start_command(options, lsn, self.server_version)
        result = self._execute(command)
        if result.status != pq.ExecStatus.COPY_BOTH:
            raise translate_stream(errors.error_from_result(result), options.slot)
        self._pgconn.nonblocking = 1
        self._reader = CopyReader(libpq.path(), libpq.pointer(self._pgconn), frame_bytes_max=self._frame_bytes_max)

    def read_log(self, begin: int, nbytes: int) -> bytes:
        """START_REPLICATION PHYSICAL: that much of the log, as a standby gets it. Nothing but `close` may follow."""
        doing = f"read the log at {format_lsn(begin)}"
        result = self._execute(sql.SQL("START_REPLICATION PHYSICAL {}").format(sql.SQL(format_lsn(begin))), doing)
        if result.status != pq.ExecStatus.COPY_BOTH:
            raise translate(errors.error_from_result(result), doing)
        log, patience = b"", time.monotonic() + _PATIENCE_S
        with told(doing):
            while len(log) < nbytes:
                size, data = self._pgconn.get_copy_data(1)
                if size < 0:
                    raise psycopg.OperationalError("the server ended the stream")
                if bytes(data[:1]) == b"w":
                    log += bytes(data[_DATA_HEADER_BYTES:])
                elif size == 0:
                    if self._stop.is_set() or time.monotonic() > patience:
                        raise Retryable(f"cannot {doing}: stopped, or nothing came for {_PATIENCE_S:.0f} s")
                    self.wait(_STOP_S)
                    self._pgconn.consume_input()
        return log[:nbytes]

    def drain(self, bytes_max: int) -> Chunk:
        """All messages that wait, up to `bytes_max`; never blocks. Raises what ended the stream, if something did."""
        if self._reader is None:
            raise RuntimeError("this is no stream: not started yet, or closed")
        try:
            chunk = self._reader.drain(bytes_max)
        except OSError as error:
            raise self._broken(error) from error
        except OverflowError as error:
            raise Fatal(f"the stream of slot {self._slot!r} has {error}", hint=libpq.LARGE_HINT) from error
        if self._warning is not None:
            # From 18 on the server only warns, and skips what it cannot decode; before, it ended the stream.
            raise HistoryLost(f"the stream of slot {self._slot!r} has a hole: {self._warning}", hint=RESET_HINT)
        if self._reader.done and not len(chunk):
            self._raise_end()
        if self._send_error is not None and not len(chunk):
            raise self._broken(self._send_error) from self._send_error
        return chunk

    def wait(self, timeout_s: float) -> bool:
        """Wait until the socket has something to read; whether it has."""
        return bool(self._poll.poll(max(timeout_s, 0.0) * 1000))

    def send_status(self, *, received: int, confirmed: int, reply: bool) -> None:
        """Standby status update: `confirmed` is what the server may forget; `reply` asks for a keepalive at once.

        When it cannot be sent, the next `drain` says why: the server's last words wait to be read.
        """
        now_us = time.time_ns() // 1000 - _EPOCH_2000_US
        status = _STATUS.pack(b"r", max(received, confirmed), confirmed, confirmed, now_us, reply)
        try:
            self._pgconn.put_copy_data(status)
            self._pgconn.flush()
        except psycopg.Error as error:
            self._send_error = error

    def close(self) -> None:
        """End the stream politely, so that the server reads the last status and lets go of the slot, and close.

        Never raises; idempotent.
        """
        if self._connection.closed:
            return
        try:
            if self._reader is not None:
                self._say_farewell(self._reader)
        except (OSError, OverflowError, psycopg.Error) as error:
            _log.debug("the stream of slot %s did not end politely: %s", self._slot, _text(error))
        self._reader = None  # its pointer dies with the connection
        self._connection.close()

    @property
    def _pgconn(self) -> pq.abc.PGconn:
        return self._connection.pgconn

    def _note(self, notice: psycopg.errors.Diagnostic) -> None:
        if self._reader is None:
            return
        if waits_for_standby(notice):
            if self._held_up != notice.message_primary:
                self._held_up = notice.message_primary
                _log.warning("the server holds back changes of slot %s: %s", self._slot, self._held_up)
        elif notice.sqlstate == _SKIPPED:
            self._warning = notice.message_primary

    def _say_farewell(self, reader: CopyReader) -> None:
        self._pgconn.put_copy_end()
        self._pgconn.flush()
        deadline = time.monotonic() + _FAREWELL_S
        while (left_s := deadline - time.monotonic()) > 0:
            if not reader.done:
                reader.drain(1 << 20)
            if reader.done and self._is_over():
                return
            self.wait(min(0.05, left_s))

    def _is_over(self) -> bool:
        """The server has ended the command, behind the end of the stream: by then it has let go of the slot."""
        self._pgconn.consume_input()
        while not self._pgconn.is_busy():
            if self._pgconn.get_result() is None:
                return True
        return False

    def _broken(self, error: Exception) -> Retryable:
        return Retryable(f"{broken(self._slot)}: {_text(error)}")

    def _raise_end(self) -> None:
        with told(f"read from replication slot {self._slot!r}"):
            result = libpq.result(self._pgconn)
        if result is not None and result.status == pq.ExecStatus.FATAL_ERROR:
            raise translate_stream(errors.error_from_result(result), self._slot)
        raise Retryable(f"{broken(self._slot)}: the server ended the stream")

    def _unprepared(self, error: Fatal, *, standby: bool) -> CheckFailed:
        """Slots need settings that only a restart changes; on a standby those of its primary too."""
        fix = WAL_LEVEL_FIX if self._log_level() != "logical" else "`tailrace check` says what the server lacks"
        return CheckFailed(str(error.args[0]), hint=f"on the primary: {WAL_LEVEL_FIX}" if standby else fix)

    def _log_level(self) -> str:
        [level] = self._row(sql.SQL("SHOW wal_level"), "ask for wal_level")
        return level or ""

    def _slot_options(self, export: bool, failover: bool) -> sql.SQL:
        if self.server_version < 150000:
            return sql.SQL("EXPORT_SNAPSHOT" if export else "NOEXPORT_SNAPSHOT")
        snapshot = "SNAPSHOT 'export'" if export else "SNAPSHOT 'nothing'"
        return sql.SQL(f"({snapshot}, FAILOVER true)" if failover else f"({snapshot})")

    def _do(self, command: sql.Composable, doing: str) -> None:
        result = self._execute(command, doing)
        if result.status != pq.ExecStatus.COMMAND_OK:
            raise translate(errors.error_from_result(result), doing)

    def _row(self, command: sql.Composable, doing: str, waits_for: str = _ELDERS) -> list[str | None]:
        result = self._execute(command, doing, waits_for)
        if result.status != pq.ExecStatus.TUPLES_OK:
            error = errors.error_from_result(result)
            raise translate(error, doing) from error
        values = (result.get_value(0, i) for i in range(result.nfields))
        return [None if value is None else value.decode() for value in values]

    def _execute(
        self, command: sql.Composable, doing: str = "start the stream", waits_for: str = _ELDERS
    ) -> pq.abc.PGresult:
        """Run one command; unlike `PQexec` it can say what it waits for. Returns the last result, or COPY_BOTH."""
        connection, last, patience = self._pgconn, None, time.monotonic() + _PATIENCE_S
        try:
            connection.send_query(command.as_bytes(self._connection))
            while True:
                while connection.is_busy():
                    if self._stop.is_set():
                        self._connection.cancel_safe(timeout=_FAREWELL_S)
                        raise Retryable(f"stopped while waiting to {doing}")
                    if not self.wait(_STOP_S) and time.monotonic() > patience:
                        _log.warning("still waiting to %s: the server waits for %s", doing, waits_for)
                        patience = time.monotonic() + _PATIENCE_S
                    connection.consume_input()
                result = connection.get_result()
                if result is None or result.status == pq.ExecStatus.COPY_BOTH:
                    break
                last = result
        except psycopg.Error as error:
            raise Retryable(f"cannot {doing}: {_text(error)}") from error
        final = result or last
        if final is None:
            raise Retryable(f"cannot {doing}: the server gave no answer")
        return final


def _start_command(options: StreamOptions, lsn: int, server_version: int) -> sql.Composable:
    protocol = 4 if server_version >= 160000 else 3 if server_version >= 150000 else 2
    settings = {
        "proto_version": str(protocol),
        # pgoutput splits this as a list of identifiers.
        "publication_names": sql.Identifier(options.publication).as_string(None),
        "streaming": "on" if options.streaming else "off",
        "messages": "true" if options.messages else "false",
    }
    if protocol >= 4:
        settings["origin"] = options.origin
    named = sql.SQL(", ").join(sql.SQL("{} {}").format(sql.SQL(k), sql.Literal(v)) for k, v in settings.items())
    return sql.SQL("START_REPLICATION SLOT {} LOGICAL {} ({})").format(
        sql.Identifier(options.slot), sql.SQL(format_lsn(lsn)), named
    )


def _text(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
