"""`tailrace check`: what the sources and sinks lack, with the statements that mend it. Never changes anything."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec

from tailrace.config import load, source_from_url
from tailrace.contract import Describing, Orphaning, Receiving, Starting
from tailrace.error import HistoryLost, TailraceError
from tailrace.model import Finding, Severity
from tailrace.pipeline import Pipeline, State, ask, check_state, saved, socket_path, transformed, unmatched
from tailrace.supervisor import worst

__all__ = ["check"]

_SIGNS = {Severity.OK: "ok     ", Severity.WARNING: "warning", Severity.ERROR: "ERROR  "}
_FAILED = 3
_MAY_BE_EMPTY = ("state", "start", "leftovers")
_Part = tuple[str, str, str, Callable[[], list[Finding]]]


@dataclasses.dataclass(frozen=True, slots=True)
class _Looked:
    """What was found at one end of one pipeline."""

    pipeline: str
    part: str
    findings: list[Finding]


def check(target: str, names: Sequence[str], *, as_json: bool) -> int:
    """Print every finding; 3 when one is an error, 4 when a pipeline cannot go on, or what kept us from looking."""
    parts: list[_Part]
    if target.endswith(".toml") or Path(target).exists():
        pipelines = load(Path(target), names).pipelines
        parts = [part for name, pipeline in pipelines.items() for part in _parts(name, pipeline)]
        if not names:  # only the whole configuration knows what nobody owns
            parts.extend(_leftovers(pipelines))
    else:
        source = source_from_url(target)
        parts = [("", "source", source.kind, source.check)]
    looked, codes, faulty = [], [0], set[str]()
    for name, part, kind, look in parts:
        try:
            found = look()
        except TailraceError as error:
            if name in faulty and not isinstance(error, HistoryLost):  # the source has said it
                continue
            found = [Finding(Severity.ERROR, kind, str(error.args[0]), error.hint)]
            codes.append(error.exit_code)
        else:
            if any(finding.severity is Severity.ERROR for finding in found):
                codes.append(_FAILED)
                faulty.add(name)
        if found or part not in _MAY_BE_EMPTY:
            looked.append(_Looked(name, part, found))
    text = msgspec.json.encode(looked).decode() + "\n" if as_json else "".join(_lines(each) for each in looked)
    sys.stdout.write(text)
    return worst(codes)


def _parts(name: str, pipeline: Pipeline) -> list[_Part]:
    source, sink = pipeline.source, pipeline.sink
    look = partial(source.check_start, name) if isinstance(source, Starting) else source.check
    parts: list[_Part] = [(name, "source", source.kind, look), (name, "sink", sink.kind, sink.check)]
    if isinstance(source, Describing) and isinstance(sink, Receiving):

        def tables(source: Describing = source, sink: Receiving = sink) -> list[Finding]:
            return sink.check_tables(name, transformed(pipeline, source.tables_now(name)))

        parts.append((name, "tables", sink.kind, tables))
    if isinstance(source, Describing) and pipeline.transforms:
        parts.append((name, "transforms", "transform", partial(_idle, pipeline, source)))
    parts.append((name, "state", "state", partial(check_state, pipeline)))
    parts.append((name, "start", "start", partial(_start, pipeline)))
    return parts


def _start(pipeline: Pipeline) -> list[Finding]:
    """Whether it can go on with what it has saved, and get at that; nothing of one that goes on now."""
    now = None if pipeline.state_folder is None else ask(socket_path(pipeline.state_folder, pipeline.name))
    if now is not None and now.state is not State.RETRYING:
        return []
    known, source = saved(pipeline), pipeline.source
    return source.outlook(pipeline.name, known) if isinstance(source, Starting) and known is not None else []


def _idle(pipeline: Pipeline, source: Describing) -> list[Finding]:
    """A name with a slip of the pen renames, masks or leaves out nothing, in silence."""
    tables = source.tables_now(pipeline.name)
    return [
        Finding(Severity.WARNING, kind, f"{name} matches nothing that comes to it")
        for kind, name in unmatched(pipeline.transforms, tables)
    ] or [Finding(Severity.OK, "transforms", "every name in them matches a table or column")]


def _leftovers(pipelines: Mapping[str, Pipeline]) -> list[_Part]:
    """What pipelines that are gone have left on the servers, each thing once."""
    owners = {name: pipeline.source for name, pipeline in pipelines.items()}
    told: set[Finding] = set()

    def look(source: Orphaning) -> list[Finding]:
        fresh = [finding for finding in source.orphans(owners) if finding not in told]
        told.update(fresh)
        return fresh

    return [
        (name, "leftovers", source.kind, partial(look, source))
        for name, source in owners.items()
        if isinstance(source, Orphaning)
    ]


def _lines(looked: _Looked) -> str:
    head = f"{looked.pipeline} {looked.part}".strip()
    lines = [f"{head}\n"]
    for finding in looked.findings:
        lines.append(f"  {_SIGNS[finding.severity]}  {finding.subject}: {finding.message}\n")
        if finding.fix and finding.severity is not Severity.OK:
            lines.extend(f"           {line}\n" for line in finding.fix.splitlines())
    return "".join(lines)
