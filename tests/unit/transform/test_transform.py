"""Transforms as users write them; what Rust does with cells is tested beside the native module."""

import pytest

from tailrace._native import BatchBuilder
from tailrace.checkpoint import Memory
from tailrace.error import CheckFailed, ConfigError, Fatal
from tailrace.model import BESIDE, Batch, Change, Column, Table
from tailrace.pipeline import Pipeline
from tailrace.testing.fake import ListSink, Log, LogSource, Target
from tailrace.transform import MapChanges, Mask, Rename, Select, function, map_arrow, map_changes
from tests.unit.sink.feed import Feed


def through(*transforms: object) -> list[tuple[str, str, object]]:
    log, target = Log(), Target()
    log.commit(("c", {"id": "1", "note": "secret"}), ("u", {"id": "2", "note": "other"}))
    Pipeline(
        LogSource(log),
        ListSink(target),
        name="p",
        checkpoint=Memory(),
        state_dir=None,
        transforms=transforms,  # type: ignore[arg-type]
    ).run(until_current=True)
    return [(record.op, record.table, record.cells and record.cells.get("note")) for record in target.records]


def test_they_run_in_the_order_in_which_they_stand() -> None:
    found = through(
        Rename({"public.orders": "shop.sales"}), Select(tables=("shop.*",), ops="c"), Mask(("shop.*.note",))
    )
    assert found == [("c", "shop.sales", None)]


def test_hash_is_keyed_and_the_salt_stays_out_of_the_repr() -> None:
    [one, _], [two, _] = through(Mask(("*.*.note",), "hash", "a")), through(Mask(("*.*.note",), "hash", "b"))
    assert one[2] != two[2]
    assert len(str(one[2])) == 64
    assert "pepper" not in repr(Mask(("*.*.note",), "hash", "pepper"))


def test_map_changes_alters_and_drops() -> None:
    @map_changes
    def shout(change: Change) -> Change | None:
        if change.after is None or change.after["note"] == "other":
            return None
        return change.replace(after={"note": change.after["note"].upper()})

    assert through(shout) == [("c", "public.orders", "SECRET")]


def test_a_function_that_raises_is_named() -> None:
    def careless(change: Change) -> Change | None:
        raise KeyError("secret")

    with pytest.raises(Fatal, match=r"careless raised KeyError") as caught:
        through(map_changes(careless))
    assert "secret" not in str(caught.value)


def test_map_arrow_works_on_columns() -> None:
    import pyarrow as pa

    def shout(table: object, stream: object) -> object:
        found = pa.table(stream)
        at = found.schema.get_field_index("note")
        return found.set_column(at, "note", pa.array([text.as_py().upper() for text in found["note"]]))

    assert through(map_arrow(shout)) == [("c", "public.orders", "SECRET"), ("u", "public.orders", "OTHER")]


@pytest.mark.parametrize("name", sorted(BESIDE))
def test_map_arrow_takes_no_column_of_a_table_for_one_of_ours(name: str) -> None:
    """By an `_index` of the table rows were matched, and what we send was written over its `_op`."""
    columns = [Column("id", "int8", nullable=False), Column("v", "text")]
    table = Table("public", "t", [*columns, Column(name, "int8")], key=["id"])
    builder = BatchBuilder("test/1/shop/t")
    builder.begin(xid=1, lsn=4096, committed_at_us=0)
    for number in (0, 1):
        builder.add("c", table, after={"id": str(number), "v": f"v{number}", name: str(1 - number)})
    builder.commit()
    batch = builder.take()

    @map_arrow
    def same(table: Table, stream: object) -> object:
        return stream

    with pytest.raises(CheckFailed, match=rf"same: the column {name} of public\.t has the name of one that") as caught:
        same(batch)
    assert caught.value.hint is not None and f'names = {{"public.t.{name}" = "…"}}' in caught.value.hint
    kept = same(Rename({f"public.t.{name}": "other"})(batch))
    assert [(change.after["v"], change.after["other"]) for change in kept if change.after] == [("v0", 1), ("v1", 0)]


def test_map_arrow_looks_at_the_names_of_a_version_of_a_table_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    class Asked(frozenset[str]):
        def __contains__(self, name: object) -> bool:
            asked.append(name)
            return super().__contains__(name)

    monkeypatch.setattr(function, "BESIDE", Asked(BESIDE))

    @map_arrow
    def same(table: Table, stream: object) -> object:
        return stream

    def batch(*names: str) -> Batch:
        return feed.commit(("c", dict.fromkeys(names, "1")), table=tables[names])

    feed = Feed()
    tables = {
        names: Table("public", "t", [Column(name, "text") for name in names], key=["id"])
        for names in [("id", "v"), ("id", "w")]
    }
    for _ in range(3):
        same(batch("id", "v"))
    assert asked == ["id", "v"]
    same(batch("id", "w"))
    assert asked == ["id", "v", "id", "w"]


def drop_all(change: Change) -> Change | None:
    return None


def test_a_function_can_be_named_in_toml() -> None:
    assert through(MapChanges(f"{__name__}:drop_all")) == []
    for name in ("nowhere:f", f"{__name__}:nothing", f"{__name__}:__doc__", "drop_all"):
        with pytest.raises(ConfigError, match="function"):
            MapChanges(name)


def test_a_plain_function_is_a_transform() -> None:
    def only_first(batch: Batch) -> Batch:
        return batch.only([0])

    assert [found[0] for found in through(only_first)] == ["c"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mask(("a.b.c",), "hash"), "needs a salt"),
        (lambda: Mask(("a.b.c",), "truncate"), "needs a length"),
        (lambda: Mask(("a.b.c",), "redact", "salt"), "belongs to 'hash'"),
        (lambda: Select(ops=""), "not made of the letters"),
        (lambda: Select(ops="cz"), "not made of the letters"),
        (lambda: Mask(("a.b.c",), "shuffle"), "method is redact, hash or truncate"),
        (lambda: Mask(("/(/",)), 'mask: "\\(" is not a regular expression'),
        (lambda: Mask("a.b.c"), "columns is one text"),
        (lambda: Select(exclude_tables="a.b"), "exclude_tables is one text"),
        (lambda: Select(tables=("/(/",)), 'select: "\\(" is not a regular expression'),
        (lambda: Select(exclude_columns=("!/(/",)), 'select: "\\(" is not a regular expression'),
        (lambda: Mask(("!a.b.c",)), r'mask: columns only leaves columns out\n.*columns = \["\*\.\*\.\*", "!a\.b\.c"\]'),
        (lambda: Select(tables=("!a.b", "!/a\\.c/")), r'tables = \["\*\.\*", "!a\.b", "!/a\\\\.c/"\]'),
        (lambda: Select(exclude_tables=("!a.b",)), r"select: exclude_tables only leaves tables out\n.*\*\.\*"),
        (lambda: Select(columns=("!a.b.c",)), r"select: columns only leaves columns out\n.*\*\.\*\.\*"),
        (lambda: Select(exclude_columns=("!a.b.c",)), "select: exclude_columns only leaves columns out"),
    ],
)
def test_options_that_mean_nothing_are_refused(make: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()  # type: ignore[operator]
