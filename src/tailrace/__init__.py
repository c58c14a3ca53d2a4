"""Change data capture for Python: every committed change, delivered. The public names, nothing else.

Names are loaded when they are first used, so that `import tailrace` costs little.
"""

from __future__ import annotations

TYPE_CHECKING = False
"""Type checkers take it for true, and for `typing.TYPE_CHECKING`, which costs more than all else here."""
if TYPE_CHECKING:
    from tailrace import checkpoint, sink, source, testing, transform
    from tailrace._native import __version__
    from tailrace.app import App
    from tailrace.dead_letters import File as DeadLetterFile
    from tailrace.dead_letters import Kafka as DeadLetterTopic
    from tailrace.error import (
        CheckFailed,
        ConfigError,
        EndOfStream,
        Fatal,
        Fenced,
        HistoryLost,
        Refused,
        Reject,
        Retryable,
        TailraceError,
    )
    from tailrace.format import Format
    from tailrace.model import UNCHANGED, Batch, Change, Column, Finding, Limits, Op, Position, Row, Severity, Table
    from tailrace.pipeline import Pipeline, State, Status
    from tailrace.tailing import Tail, tail

__all__ = [
    "UNCHANGED",
    "App",
    "Batch",
    "Change",
    "CheckFailed",
    "Column",
    "ConfigError",
    "DeadLetterFile",
    "DeadLetterTopic",
    "EndOfStream",
    "Fatal",
    "Fenced",
    "Finding",
    "Format",
    "HistoryLost",
    "Limits",
    "Op",
    "Pipeline",
    "Position",
    "Refused",
    "Reject",
    "Retryable",
    "Row",
    "Severity",
    "State",
    "Status",
    "Table",
    "Tail",
    "TailraceError",
    "__version__",
    "checkpoint",
    "sink",
    "source",
    "tail",
    "testing",
    "transform",
]

_NAMESPACES = {"checkpoint", "sink", "source", "testing", "transform"}
_HOMES = {
    "tailrace._native": ("__version__",),
    "tailrace.app": ("App",),
    "tailrace.error": (
        "CheckFailed",
        "ConfigError",
        "EndOfStream",
        "Fatal",
        "Fenced",
        "HistoryLost",
        "Refused",
        "Reject",
        "Retryable",
        "TailraceError",
    ),
    "tailrace.format": ("Format",),
    "tailrace.model": (
        "UNCHANGED",
        "Batch",
        "Change",
        "Column",
        "Finding",
        "Limits",
        "Op",
        "Position",
        "Row",
        "Severity",
        "Table",
    ),
    "tailrace.pipeline": ("Pipeline", "State", "Status"),
    "tailrace.tailing": ("Tail", "tail"),
}
_LATER = {name: (module, name) for module, names in _HOMES.items() for name in names} | {
    "DeadLetterFile": ("tailrace.dead_letters", "File"),
    "DeadLetterTopic": ("tailrace.dead_letters", "Kafka"),
}


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name in _NAMESPACES:
        return import_module(f"tailrace.{name}")
    if name in _LATER:
        module, attribute = _LATER[name]
        found: object = getattr(import_module(module), attribute)
        globals()[name] = found  # a handler may ask for it with every change
        return found
    raise AttributeError(f"module 'tailrace' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
