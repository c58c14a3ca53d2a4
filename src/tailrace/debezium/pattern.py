"""Java's regular expressions, as Debezium's lists of tables hold them, as globs. Never approximates.

What no finite list of globs matches just the same is an error that says which part of it is why.

Debezium matches the whole of `schema.table`, in any case; globs match case included, as the catalog has the names.
"""

from __future__ import annotations

import re
from itertools import product

from tailrace.error import ConfigError

__all__ = ["globs", "split"]

_GLOBS_MAX = 200
_CLASSES = {"d": "[0-9]", "w": "[A-Za-z0-9_]"}
_ANY, _ANY_RUN = "?", "*"

Part = tuple[str, ...]
"""What one place may be: texts that a glob may hold there, each an alternative."""


def split(value: str) -> list[str]:
    """The expressions of a list: between commas, a comma within one being written `\\,`."""
    parts = re.split(r"(?<!\\),", value)
    return [part.strip().replace("\\,", ",") for part in parts if part.strip()]


def globs(expression: str) -> list[str]:
    """The globs that match what the expression matches of `schema.table`, and nothing else."""
    reader = _Reader(expression)
    found = reader.alternatives()
    if reader.rest:
        raise reader.error("a ) without its (")
    return sorted({glob for each in found for glob in _with_dot(each, reader)})


def _with_dot(glob: list[str], reader: _Reader) -> list[str]:
    """A glob must show the dot between schema and table. Every name has one: if nothing else, a wildcard holds it."""
    if "." in glob:
        return ["".join(glob)]
    if any(len(atom) > 3 and (atom[1] == "!" or "." in atom) for atom in glob):
        raise reader.error("the dot between schema and table may be in one of its classes: write it as \\.")
    wild = [index for index, atom in enumerate(glob) if atom in (_ANY, _ANY_RUN)]
    if not wild:
        raise reader.error("it matches no schema.table: there is no dot in it")
    dotted = [[*glob[:at], *("." if glob[at] == _ANY else "*.*"), *glob[at + 1 :]] for at in wild]
    return ["".join(each) for each in dotted]


class _Reader:
    """A cursor over one expression. Yields lists of atoms: one character, `?`, `*` or a class."""

    def __init__(self, expression: str) -> None:
        self._whole = expression
        self.rest = expression

    def error(self, why: str) -> ConfigError:
        return ConfigError(
            f"the regular expression `{self._whole}` has no equal among globs: {why}",
            hint="name the tables, or say them with `.*`, `.`, [classes], (a|b) and ?",
        )

    def alternatives(self) -> list[list[str]]:
        found = self._sequence()
        while self._take("|"):
            found += self._sequence()
            self._limit(found)
        return found

    def _sequence(self) -> list[list[str]]:
        found: list[list[str]] = [[]]
        while self.rest and self.rest[0] not in "|)":
            choices = self._repeated(self._atom())
            found = [head + tail for head, tail in product(found, choices)]
            self._limit(found)
        return found

    def _limit(self, found: list[list[str]]) -> None:
        if len(found) > _GLOBS_MAX:
            raise self.error(f"it stands for more than {_GLOBS_MAX} globs")

    def _atom(self) -> list[list[str]]:
        rest = self.rest
        if rest.startswith("(?i)"):
            self.rest = rest[4:]
            return [[]]
        if rest.startswith("(?:"):
            return self._group(3)
        if rest.startswith("(?"):
            raise self.error("it looks around or sets a flag")
        if rest.startswith("("):
            return self._group(1)
        if rest.startswith("\\Q"):
            quoted, _, self.rest = rest[2:].partition("\\E")
            return [[_literal(char) for char in quoted]]
        if rest[0] == "[":
            return [[self._class()]]
        if rest[0] == "\\":
            return [[self._escape()]]
        self.rest = rest[1:]
        if rest[0] in "*+?{":
            raise self.error(f"{rest[0]!r} repeats nothing")
        if rest[0] in "^$":
            return [[]]
        return [[_ANY if rest[0] == "." else _literal(rest[0])]]

    def _group(self, opening: int) -> list[list[str]]:
        self.rest = self.rest[opening:]
        found = self.alternatives()
        if not self._take(")"):
            raise self.error("a ( without its )")
        return found

    def _escape(self) -> str:
        code, self.rest = self.rest[1:2], self.rest[2:]
        if code in _CLASSES:
            return _CLASSES[code]
        if not code or code.isalnum():
            raise self.error(f"of escapes only \\d, \\w, \\Q…\\E and signs are known, not \\{code}")
        return _literal(code)

    def _class(self) -> str:
        match = re.match(r"\[(\^?)((?:\\[^A-Za-z0-9]|[^\\\[\]&])+)\]", self.rest)
        if match is None:
            raise self.error("a class can hold characters and ranges only")
        self.rest = self.rest[match.end() :]
        if match[1]:
            return f"[!{self._members(match[2])}]"
        plain = re.sub(r"\\(.)", r"\1", match[2])
        return _literal(plain) if len(plain) == 1 else f"[{self._members(match[2])}]"

    def _members(self, text: str) -> str:
        if re.search(r"\\[\]\-^!]|^!", text):
            raise self.error("a class holds one of ] - ^ ! as a character")
        return re.sub(r"\\(.)", r"\1", text)

    def _repeated(self, choices: list[list[str]]) -> list[list[str]]:
        any_char = choices == [[_ANY]]
        if match := re.match(r"\{(\d+)\}", self.rest):
            self.rest = self.rest[match.end() :]
            found: list[list[str]] = [[]]
            for _ in range(int(match[1])):
                found = [head + tail for head, tail in product(found, choices)]
                self._limit(found)
            return found
        if match := re.match(r"[*+?]\+?\??|\{", self.rest):
            self.rest = self.rest[match.end() :]
            if match[0] == "?":
                return [[], *choices]
            if match[0] in ("*", "*?") and any_char:
                return [[_ANY_RUN]]
            if match[0] in ("+", "+?") and any_char:
                return [[_ANY, _ANY_RUN]]
            raise self.error(
                f"only `.` can be repeated, and not by {match[0]!r}"
                if any_char
                else "only `.` can be repeated by * and +"
            )
        return choices

    def _take(self, text: str) -> bool:
        if not self.rest.startswith(text):
            return False
        self.rest = self.rest[len(text) :]
        return True


def _literal(char: str) -> str:
    """A character as it stands in a glob."""
    return f"[{char}]" if char in "*?[" else char
