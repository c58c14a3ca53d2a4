"""Change data capture for Python: every committed change, delivered. The public names, nothing else.

Names are loaded when they are first used, so that `import tailrace` costs little.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from tailrace._native import __version__
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

if TYPE_CHECKING:
    from tailrace import checkpoint, sink, source, testing, transform
    from tailrace.app import App
    from tailrace.dead_letters import File as DeadLetterFile
    from tailrace.dead_letters import Kafka as DeadLetterTopic
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
_LATER = {
    "App": ("tailrace.app", "App"),
    "DeadLetterFile": ("tailrace.dead_letters", "File"),
    "DeadLetterTopic": ("tailrace.dead_letters", "Kafka"),
    "Pipeline": ("tailrace.pipeline", "Pipeline"),
    "State": ("tailrace.pipeline", "State"),
    "Status": ("tailrace.pipeline", "Status"),
    "Tail": ("tailrace.tailing", "Tail"),
    "tail": ("tailrace.tailing", "tail"),
}


def __getattr__(name: str) -> object:
    if name in _NAMESPACES:
        return importlib.import_module(f"tailrace.{name}")
    if name in _LATER:
        module, attribute = _LATER[name]
        return getattr(importlib.import_module(module), attribute)
    raise AttributeError(f"module 'tailrace' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
