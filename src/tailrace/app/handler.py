"""One registered handler: which changes it wants and how it wants them. Never calls it."""

from __future__ import annotations

import fnmatch
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from tailrace.app.row import is_row_type, type_name
from tailrace.error import ConfigError
from tailrace.model import Change, Message, Row, Table

DEFAULT_OPS = frozenset("crud")
"""What a handler gets that names no op: every row event, TRUNCATE (`t`) only when asked for."""

_LETTERS = frozenset("crudt")


@dataclass(frozen=True, slots=True, eq=False)
class Handler:
    """A function and what it is called for. `row` is the type of `change.after`; None: the read-only mapping."""

    call: Callable[..., object]
    name: str
    patterns: tuple[str, ...]
    ops: frozenset[str]
    row: Any = None
    batch: bool = False
    asynchronous: bool = False
    retries: int = 5
    concurrency: int = 1

    @property
    def direct(self) -> bool:
        """Called at once, change by change, on the writer thread."""
        return not (self.batch or self.asynchronous or self.concurrency > 1)

    @property
    def strict(self) -> bool:
        """Sees changes one by one in commit order, together with all other strict handlers."""
        return not self.batch and self.concurrency == 1

    def wants_table(self, table: Table) -> bool:
        """One of the patterns matches `schema.table`, case and all."""
        return bool(self.ops - {"m"}) and any(matches(pattern, str(table)) for pattern in self.patterns)

    def wants_message(self, message: Message) -> bool:
        """A handler of messages, and one of its patterns matches the prefix."""
        return "m" in self.ops and any(matches(pattern, message.prefix) for pattern in self.patterns)

    def rivals(self, other: Handler) -> bool:
        """The two share the work on a table by op: then the order of each key is kept between them."""
        return self is not other and self.ops.isdisjoint(other.ops)


def matches(pattern: str, name: str) -> bool:
    """`name` matches the glob `pattern` (`*`, `?`, `[…]`)."""
    return re.match(fnmatch.translate(pattern), name) is not None


def parse_ops(op: str | Iterable[str] | None) -> frozenset[str]:
    """`"c"`, `"cu"`, `"c,u"` or an iterable of letters; `ConfigError` for a letter that is no row event."""
    if op is None:
        return DEFAULT_OPS
    letters = frozenset("".join(op).replace(",", "").replace(" ", ""))
    if not letters or letters - _LETTERS:
        raise ConfigError(
            f"op={op!r} is not made of the letters c, u, d, r and t",
            hint="c create, u update, d delete, r snapshot row, t truncate; messages: @app.on_message",
        )
    return letters


def is_async(call: Callable[..., object]) -> bool:
    """Calling it makes a coroutine."""
    return inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(getattr(call, "__call__", None))  # noqa: B004


def read_annotation(call: Callable[..., object], scope: Mapping[str, Any]) -> tuple[Any, bool]:
    """(row type or None, takes a list) from the first parameter's annotation; `scope` holds the caller's locals."""
    name = getattr(call, "__qualname__", repr(call))
    parameters = list(inspect.signature(call).parameters.values())
    if not parameters:  # a wrapper may keep its argument to itself
        return None, False
    annotation = parameters[0].annotation
    if isinstance(annotation, str):
        target = inspect.unwrap(call)
        target = getattr(target, "__func__", target)
        names = getattr(target, "__globals__", None) or getattr(type(target).__call__, "__globals__", {})
        try:
            annotation = eval(annotation, dict(names), dict(scope))
        except (NameError, AttributeError, SyntaxError, TypeError) as error:
            raise ConfigError(
                f"Handler {name}: the annotation {annotation!r} cannot be resolved: {error}",
                hint="define the row type before the handler, where the handler can see it",
            ) from error
    _refuse_row(name, annotation, "{}")
    many = inspect.isclass(get_origin(annotation)) and issubclass(get_origin(annotation), Iterable)
    if many and get_origin(annotation) is not Change:
        (annotation, *_) = get_args(annotation) or (None,)
        _refuse_row(name, annotation, "list[{}]")
    else:
        many = False
    if get_origin(annotation) is not Change:
        return None, many
    (row,) = get_args(annotation)
    return (None if row is Row or row is Any else row), many


def _refuse_row(name: str, annotation: Any, right: str) -> None:
    """`ConfigError` for a parameter that is to be the row itself: what it is given has no such attributes or keys."""
    kind, typed = get_origin(annotation) or annotation, is_row_type(annotation)
    if typed or (inspect.isclass(kind) and issubclass(kind, Mapping)):
        row = type_name(annotation)
        change = f"tr.Change[{row}]" if typed else "tr.Change"
        raise ConfigError(
            f"Handler {name} is given a Change, and its parameter is annotated with {row}, as if it were the row",
            hint=f"annotate it {right.format(change)}: the `after` of a change is the row",
        )
