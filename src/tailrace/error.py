"""The error tree: each class is named by what the runtime does next. Never raises, logs or formats row values.

TailraceError            exit 1
├── Retryable            exit 75  reopen after a pause
├── Fatal                exit 1   stop; a human must act
│   ├── ConfigError      exit 2   the configuration or the command line is wrong
│   ├── CheckFailed      exit 3   the source or the sink lacks something
│   ├── HistoryLost      exit 4   the source no longer has what comes after the saved position
│   ├── Refused          exit 5   the sink refused changes and there are no dead letters to park them in
│   └── Fenced           exit 1   another process owns this pipeline now
└── Reject               (never leaves the pipeline) park these changes in the dead letters
EndOfStream              (not an error) a bounded stream has delivered all that it will
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import ClassVar


class TailraceError(Exception):
    """What went wrong and where, in one line; `hint` says what to do next, None where nobody knows.

    `exit_code` is that of a command which ends with it. `str(error)` has both lines.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(_writable(message))
        self.hint = None if hint is None else _writable(hint)

    def __str__(self) -> str:
        message = str(self.args[0]) if self.args else type(self).__name__
        return f"{message}\n  hint: {self.hint}" if self.hint else message


class Retryable(TailraceError):
    """A fault that passes: the pipeline closes what it holds and opens again after a pause."""

    exit_code = 75


class Fatal(TailraceError):
    """A fault that does not pass by itself: the pipeline stops and nothing is lost or skipped."""


class ConfigError(Fatal):
    """The configuration, a URL or the command line is wrong; nothing was started."""

    exit_code = 2


class CheckFailed(Fatal):
    """The source or the sink lacks something that the pipeline needs; `tailrace check` lists it all."""

    exit_code = 3


class HistoryLost(Fatal):
    """The source cannot continue right after the saved position: `tailrace reset`, or `App.drop`, starts again with a
    snapshot."""

    exit_code = 4


class Refused(Fatal):
    """The sink refused changes for good and the pipeline has no dead letters."""

    exit_code = 5


class Fenced(Fatal):
    """Another process has claimed this pipeline since; this one must not write any more."""


class Reject(TailraceError):
    """Changes of the offered batch that can never succeed: index in the batch to reason (without row values).

    A plain string is the reason for the one change at hand: `raise Reject("unknown currency")` in a handler. Over
    several it is not `named`: it does not say which of them is refused. `written` are changes of the same batch that
    the sink holds durably already, or that a handler of lists is done with: they are neither offered again nor parked.
    A transform writes nothing, and names none.
    """

    def __init__(self, reasons: Mapping[int, str] | str, *, written: Iterable[int] = ()) -> None:
        self.named = not isinstance(reasons, str)
        self.reasons = {0: reasons} if isinstance(reasons, str) else dict(reasons)
        self.written = frozenset(written)
        super().__init__(f"{len(self.reasons)} change(s) rejected")

    def checked(self, size: int, who: str) -> dict[int, str]:
        """The reasons of a Reject that `who` raised over `size` changes; `Fatal` when it names none of them.

        So it is when `written` has others than changes of the batch, or one that is refused: it would be parked.
        """
        if not self.named and size > 1:
            raise Fatal(
                f"{who} raised Reject over {size} changes without naming which of them: {self.reasons[0]}",
                hint='raise Reject({index: "reason"}), with the place of the change in its batch',
            )
        return self._checked(self.reasons, size, who)

    def suspected(self, size: int, who: str) -> dict[int, str]:
        """As `checked`, where `who` can be called again with fewer: of a Reject that names none, the reason is that of
        each change that is not written, and only one that is refused alone is to be parked."""
        if self.named or size == 1:
            return self.checked(size, who)
        written = {_place(index, size, who) for index in self.written}
        return self._checked({index: self.reasons[0] for index in range(size) if index not in written}, size, who)

    def _checked(self, reasons: Mapping[int, str], size: int, who: str) -> dict[int, str]:
        checked = {_place(index, size, who): _writable(reason) for index, reason in reasons.items()}
        if not checked:
            raise Fatal(f"{who} raised Reject without naming a change of the batch")
        self.written = frozenset(_place(index, size, who) for index in self.written)
        if both := self.written & checked.keys():
            raise Fatal(
                f"{who} raised Reject with change {min(both)} of the batch among the refused and the written ones",
                hint='raise Reject({index: "reason"}, written=[index, …]), each index in one of them',
            )
        return checked

    def refused(self, size: int, who: str) -> dict[int, str]:
        """As `checked`, where `who` writes nothing, a transform: `Fatal` when it says that changes are written."""
        checked = self.checked(size, who)
        if self.written:
            raise Fatal(
                f"{who} raised Reject with change {min(self.written)} of the batch as written, and writes nothing",
                hint="leave `written` out: the batch comes again without what it refuses, and is returned whole then",
            )
        return checked


def _writable(text: object) -> str:
    """Text that any file and any stream takes: half a surrogate pair, which a json column or a file's name can bring
    along, is escaped."""
    return str(text).encode(errors="backslashreplace").decode()


def _place(index: object, size: int, who: str) -> int:
    try:
        number = operator.index(index)  # type: ignore[arg-type]
    except TypeError:
        raise Fatal(
            f"{who} raised Reject with {type(index).__name__} in place of an index of its batch",
            hint='raise Reject({index: "reason"})',
        ) from None
    if not 0 <= number < size:
        raise Fatal(f"{who} raised Reject without naming a change of the batch: it has {size}")
    return number


class EndOfStream(Exception):
    """A bounded stream has delivered everything up to its bound."""


def trace(error: BaseException) -> str:
    """Where an error and its causes came from, as Python prints it, for debugging.

    Messages stand only for our own errors: those of others may quote row values (I9), and only their types are told.
    """
    import traceback  # rarely needed, and not free

    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.insert(0, link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    told = []
    for each in chain:
        name = f"{type(each).__qualname__}: {each}" if isinstance(each, TailraceError) else type(each).__qualname__
        frames = "".join(traceback.format_tb(each.__traceback__))
        told.append(f"Traceback (most recent call last):\n{frames}{name}")
    return "\n\n".join(told)
