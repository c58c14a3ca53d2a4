"""A connector's options while they are translated: what was looked at, what is wrong with it. Never writes a table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Refusal", "Values"]

_REFERENCE = re.compile(r"\$\{(?:(?P<provider>[A-Za-z]\w*):)?(?P<rest>[^}]*)\}")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An option that cannot be honoured: why, and what to do."""

    name: str
    why: str
    hint: str

    def __str__(self) -> str:
        return f"{self.name}: {self.why}; {self.hint}" if self.hint else f"{self.name}: {self.why}"


@dataclass(slots=True)
class Values:
    """The options of a connector by name; `refusals` and `notes` collect what there is to say about them."""

    options: Mapping[str, str]
    refusals: list[Refusal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def text(self, name: str, default: str = "") -> str:
        """The value without blanks around it; a reference to somewhere else is refused: it cannot be known here."""
        value = self.options.get(name, default).strip()
        if _REFERENCE.search(value):
            self.refuse(name, "its value is a reference, which is not resolved here", "write the value itself")
            return default
        return value

    def one_of(self, name: str, words: Mapping[str, str], default: str) -> str:
        """What the value means, by Debezium's words, in any case; another value is refused."""
        value = self.text(name, default).lower()
        if value in words:
            return words[value]
        self.refuse(name, f"{value!r} is not one of {', '.join(words)}", "")
        return words[default]

    def flag(self, name: str, *, default: bool) -> bool:
        """True or false, in any case."""
        words = {"true": "true", "false": ""}
        return bool(self.one_of(name, words, str(default).lower()))

    def refuse(self, name: str, why: str, hint: str) -> None:
        """Say that an option cannot be honoured."""
        self.refusals.append(Refusal(name, why, hint))

    def reference(self, name: str, variable: str) -> str | None:
        """How a secret is written: as it was when it is a reference that Tailrace has too, else as `${VARIABLE}`.

        A note says what to put there. None when there is no such option.
        """
        value = self.options.get(name)
        if value is None:
            return None
        match = _REFERENCE.fullmatch(value.strip())
        if match is None:
            self.notes.append(f"{name}: not written; set the environment variable {variable} to it")
            if "'" in value or "\\" in value:
                self.notes.append(f"{variable}: write \\' and \\\\ for the ' and \\ that are in {name}")
            return f"${{{variable}}}"
        provider, rest = match["provider"], match["rest"]
        if provider in (None, "env") and re.fullmatch(r"\w+", rest):
            return f"${{{rest}}}"
        if provider == "dir" and ":" in rest:
            folder, _, file = rest.rpartition(":")
            return f"${{file:{folder}/{file}}}"
        self.notes.append(f"{name}: it is {value.strip()}; set the environment variable {variable} to that")
        return f"${{{variable}}}"
