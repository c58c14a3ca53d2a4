"""Makes docs/reference/python.md from the code: `python -m tests.tidy.python_page`. Never says what the code does not.

What stands here is only which names there are, in which order, and a line of introduction to each group.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from dataclasses import dataclass

from tailrace import contract, error
from tests.tidy import tree
from tests.tidy.declaration import Member, declared, public, resolve

PAGE = tree.ROOT / "docs" / "reference" / "python.md"
_HEAD = """\
# Python

Everything that `import tailrace as tr` offers, by what it is for; what a plug-in implements is [at the end](#plug-ins).
Names that are not here are internal.

| to | there is |
|---|---|
{index}
Names that end in `_s` are seconds, those that end in `_bytes`, `_bytes_max` or `nbytes` are bytes. What a call raises
is a class of [errors](#errors), named where it stands. Signatures are those of the code: a bare `*` begins what is
given by its name. `tr.__version__` is the version of the package.

Made from the code by `python -m tests.tidy.python_page`: do not edit.
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A public name. `members` are those that a user calls, None: all that have something of their own to say.

    `more` is a line that leads to where more is said.
    """

    name: str
    members: tuple[str, ...] | None = None
    more: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Names that serve one purpose. `brief` ones share a list: they are told in a paragraph each."""

    title: str
    purpose: str
    intro: str
    entries: tuple[Entry, ...] = ()
    brief: tuple[str, ...] = ()


_FIELDS = "Each field is the key of that name in [{0}](configuration.md#{1})."
_SOURCE, _SINK = ("source-kind--{}", "sink")
GROUPS = (
    Group(
        "Handlers",
        "have a function called for each change",
        "An App remembers how far it has come, and goes on there. How to write handlers, with rows as dataclasses, "
        "lists of changes and retries, is [a page of its own](../howto/handlers.md).",
        (
            Entry("tr.App", ("on", "on_message", "run", "drop", "check", "pipeline", "handlers", "tables")),
            Entry("tr.DeadLetterFile", ()),
            Entry("tr.DeadLetterTopic", (), "How letters are looked at and replayed: "
                  "[dead letters](../howto/dead-letters.md)."),
        ),
    ),
    Group(
        "Tail",
        "iterate over changes, and remember nothing",
        "Changes from now on, or with the present rows first, through a slot that goes with the connection.",
        (Entry("tr.tail"), Entry("tr.Tail")),
    ),
    Group(
        "Pipelines",
        "join a source to a sink",
        "What `tailrace run` runs of each table of its TOML file.",
        (
            Entry("tr.Pipeline", ("run", "stop", "status", "drop")),
            Entry("tr.Limits", (), _FIELDS.format("limits", "limits")),
            Entry("tr.Status", (), "The same fields in JSON: [operations](operations.md)."),
            Entry("tr.State"),
        ),
    ),
    Group(
        "Sources",
        "say where changes come from",
        "Frozen dataclasses whose fields are their whole configuration. Nothing is connected to before a pipeline runs "
        "or `check()` is called, which lists what the server lacks; a field that contradicts another raises "
        "`ConfigError` at once.",
        (
            Entry("tr.source.Postgres", (), _FIELDS.format("source, postgres", _SOURCE.format("postgres"))),
            Entry("tailrace.source.postgres.takeover.Takeover", ()),
            Entry("tr.source.Kafka", (), _FIELDS.format("source, kafka", _SOURCE.format("kafka"))),
            Entry("tailrace.source.kafka.SchemaRegistry", ()),
            Entry("tailrace.source.kafka.Security", ()),
        ),
    ),
    Group(
        "Sinks",
        "say where changes go",
        "Frozen dataclasses as sources are. An `App` is a sink too.",
        (
            Entry("tr.sink.Postgres", (), "[How to keep a replica](../howto/replica.md)."),
            Entry("tr.sink.DuckDB", (), "[How to copy into DuckDB](../howto/duckdb.md)."),
            Entry("tr.sink.Existing"),
            Entry("tr.sink.Kafka", (), "[How to fill topics](../howto/kafka.md)."),
            Entry("tailrace.sink.kafka.Topic", ()),
            Entry("tr.sink.File", (), "[How to write and read files](../howto/files.md)."),
            Entry("tr.sink.Compression"),
            Entry("tr.sink.Stdout", ()),
        ),
    ),
    Group(
        "Formats",
        "choose how events are spelled",
        "Of sinks that write events: Debezium's options under Debezium's names.",
        (
            Entry("tr.Format", (), "All options: [options of events](format.md)."),
            Entry("tailrace.format.Transform", (), "All kinds: [transforms of records](transforms.md)."),
        ),
    ),
    Group(
        "Transforms",
        "choose, mask, rename or alter changes on their way",
        "`transforms=[…]` of a pipeline, in order: each is a function from a batch to a batch. "
        "[How to shape records](../howto/transforms.md).",
        (
            Entry("tr.transform.Select", ()),
            Entry("tr.transform.Mask", ()),
            Entry("tr.transform.Rename", ()),
            Entry("tr.transform.map_changes"),
            Entry("tr.transform.MapChanges", ()),
            Entry("tr.transform.map_arrow"),
            Entry("tr.transform.MapArrow", ()),
        ),
    ),
    Group(
        "Checkpoints",
        "keep the position where the sink cannot",
        "Sinks that keep it with the data need none: `sink.Postgres`, `sink.DuckDB`, `sink.File`, and `sink.Kafka` "
        "with `transactions`. Otherwise a pipeline has a `checkpoint.File` in its `state_dir` unless it is given one.",
        (
            Entry("tr.checkpoint.File", ()),
            Entry("tr.checkpoint.SQLite", ()),
            Entry("tr.checkpoint.Memory", ()),
        ),
    ),
    Group(
        "Values",
        "read what happened",
        "Views into memory that Rust owns: cells are decoded when they are read. Which Python type a column of which "
        "server's type has is in [types](types.md).",
        (
            Entry("tr.Change"),
            Entry("tr.Row"),
            Entry("tr.Op"),
            Entry("tr.Table"),
            Entry("tr.Column"),
            Entry("tr.Position"),
            Entry("tailrace.model.Message"),
            Entry("tr.Batch"),
            Entry("tr.Finding"),
            Entry("tr.Severity"),
        ),
    ),
    Group(
        "Errors",
        "know what failed, and what to do next",
        "Each class is named by what the runtime does next. The text says what happened and where; `hint` what to do, "
        "and never is a row's value in it.",
        (Entry("tr.TailraceError", ()), Entry("tr.Reject", ())),
        ("tr.Retryable", "tr.Fatal", "tr.ConfigError", "tr.CheckFailed", "tr.HistoryLost", "tr.Refused", "tr.Fenced",
         "tr.EndOfStream"),
    ),
    Group(
        "Testing",
        "test handlers without a server, and plug-ins against their contract",
        "Imports no test framework.",
        (
            Entry("tr.testing.client"),
            Entry("tr.testing.Client"),
            Entry("tr.testing.Parked", ()),
            Entry("tr.testing.check_source"),
            Entry("tr.testing.check_sink"),
            Entry("tr.testing.check_checkpoint"),
        ),
    ),
)  # fmt: skip
_CONSTANTS = {"tr.UNCHANGED": ("Values", "tailrace.model.Unchanged"), "tr.__version__": ("", "")}
"""Names that are no class and no function: where they stand, and whose docstring tells of them."""
_SEAMS = ("Source", "Stream", "Sink", "Writer", "Checkpoint", "Positions", "DeadLetters", "Letters")
_NAMESPACES = ("tr.checkpoint", "tr.sink", "tr.source", "tr.testing", "tr.transform")


def listed() -> list[str]:
    """Every name that the page has."""
    named = [name for group in GROUPS for name in (*(entry.name for entry in group.entries), *group.brief)]
    return [*named, *_CONSTANTS]


def exported() -> set[str]:
    """Every name that the package and its namespaces export, save the namespaces themselves."""
    names = {name for space in ("tr", *_NAMESPACES) for name in public(space)}
    assert set(_NAMESPACES) == {name for name in names if inspect.ismodule(resolve(name))}
    return names - set(_NAMESPACES)


def page() -> str:
    """The whole page."""
    text = "".join([_HEAD.format(index="".join(map(_line, GROUPS))), *map(_group, GROUPS), _plug_ins()])
    return _linked(text)


def _line(group: Group) -> str:
    names = [entry.name for entry in group.entries if entry.name.startswith("tr.")] or [group.brief[0]]
    told = ", ".join(f"`{name}`" for name in names)
    return f"| {group.purpose} | [{group.title}](#{_anchor(group.title)}): {told} |\n"


def _group(group: Group) -> str:
    parts = [f"\n## {group.title}\n\n{_wrapped(group.intro)}\n"]
    if group.title == "Errors":
        tree_of_errors = str(error.__doc__).partition("\n\n")[2]
        parts.append(f"\n```text\n{tree_of_errors.strip()}\n```\n")
    parts += map(_entry, group.entries)
    parts += (_constant(name, of) for name, (title, of) in _CONSTANTS.items() if title == group.title)
    if group.brief:
        parts.append("\n" + "".join(f"- `{name}`: {_flat(declared(name).doc)}\n" for name in group.brief))
    return "".join(parts)


def _entry(entry: Entry) -> str:
    found = declared(entry.name, entry.members)
    assert found.doc, f"{entry.name} has no docstring"
    parts = [f"\n### `{entry.name}`\n\n"]
    if found.signature:
        parts.append(f"```py\n{found.signature}\n```\n\n")
    parts.append(f"{_told(found.doc)}\n")
    if entry.more:
        parts.append(f"\n{entry.more}\n")
    shown = "".join(_member(entry.name, member) for member in found.members if not member.doc.startswith("See `"))
    return "".join([*parts, "\n" * bool(shown), shown])


def _constant(name: str, of: str) -> str:
    return f"\n### `{name}`\n\n{_told(declared(of, ()).doc)}\n"


def _member(of: str, member: Member) -> str:
    assert member.doc or " = " in member.shown, f"{of}.{member.name} has no docstring"
    paragraphs = _told(member.doc).split("\n\n")
    said = "\n\n".join(paragraph.replace("\n", "\n  ") for paragraph in paragraphs).replace("\n\n", "\n\n  ")
    return f"- `{member.shown}`{': ' + said if said else ''}\n"


def _plug_ins() -> str:
    """The seams that others implement, each with what it is; what they may do besides in one list."""
    intro = (
        "A source, a sink or a checkpoint of your own is a class with these methods, which are of `tailrace.contract`; "
        "there are no base classes. A transform is any function from a `Batch` to a `Batch`. "
        "[CONTRIBUTING](../../CONTRIBUTING.md) has the steps, [contract.py](../../src/tailrace/contract.py) the "
        "promises of each method: who calls it, on which thread, what its return guarantees, what may repeat."
    )
    table = "| protocol | methods | what it is |\n|---|---|---|\n"
    lines = [f"\n## Plug-ins\n\n{_wrapped(intro)}\n\n{table}"]
    lines += [_seam(name) for name in _SEAMS]
    lines.append(f"\nWhat these may be besides, where they can:\n\n{table}")
    others = (name for name, found in vars(contract).items() if getattr(found, "_is_protocol", False))
    lines += [_seam(name) for name in others if name not in _SEAMS and name != "Protocol"]
    return "".join(lines)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def _seam(name: str) -> str:
    found = declared(f"tailrace.contract.{name}")
    methods = ", ".join(f"`{member.name}`" for member in found.members)
    return f"| `{name}` | {methods} | {_flat(found.doc)} |\n"


def _told(doc: str) -> str:
    """A docstring as Markdown: a list of what it was indented by is a program."""
    return re.sub(
        r"(?m)((?:^ {4}.*\n?)+)", lambda found: "```py\n" + inspect.cleandoc(found[1]).rstrip() + "\n```\n", doc
    ).rstrip()


def _flat(doc: str) -> str:
    """The first paragraph on one line, for a cell."""
    return " ".join(doc.partition("\n\n")[0].split()).replace("|", "\\|")


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _linked(text: str) -> str:
    """Names that have a heading of their own lead there from everywhere else, and errors to the tree."""
    targets = _targets(text)

    def led(found: re.Match[str]) -> str:
        return f"[`{found[1]}`](#{targets[found[1]]})" if found[1] in targets else found[0]

    parts = re.split(r"(?ms)(^```.*?^```$|^#.*?$|^- `[^`]+`|\[[^\]]*\]\([^)]*\))", text)
    return "".join(re.sub(r"`([\w.]+)`", led, part) if place % 2 == 0 else part for place, part in enumerate(parts))


def _targets(text: str) -> dict[str, str]:
    """Where each name stands: with `tr`, without, and alone, where only one of the page ends so."""
    anchors: dict[str, str] = {}
    for found in re.finditer(r"(?m)^### `([^`]+)`$", text):
        anchor = _anchor(found[1])
        again = sum(_anchor(name) == anchor for name in anchors)
        anchors[found[1]] = f"{anchor}-{again}" if again else anchor  # as GitHub counts headings that read the same
    anchors |= {name: "errors" for group in GROUPS for name in group.brief}
    ends = [name.rpartition(".")[2] for name in anchors]
    short = {name.rpartition(".")[2]: anchor for name, anchor in anchors.items()}
    alone = {name: anchor for name, anchor in short.items() if ends.count(name) == 1}
    return {**alone, **{name.removeprefix("tr."): anchor for name, anchor in anchors.items()}, **anchors}


if __name__ == "__main__":
    PAGE.write_text(page())
