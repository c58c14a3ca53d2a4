"""Globs of topics: which names they match, here and for the broker's client. Never asks a broker, imports no client."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tailrace.error import ConfigError

__all__ = ["is_glob", "is_wanted", "refuse_broken", "subscription"]

_GLOB = re.compile(r"[*?\[]")
_PIECE = re.compile(r"\[(!?)([\w.-]+)\]|(.)", re.ASCII)
_INTERNAL = "__"
"""How the names of Kafka's own topics begin: no glob takes one."""


def is_glob(topic: str) -> bool:
    """Whether `topic` stands for all that match it."""
    return _GLOB.search(topic) is not None


def refuse_broken(topics: Sequence[str]) -> None:
    """`ConfigError` for a glob that no name can match."""
    for topic in filter(is_glob, topics):
        try:
            if "[" in _PIECE.sub(lambda found: found[3] or "", topic):
                raise ValueError
            re.compile(_regex(topic))
        except (ValueError, re.error):
            raise ConfigError(
                f"the glob {topic!r} is broken",
                hint="[abc], [a-z] and [!abc] hold letters, digits, '.', '_' and '-'",
            ) from None


def subscription(topics: Sequence[str]) -> list[str]:
    """What librdkafka subscribes to: names, and regular expressions that begin with `^`."""
    return [_regex(topic) if is_glob(topic) else topic for topic in topics]


def is_wanted(name: str, topics: Sequence[str]) -> bool:
    """Whether the topic `name` is named in `topics`, or matches a glob of them."""
    if name in topics:
        return True
    globs = () if name.startswith(_INTERNAL) else filter(is_glob, topics)
    return any(re.fullmatch(_regex(glob), name) for glob in globs)


def _regex(glob: str) -> str:
    """The same for POSIX and for Python."""
    return f"^{_PIECE.sub(_translated, glob)}$"


def _translated(found: re.Match[str]) -> str:
    negated, members, other = found.groups()
    if members is not None:
        return f"[{'^' if negated else ''}{members}]"
    return {"*": ".*", "?": "."}.get(other, other if other.isalnum() or other in "_-" else f"\\{other}")
