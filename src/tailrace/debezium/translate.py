"""A connector's options → a pipeline's configuration that behaves the same, or a reason why there is none.

All that is wrong is said at once. Never asks a server, never writes a file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tailrace.debezium import converter, offset, source, transform
from tailrace.debezium.connector import Connector, Form
from tailrace.debezium.document import Document, Value, literal, written
from tailrace.debezium.option import find, nearest
from tailrace.debezium.rule import Fate, format_name
from tailrace.debezium.values import Values
from tailrace.error import ConfigError
from tailrace.format import OPTIONS, Format
from tailrace.format.option import Choice, Count, Flag

__all__ = ["Choices", "Translated", "translate"]

_CLASS = "io.debezium.connector.postgresql.PostgresConnector"
_ALIASES = (_CLASS, "PostgresConnector", "Postgres")
_EXACTLY_ONCE = "exactly.once.support"
_OF_THE_SINK = ("debezium.sink.", "topic.creation.", "producer.override.")
_ANYWHERE: Mapping[str, str | bool] = {"committed_lsn": "0/0", "trust_slot": True}
_BOOTSTRAP = "KAFKA_BOOTSTRAP_SERVERS"


@dataclass(frozen=True, slots=True)
class Choices:
    """What the connector's own file does not say: the pipeline's name, a sink by URL, the file of stored offsets or
    that the slot itself has the position, and the options of Kafka Connect's worker, which hold for every connector."""

    name: str | None = None
    sink: str | None = None
    offsets: Path | None = None
    from_slot: bool = False
    worker: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Translated:
    """A configuration as TOML; the options that were dropped, each with the reason; and what else there is to know."""

    name: str
    toml: str
    dropped: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def translate(connector: Connector, choices: Choices) -> Translated:
    """The same as a pipeline; `ConfigError` with every option that cannot be honoured, why, and what to do.

    `HistoryLost` when offsets are given, and the connector's initial snapshot was not complete.
    """
    _require_postgres(connector.options.get("connector.class", ""))
    values = Values(connector.options)
    dropped = _sift(values, sink_chosen=choices.sink is not None)
    name = choices.name or values.text("name") or values.text("topic.prefix")
    if not name:
        raise ConfigError(
            "the connector has neither name nor topic.prefix", hint="give the pipeline a name with --name"
        )
    document = Document(name)
    if choices.offsets is not None and choices.from_slot:
        raise ConfigError("--offsets and --from-slot are two positions", hint="give one of them")
    source.fill(document, values, taking_over=choices.offsets is not None or choices.from_slot)
    _fill_format(document, values)
    converter.fill(document, values, form=connector.form, worker=choices.worker)
    _check_format(document, values)
    _fill_sink(document, values, form=connector.form, choices=choices)
    transform.fill(document, values)
    _fill_dead_letters(document, values)
    if choices.from_slot:
        document.takeover.update(_ANYWHERE)
        values.notes.append(
            "--from-slot: the connector's snapshot must have been complete, which the slot does not tell"
        )
    if choices.offsets is not None and not values.refusals:
        document.takeover.update(_takeover(choices.offsets, values, form=connector.form))
    if values.refusals:
        raise _error(values)
    toml = written(document, ["Made by tailrace import-debezium: the docs have what became of each option"])
    return Translated(name, toml, tuple(dropped), tuple(values.notes))


def _require_postgres(name: str) -> None:
    if name in _ALIASES:
        return
    product = re.search(r"(?i)mysql|mariadb|mongodb|sqlserver|oracle|db2|vitess|spanner|informix|cassandra|jdbc", name)
    what = f"the connector is Debezium's for {product[0]}" if product else f"{name!r} is no connector of Debezium's"
    raise ConfigError(f"connector.class: {what}", hint=f"only {_CLASS} can be imported")


def _sift(values: Values, *, sink_chosen: bool) -> list[tuple[str, str]]:
    """Refuse what is unknown or cannot be honoured; returns what is dropped."""
    dropped = []
    for name, value in values.options.items():
        rule = find(name)
        if rule is None:
            near = nearest(name)
            meant = f"did you mean {near}?" if near else "remove it"
            values.refuse(name, "no option of Debezium has this name", meant)
        elif rule.fate is Fate.DROPPED:
            dropped.append((name, rule.why))
        elif name.startswith(_OF_THE_SINK) and sink_chosen:
            dropped.append((name, "--sink says where events go"))
        elif rule.fate is Fate.REFUSED and value.strip().lower() in map(str.lower, rule.harmless):
            dropped.append((name, "it is as it is here anyway"))
        elif rule.fate is Fate.REFUSED:
            values.refuse(name, rule.why, rule.hint)
    return dropped


def _fill_format(document: Document, values: Values) -> None:
    """Options that shape events keep their names; where our default is another, Debezium's is written out."""
    for option in OPTIONS:
        if option.debezium is not None:
            document.format[option.name] = _typed(option.kind, option.debezium)
    for name in values.options:
        ours, rule = format_name(name), find(name)
        found = next((option for option in OPTIONS if option.matches(ours)), None)
        if found is not None and rule is not None and rule.to.startswith("`[format]`"):
            document.format[ours] = _typed(found.kind, values.text(name))
            if ".with.salt." in name:
                values.notes.append("column.mask.hash: its salt stands in the configuration, as it does in Debezium's")
    document.format.setdefault("topic_prefix", document.name)


def _check_format(document: Document, values: Values) -> None:
    try:
        Format(**document.format)
    except ConfigError as error:
        values.refuse("[format]", str(error.args[0]), error.hint or "")


def _typed(kind: object, text: str) -> str | int | bool:
    if isinstance(kind, Flag):
        return text.lower() == "true" if text.lower() in ("true", "false") else text
    if isinstance(kind, Count):
        return int(text) if text.isascii() and text.isdigit() else text
    words = kind.words if isinstance(kind, Choice) else ()
    return next((word for word in words if word.lower() == text.lower()), literal(text))


def _fill_sink(document: Document, values: Values, *, form: Form, choices: Choices) -> None:
    exactly = values.one_of(_EXACTLY_ONCE, {"requested": "", "required": "required"}, "requested")
    if exactly and (choices.sink is not None or form is Form.ENGINE):
        values.notes.append(f"{_EXACTLY_ONCE}: only a transactional sink stores each event once; see that yours is one")
    if choices.sink is not None:
        document.sink_url = choices.sink
        return
    if form is Form.ENGINE:
        document.sink_url = "stdout:"
        values.notes.append("an embedded engine's sink is its program: events go to stdout; --sink says another")
        return
    kind = values.text("debezium.sink.type", "kafka") if form is Form.SERVER else "kafka"
    if kind != "kafka":
        values.refuse("debezium.sink.type", f"there is no sink {kind}", "choose one of Tailrace with --sink")
        return
    known = ("producer.override.bootstrap.servers", "debezium.sink.kafka.producer.bootstrap.servers")
    servers = next((values.text(name) for name in known if name in values.options), None)
    servers = servers or choices.worker.get("bootstrap.servers")
    if servers is None:
        values.notes.append(
            f"bootstrap.servers is the worker's: set the environment variable {_BOOTSTRAP} to it, or --worker"
        )
    document.sink.update({"kind": "kafka", "url": f"kafka://{servers or f'${{{_BOOTSTRAP}}}'}"})
    if exactly:
        document.sink["transactions"] = True
    document.sink.update(_topics(values))


def _fill_dead_letters(document: Document, values: Values) -> None:
    """Where Debezium goes on without an event that it cannot make, the change is parked: it is told, and not lost."""
    name = "event.processing.failure.handling.mode"
    parks = values.one_of(name, {"fail": "", "warn": "park", "skip": "park", "ignore": "park"}, "fail")
    if parks:
        path = f"{re.sub(r'[^A-Za-z0-9_.-]', '_', document.name)}.dead.jsonl"
        document.dead_letters.update({"kind": "file", "path": path})
        values.notes.append(
            f"{name}: a change that cannot be written is parked in {path}, with a warning that names its position, and"
            " later changes of the same row behind it; `tailrace dead-letters` lists, replays and drops them"
        )


def _topics(values: Values) -> dict[str, Value]:
    """How missing topics are made; -1 is the broker's own default."""
    prefix, made = "topic.creation.default.", dict[str, Value]()
    for name, ours in (("partitions", "partitions"), ("replication.factor", "replication")):
        text = values.text(prefix + name)
        if text not in ("", "-1"):
            made[ours] = int(text) if text.isascii() and text.isdigit() else text
    if policy := values.text(prefix + "cleanup.policy"):
        made["cleanup_policy"] = policy
    return {"create_topics": True, **made} if any(name.startswith(prefix) for name in values.options) else {}


def _takeover(path: Path, values: Values, *, form: Form) -> Mapping[str, str | int | bool]:
    """Where the connector was; only Connect and the embedded engine store its name with the offset."""
    name = values.text("name") or None if form is not Form.SERVER else None
    found = offset.choose(offset.read(path), name=name, prefix=values.text("topic.prefix") or None)
    return offset.takeover(
        found,
        trust_slot=source.trusts_slot(values),
        in_part=not values.flag("provide.transaction.metadata", default=False),
    )


def _error(values: Values) -> ConfigError:
    refusals: Sequence[object] = values.refusals
    count = "1 option" if len(refusals) == 1 else f"{len(refusals)} options"
    lines = "".join(f"\n  {refusal}" for refusal in refusals)
    return ConfigError(f"{count} cannot be honoured:{lines}", hint="nothing was written")
