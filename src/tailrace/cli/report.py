"""What the command line says beside data: logs and errors on stderr, questions. Never prints row values."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping, Sequence
from typing import Any, Literal

from tailrace.error import ConfigError, TailraceError, trace
from tailrace.output import give_up

__all__ = ["Level", "LogFormat", "columns", "confirm", "fail", "report", "say", "start_logs"]

Level = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]

_JSON = "json"

log = logging.getLogger("tailrace.cli")


def start_logs(level: Level, form: LogFormat | None) -> None:
    """Send the library's logs to stderr: text on a terminal, JSON lines otherwise, or as `form` says."""
    import structlog

    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    text = form == "text" or (form is None and sys.stderr.isatty())
    if not text:  # on a terminal the message says it all
        shared += [structlog.stdlib.ExtraAdder(), _add_fields]
    last: list[Any] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
        if text
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.set_name("text" if text else _JSON)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("tailrace").setLevel(level.upper())


def _add_fields(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Say which pipeline a line is about; what the line says itself comes first."""
    from tailrace.pipeline import log_fields

    return {**log_fields(), **event}


def report(error: BaseException, pipeline: str) -> int:
    """Tell how a pipeline ended, as a line of the log where that is JSON, else as `fail`; returns the exit code."""
    if not any(handler.name == _JSON for handler in logging.getLogger().handlers):
        return fail(error, pipeline)
    told, hint, code = _words(error)
    if log.isEnabledFor(logging.DEBUG):
        log.debug("%s: %s", pipeline, trace(error), extra={"pipeline": pipeline})
    fields = {"pipeline": pipeline, "state": "failed", "error": told, "error_type": type(error).__name__}
    log.error("%s: %s", pipeline, told, extra={**fields, "hint": hint, "exit_code": code})
    return code


def _words(error: BaseException) -> tuple[str, str | None, int]:
    """What to say, what to do, and the exit code; the text of an error that is not ours may hold row values (I9)."""
    if isinstance(error, TailraceError):
        return str(error.args[0]) if error.args else type(error).__name__, error.hint, error.exit_code
    return f"unexpected {type(error).__name__}", "--log-level debug shows where", 1


def fail(error: BaseException, pipeline: str = "") -> int:
    """Tell what went wrong in one message; returns the exit code. The traceback stands only at log level debug."""
    if logging.getLogger("tailrace").isEnabledFor(logging.DEBUG):
        say(trace(error))
    told, hint, code = _words(error)
    message = f"{told}\n  hint: {hint}" if hint else told
    where = f"{pipeline}: " if pipeline and not message.startswith(f"pipeline {pipeline}") else ""
    say(f"tailrace: {where}{message}")
    return code


def say(text: str) -> None:
    """A line on stderr. Where nobody reads it, or it cannot be kept, the exit code must still be the right one."""
    try:
        print(text, file=sys.stderr, flush=True)  # noqa: T201
    except OSError:
        give_up(sys.stderr)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is removed; `ConfigError` without a terminal and `--yes`, and when the answer is no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError(f"{question} Nobody can answer here", hint="say --yes")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)  # noqa: T201
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise ConfigError("nothing was changed")


def columns(rows: Sequence[Sequence[object]]) -> str:
    """Rows as text in columns, the first row being the head."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[index]) for row in texts) for index in range(len(texts[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in texts
    )
