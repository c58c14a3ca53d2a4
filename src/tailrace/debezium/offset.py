"""Reads where a connector was from what it stored, and says where Tailrace goes on. Never asks a server.

Offsets are stored as a Java HashMap of byte arrays (the file of Kafka Connect standalone, of Debezium Server and of the
embedded engine), as JSON (`GET /connectors/NAME/offsets`) or as records of Kafka Connect's topic. They mean what
`PostgresOffsetContext` says: `lsn_commit` is the end of the last transaction that was delivered whole, `lsn` is the
last event's.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tailrace.error import ConfigError, HistoryLost

__all__ = ["Entry", "choose", "read", "takeover"]

_MAGIC = b"\xac\xed\x00\x05"
_WANTED = (
    "give the file of offset.storage.file.filename, the JSON of GET /connectors/NAME/offsets, or a record of Kafka"
    " Connect's offsets topic as text: its key, then its value"
)
_LOST = "Kafka's store writes the file in place; --from-slot takes over what the slot has, if the snapshot was complete"
_ROWS = ("INSERT", "UPDATE", "DELETE", "TRUNCATE")
_NULL, _REFERENCE, _CLASS, _OBJECT, _ARRAY = 0x70, 0x71, 0x72, 0x73, 0x75
_BLOCK, _END = 0x77, 0x78


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored offset: the connector's name (None where the store does not have it), its partition and the offset
    (None when it was removed)."""

    connector: str | None
    partition: Mapping[str, Any]
    offset: Mapping[str, Any] | None

    def __str__(self) -> str:
        return f"{self.connector or 'a connector'} {json.dumps(self.partition)}"


def read(path: Path) -> list[Entry]:
    """Every offset in a file; `ConfigError` when it holds none that is understood."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    if not content:
        raise ConfigError(f"{path} is empty: its connector was killed while it wrote", hint=_LOST)
    try:
        if content.startswith(_MAGIC):
            pairs = [(key, value) for key, value in _hash_map(content) if key is not None]
            return [_entry(json.loads(key), None if value is None else json.loads(value)) for key, value in pairs]
        return list(_from_text(content.decode("utf-8")))
    except (ValueError, struct.error, IndexError) as error:
        hint = _LOST if _MAGIC.startswith(content[:4]) or content.startswith(_MAGIC) else _WANTED
        raise ConfigError(f"{path} holds no offsets that are understood: {error}", hint=hint) from None


def choose(entries: list[Entry], *, name: str | None, prefix: str | None) -> Mapping[str, Any]:
    """The last offset of the connector `name` with this `topic.prefix`; `ConfigError` unless just one may be it."""
    ours = [
        entry
        for entry in entries
        if (prefix is None or entry.partition.get("server", prefix) == prefix)
        and (name is None or entry.connector in (None, name))
    ]
    meant = {str(entry): entry for entry in ours}  # a topic has older records before the last one
    if len(meant) > 1:
        raise ConfigError(
            f"which offset is meant is not clear: there are {', '.join(meant)}", hint="give just one of them"
        )
    found = next(iter(meant.values()), None)
    if found is None:
        stored = ", ".join(sorted({str(entry) for entry in entries})) or "none"
        raise ConfigError(f"there is no offset of connector {name} with topic.prefix {prefix}: stored are {stored}")
    if found.offset is None:
        raise ConfigError(f"the offset of {found} was removed", hint="without --offsets a snapshot begins")
    return found.offset


def takeover(offset: Mapping[str, Any], *, trust_slot: bool, in_part: bool) -> dict[str, str | int | bool]:
    """`[source.takeover]` for an offset. `in_part` lets a transaction that was delivered in part go on in its middle.

    `HistoryLost` when the initial snapshot was not complete, `ConfigError` when another kind of snapshot was running.
    """
    _require_streaming(offset)
    lsn, committed = _number(offset, "lsn"), _number(offset, "lsn_commit", "lsn_proc")
    trust: dict[str, str | int | bool] = {"trust_slot": True} if trust_slot else {}
    if committed is None:
        if lsn is None:
            raise ConfigError("the offset has neither lsn nor lsn_commit: it is not one of PostgreSQL's connector")
        return {"snapshot_lsn": _lsn(lsn), **trust}
    xid = _number(offset, "txId")
    begun: dict[str, str | int | bool] = {}
    if in_part and lsn is not None and xid and _is_within(offset, lsn, committed):
        begun = {"xid": xid & 0xFFFFFFFF, "row_lsn": _lsn(lsn)}
    return {"committed_lsn": _lsn(committed), **begun, **trust}


def _is_within(offset: Mapping[str, Any], lsn: int, committed: int) -> bool:
    """Whether the last event was of a transaction whose commit was not yet delivered.

    A row was, wherever it lies: the first one begins where the commit before it ended, and one that was written while
    another transaction committed lies in front of that. A message may be of no transaction, and then `txId` is an older
    one's.
    """
    if offset.get("messageType") == "MESSAGE":
        return lsn > committed or "lsn_commit" not in offset
    return offset.get("messageType") in _ROWS


def _require_streaming(offset: Mapping[str, Any]) -> None:
    running = str(offset.get("snapshot") or "").upper()
    complete = offset.get("snapshot_completed") or offset.get("last_snapshot_record")
    if running in ("INITIAL", "TRUE") and not complete:
        raise HistoryLost(
            "the connector's initial snapshot was not complete, so there is no position to take over",
            hint="drop its slot, and import without --offsets: a snapshot begins anew, as the connector's would have",
        )
    if running == "BLOCKING" and not complete:
        raise ConfigError("a blocking snapshot was running", hint="let the connector finish it, then stop it")
    collections = offset.get("incremental_snapshot_collections")
    if collections not in (None, "", "[]", []):
        raise ConfigError(
            "an incremental snapshot was running",
            hint="let the connector finish it, or stop it with a stop-snapshot signal; then stop the connector",
        )


def _number(offset: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        value = offset.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if value is not None:
            raise ConfigError(f"{name} in the offset is no number")
    return None


def _lsn(value: int) -> str:
    return f"{value >> 32 & 0xFFFFFFFF:X}/{value & 0xFFFFFFFF:X}"


def _from_text(text: str) -> Iterator[Entry]:
    """JSON of the REST interface, an offset alone, or records: a key and a value, with anything blank between."""
    documents = list(_documents(text))
    first = documents[0] if documents else None
    if isinstance(first, dict) and isinstance(first.get("offsets"), list):
        for each in first["offsets"]:
            yield Entry(None, each.get("partition") or {}, each.get("offset"))
    elif isinstance(first, dict) and "key" in first and "value" in first:
        yield from (_entry(_inner(each["key"]), _inner(each["value"])) for each in documents)
    elif isinstance(first, dict) and len(documents) == 1:
        yield Entry(None, {}, first)
    elif isinstance(first, list) and len(documents) % 2 == 0:
        yield from (_entry(key, value) for key, value in zip(documents[::2], documents[1::2], strict=True))
    else:
        raise ValueError("it is neither an offset, nor keys with their values")


def _documents(text: str) -> Iterator[Any]:
    decoder, at = json.JSONDecoder(), 0
    while (rest := text[at:].lstrip()) != "":
        at = len(text) - len(rest)
        document, at = decoder.raw_decode(text, at)
        yield document


def _inner(value: Any) -> Any:
    """A key or a value that a tool printed as JSON, or as a text that holds JSON."""
    return json.loads(value) if isinstance(value, str) else value


def _entry(key: Any, value: Any) -> Entry:
    if not (isinstance(key, list) and len(key) == 2 and isinstance(key[1], dict)):
        raise ValueError('a key is not of the form ["connector", {"server": "prefix"}]')
    if value is not None and not isinstance(value, dict):
        raise ValueError("a value is no JSON object")
    return Entry(str(key[0]), key[1], value)


def _hash_map(content: bytes) -> Iterator[tuple[bytes | None, bytes | None]]:
    """The entries of a serialised java.util.HashMap<byte[], byte[]> (Java Object Serialization Specification, 6)."""
    cursor = _Cursor(content, len(_MAGIC))
    cursor.expect(_OBJECT)
    if cursor.class_name() != b"java.util.HashMap":
        raise ValueError("it is a Java object, but no HashMap")
    cursor.take(8)  # loadFactor and threshold
    cursor.expect(_BLOCK)
    _, _, count = struct.unpack("!Bii", cursor.take(9))
    for _ in range(count):
        yield cursor.array(), cursor.array()
    cursor.expect(_END)


class _Cursor:
    """A place in a stream of Java's serialisation; every read is within its bounds."""

    def __init__(self, content: bytes, at: int) -> None:
        self._content = content
        self._at = at

    def take(self, count: int) -> bytes:
        taken = self._content[self._at : self._at + count]
        if count < 0 or len(taken) < count:
            raise ValueError("it ends early")
        self._at += count
        return taken

    def byte(self) -> int:
        return self.take(1)[0]

    def expect(self, wanted: int) -> None:
        if (found := self.byte()) != wanted:
            raise ValueError(f"byte {found:#04x} where {wanted:#04x} was expected")

    def text(self) -> bytes:
        return self.take(int.from_bytes(self.take(2), "big"))

    def class_name(self) -> bytes | None:
        """A class description, new or by reference (then None); its superclass is read over."""
        kind = self.byte()
        if kind == _NULL:
            return None
        if kind == _REFERENCE:
            self.take(4)
            return None
        if kind != _CLASS:
            raise ValueError(f"byte {kind:#04x} where a class was expected")
        name = self.text()
        self.take(9)  # serialVersionUID and flags
        for _ in range(int.from_bytes(self.take(2), "big")):
            if chr(self.byte()) in "[L":
                raise ValueError(f"a field of {name.decode(errors='replace')} is an object")
            self.text()
        self.expect(_END)
        self.class_name()
        return name

    def array(self) -> bytes | None:
        """A byte array; None for null."""
        kind = self.byte()
        if kind == _NULL:
            return None
        if kind != _ARRAY:
            raise ValueError(f"byte {kind:#04x} where an array was expected")
        self.class_name()
        return self.take(int.from_bytes(self.take(4), "big"))
