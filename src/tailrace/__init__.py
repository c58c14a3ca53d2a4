"""Change data capture for Python: every committed change, delivered. The public names, nothing else."""

from tailrace import checkpoint, sink, source, testing, transform
from tailrace._native import __version__
from tailrace.app import App
from tailrace.dead_letters import File as DeadLetterFile
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
from tailrace.tail import Tail, tail

__all__ = [
    "UNCHANGED",
    "App",
    "Batch",
    "Change",
    "CheckFailed",
    "Column",
    "ConfigError",
    "DeadLetterFile",
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
