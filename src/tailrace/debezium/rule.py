"""What becomes of one option of a connector. Never names one: `option` has the table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from tailrace.format import OPTIONS

__all__ = ["Fate", "Rule", "dropped", "format_name", "refused", "shape", "taken"]


class Fate(StrEnum):
    """The three things that can become of an option."""

    HONOURED = "honoured"
    DROPPED = "dropped"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table. In `name`, `<…>` stands for a part that the user fills in.

    `to` is where it goes when it is honoured, `why` the reason when it is not, `hint` what to do when that is an error.
    A refused option with one of the values `harmless`, Debezium's default among them, is dropped.
    """

    name: str
    fate: Fate
    to: str = ""
    why: str = ""
    hint: str = ""
    harmless: tuple[str, ...] = ()

    def matches(self, name: str) -> bool:
        """Whether `name` is this option's."""
        pattern = re.sub(r"<[^>]+>", "(.+)", re.escape(self.name).replace("\\<", "<").replace("\\>", ">"))
        return re.fullmatch(pattern, name, re.DOTALL) is not None


def format_name(name: str) -> str:
    """The name in `[format]` of an option that shapes events. A salt stays as it is."""
    fixed, salted, salt = name.partition(".with.salt.")
    return (fixed + salted).replace(".", "_") + salt


def taken(name: str, to: str) -> Rule:
    """An option that is honoured."""
    return Rule(name, Fate.HONOURED, to)


def dropped(name: str, why: str) -> Rule:
    """An option that has no meaning here."""
    return Rule(name, Fate.DROPPED, why=why)


def refused(name: str, why: str, hint: str, *harmless: str) -> Rule:
    """An option that cannot be honoured."""
    return Rule(name, Fate.REFUSED, why=why, hint=hint, harmless=harmless)


def shape(name: str, *harmless: str, hint: str = "") -> Rule:
    """An option that shapes events: honoured if `[format]` has it."""
    ours = format_name(name)
    if any(option.matches(re.sub(r"<[^>]+>", "1", ours)) for option in OPTIONS):
        return Rule(name, Fate.HONOURED, f"`[format]` `{ours}`")
    return refused(
        name, "`[format]` has no such option", hint or "take it out, if the readers can do without", *harmless
    )
