"""What the headers of a record say of its value: that it is stored elsewhere, or what the data of a CloudEvent mean."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Message

from tailrace.dialect.kafka import claim
from tailrace.dialect.kafka.objects import Objects

__all__ = ["Headed", "headed", "read"]

_CLOUD = "ce_"
_OP = "ce_iodebeziumop"
"""Without it data are what they are without headers: plain, or an event."""
_CONFIGURE = "name where the sink stores such values: claim_check of the source"
_RESTORE = "bring the file back into that folder, and start again"


@dataclass(frozen=True, slots=True)
class Headed:
    """A record whose headers matter: these, its value as it came, and what it is to be read as."""

    headers: Mapping[str, str]
    raw: bytes | None
    value: bytes | None
    fault: str | None = None
    """Why it cannot be read."""
    hint: str | None = None

    @property
    def attributes(self) -> bytes | None:
        """Those of the CloudEvent whose data the value is, as JSON; None when it is none of a row."""
        if _OP not in self.headers:
            return None
        cloud = {name: text for name, text in self.headers.items() if name.startswith(_CLOUD)}
        return json.dumps({name.removeprefix(_CLOUD): text for name, text in cloud.items()}).encode()


def headed(message: Message, claims: Path | Objects | None) -> Headed | None:
    """What the headers of `message` say of its value; None when they say nothing, as most do. `claims` is the folder
    of values that are stored elsewhere."""
    headers = message.headers()
    return read(list(dict(headers).items()), message.value(), claims) if headers else None


def read(
    headers: Sequence[tuple[str, bytes | str | None]], raw: bytes | None, claims: Path | Objects | None
) -> Headed | None:
    """As `headed`, of headers and a value that were kept."""
    told = {name: _text(text) for name, text in headers if name == claim.HEADER or name.startswith(_CLOUD)}
    if claim.HEADER not in told and _OP not in told:
        return None
    try:
        "".join(told.values()).encode()
    except UnicodeEncodeError:
        return Headed(told, raw, raw, "a header that says what the value is, and is not UTF-8")
    if claim.HEADER not in told:
        return Headed(told, raw, raw)
    if claims is None:
        return Headed(told, raw, raw, "a claim check, and where their values are is not configured", _CONFIGURE)
    try:
        return Headed(told, raw, claim.fetch(raw, claims))
    except ValueError as error:
        return Headed(told, raw, raw, f"a claim check: {error}", _RESTORE)


def _text(value: bytes | str | None) -> str:
    """As it was sent: what is not UTF-8 can still be told from what is."""
    return value if isinstance(value, str) else (value or b"").decode(errors="surrogateescape")
