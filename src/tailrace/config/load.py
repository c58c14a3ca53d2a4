"""A configuration file → pipelines; a URL → a source or a sink. Never opens what it builds."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl

from tailrace.config.build import Site, build, check_keys, convert, fields_of
from tailrace.config.document import EnvText, read
from tailrace.config.http import Http
from tailrace.contract import Checkpoint, DeadLetters, Sink, Source, Transform
from tailrace.error import ConfigError
from tailrace.format import Format
from tailrace.model import Limits
from tailrace.pipeline import Pipeline, impossible_limit
from tailrace.plugin import Group, find

__all__ = ["Config", "load", "sink_from_url", "source_fields", "source_from_url"]

_SCHEMES = {"postgresql": "postgres"}
_KINDS = {
    Group.SOURCE: "postgres",
    Group.SINK: "duckdb",
    Group.TRANSFORM: "mask",
    Group.CHECKPOINT: "file",
    Group.DEAD_LETTERS: "file",
}
_EXAMPLES = {
    Group.SOURCE: "for example postgresql://host/db or kafka://broker:9092/topic",
    Group.SINK: "for example duckdb:shop.duckdb or file:shop.jsonl",
    Group.CHECKPOINT: "for example file:shop.position",
    Group.DEAD_LETTERS: "for example file:shop.dead.jsonl",
}
_STATE_DIR = ".tailrace"
_IN_MEMORY = ("batch_bytes_max", "shelf_bytes_max", "transaction_bytes_max")
_SHARED_BY = 4
_SHARE_MIN = 4 << 20


@dataclass(frozen=True, slots=True)
class Config:
    """What a file says: its pipelines by name, in the file's order, where they keep their state, and what is told."""

    path: Path
    state_dir: Path
    pipelines: Mapping[str, Pipeline]
    http: Http = field(default_factory=Http)


def load(path: Path, names: Sequence[str] = (), environ: Mapping[str, str] = os.environ) -> Config:
    """Build the pipelines `names` (all, when empty) of a TOML file.

    `state_dir` in the file defaults to `.tailrace` beside it. Raises `ConfigError` with the file, the key and what to
    do; nothing is connected to.
    """
    try:
        document = read(path, environ)
        check_keys(document, ("pipeline", "state_dir", "http"), "")
        tables = _table(document.get("pipeline", {}), "pipeline")
        if not tables:
            raise ConfigError("there is no [pipeline.<name>.source]", hint="a file needs at least one pipeline")
        for name in names:
            if name not in tables:
                raise ConfigError(f"there is no pipeline {name!r}", hint=f"known are {', '.join(tables)}")
        state_dir = _path(document.get("state_dir", _STATE_DIR), Site("state_dir", path.parent))
        http = cast(Http, build(Http, _table(document.get("http", {}), "http"), Site("http", path.parent)))
        pipelines = {
            name: _pipeline(
                name,
                _table(table, f"pipeline.{name}"),
                site=Site(f"pipeline.{name}", path.parent),
                state_dir=state_dir,
                together=len(names) or len(tables),
            )
            for name, table in tables.items()
            if not names or name in names
        }
    except ConfigError as error:
        message = str(error.args[0])
        raise ConfigError(
            message if message.count(str(path)) else f"{path}: {message}", hint=error.hint
        ) from error.__cause__
    return Config(path, state_dir, pipelines, http)


def source_from_url(url: str, **options: object) -> Source:
    """The source that `url` names, such as `postgresql://host/db`, with these fields of its class."""
    return cast(Source, _from_url(Group.SOURCE, url, site=Site("source", Path()), options=options))


def source_fields(url: str) -> Collection[str]:
    """What can be said of the source that `url` names, by the fields of its class."""
    return fields_of(_class_of(Group.SOURCE, url, site=Site("source", Path()))).keys()


def sink_from_url(url: str, **options: object) -> Sink:
    """The sink that `url` names, such as `duckdb:shop.duckdb`, `file:out.jsonl` or `stdout:`."""
    return cast(Sink, _from_url(Group.SINK, url, site=Site("sink", Path()), options=options))


def _pipeline(name: str, table: Mapping[str, Any], *, site: Site, state_dir: Path, together: int) -> Pipeline:
    check_keys(table, ("source", "sink", "transform", "format", "limits", "checkpoint", "dead_letters"), str(site))
    for key in ("source", "sink"):
        if key not in table:
            raise ConfigError(f"{site}: there is no {key}", hint=f"add [{site}.{key}]")
    options: dict[str, object] = {}
    if "format" in table:
        options["format"] = build(Format, _table(table["format"], site.at("format")), site.at("format"))
    source = _part(Group.SOURCE, table["source"], site.at("source"))
    sink = cast(Sink, _part(Group.SINK, table["sink"], site.at("sink"), options=options))
    transforms = table.get("transform", [])
    if not isinstance(transforms, list):
        raise ConfigError(f"{site}.transform: this must be a list", hint=f"write [[{site}.transform]]")
    optional = {
        group: _part(group, table[group], site.at(group))
        for group in (Group.CHECKPOINT, Group.DEAD_LETTERS)
        if group in table
    }
    return Pipeline(
        cast(Source, source),
        sink,
        name=name,
        transforms=[
            cast(Transform, _part(Group.TRANSFORM, item, site.at(f"transform[{index}]")))
            for index, item in enumerate(transforms)
        ],
        checkpoint=cast("Checkpoint | None", optional.get(Group.CHECKPOINT)),
        dead_letters=cast("DeadLetters | None", optional.get(Group.DEAD_LETTERS)),
        limits=_limits(table.get("limits", {}), site.at("limits"), together),
        state_dir=state_dir,
    )


def _limits(value: object, site: Site, together: int) -> Limits:
    """The limits of one of `together` pipelines in a process: from five on, defaults in memory shrink to shares."""
    table = _table(value, site)
    shares = {name: _share(getattr(Limits(), name), together) for name in _IN_MEMORY if name not in table}
    limits = cast(Limits, build(Limits, {**table, **shares}, site))
    if (limit := impossible_limit(limits)) is not None:
        raise ConfigError(f"{site}.{limit}", hint="leave it out for the default")
    return limits


def _share(nbytes: int, together: int) -> int:
    return min(nbytes, max(_SHARED_BY * nbytes // together, _SHARE_MIN))


def _part(group: Group, value: object, site: Site, *, options: Mapping[str, object] | None = None) -> object:
    """Build a source, sink, … from its table or its URL; `options` are ready values for its fields."""
    if isinstance(value, str):
        return _from_url(group, value, site=site, options=options or {})
    table = dict(_table(value, site))
    if "kind" not in table:
        raise ConfigError(f"{site}: there is no kind", hint=f'for example kind = "{_KINDS[group]}"')
    kind = _text(table.pop("kind"), site.at("kind"))
    return _build(_find(group, kind, site), table, site=site, options=options or {})


def _find(group: Group, kind: str, site: Site) -> type:
    try:
        return find(group, kind)
    except ConfigError as error:
        raise ConfigError(f"{site}: {error.args[0]}", hint=error.hint) from error.__cause__


def _build(cls: type, table: Mapping[str, object], *, site: Site, options: Mapping[str, object]) -> object:
    known = fields_of(cls)
    for name in options:
        if name not in known:
            raise ConfigError(f"{site}: {cls.__name__} takes no {name}", hint=f"it takes {', '.join(known)}")
    return build(cls, {**table, **options}, site)


def _from_url(group: Group, url: str, *, site: Site, options: Mapping[str, object]) -> object:
    """`scheme:rest?key=value`: the whole URL goes into the field `url` of a class that has one, else the rest into its
    `path`."""
    cls = _class_of(group, url, site=site)
    known = fields_of(cls)
    if "url" in known:
        return _build(cls, {"url": url}, site=site, options=options)
    scheme, _, rest = url.partition(":")
    rest, _, query = rest.partition("?")
    table: dict[str, object] = {key: EnvText(value) for key, value in parse_qsl(query, keep_blank_values=True)}
    path = rest.removeprefix("//") if rest.startswith("///") else rest
    if "path" in known and path:
        table["path"] = path
    elif path:
        raise ConfigError(f"{site}: {cls.__name__} takes nothing behind '{scheme}:'")
    return _build(cls, table, site=site, options=options)


def _class_of(group: Group, url: str, *, site: Site) -> type:
    scheme, colon, _ = url.partition(":")
    if group is Group.SOURCE and "=" in (scheme if colon else url):
        scheme = "postgresql"  # a conninfo string of libpq: host=… dbname=…
    elif not colon or not scheme.isascii() or not scheme.replace("+", "").replace("-", "").isalnum():
        raise ConfigError(f"{site}: this is not a URL", hint=_EXAMPLES.get(group))
    return _find(group, _SCHEMES.get(scheme, scheme), site)


def _path(value: object, site: Site) -> Path:
    return cast(Path, convert(_text(value, site), Path, site))


def _table(value: object, where: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: this must be a table")
    return value


def _text(value: object, where: object) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{where}: this must be a text")
    return str(value)
