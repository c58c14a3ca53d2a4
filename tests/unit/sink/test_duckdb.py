"""The DuckDB sink: rows, positions, tables that change, others' rows, attempts that failed."""

import contextlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tailrace.comparison import Field, Shape
from tailrace.error import CheckFailed, ConfigError, Fatal, Fenced, Reject, Retryable
from tailrace.model import UNCHANGED, Batch, Column, Limits, Table
from tailrace.sink import DuckDB
from tailrace.sink.duckdb.connection import explained
from tests.unit.sink.feed import LINEAGE, NOTES, ORDERS
from tests.unit.sink.shop import Shop


def test_inserts_updates_and_deletes_become_rows(shop: Shop) -> None:
    shop.write(shop.feed.insert(1, 2, 3))
    shop.write(shop.feed.commit(("u", {"id": "2", "note": "new"}), ("d", {"id": "3"})))
    assert shop.rows() == [(1, "n1"), (2, "new")]


def test_the_position_lies_beside_the_rows(shop: Shop) -> None:
    batch = shop.feed.insert(1)
    shop.write(batch)
    shop.close()
    assert shop.writer.known() == {LINEAGE: batch.positions[0]}
    assert shop.writer.claim(LINEAGE) == batch.positions[0]


def test_two_pipelines_in_one_file_have_a_position_each(shop: Shop) -> None:
    batch = shop.feed.insert(1)
    shop.write(batch)
    shop.close()
    with contextlib.closing(DuckDB(shop.path).open("other", Limits())) as other:
        assert other.known() == {}
        assert other.claim(LINEAGE) is None
        other.forget()
    assert shop.writer.known() == {LINEAGE: batch.positions[0]}
    shop.write(shop.feed.insert(2))  # nor has the other one's claim fenced it off


def test_progress_moves_the_position_without_rows(shop: Shop) -> None:
    shop.write(shop.feed.insert(1))
    progress = shop.feed.progress()
    shop.write(progress)
    assert shop.writer.known()[LINEAGE] == progress.positions[0]
    assert shop.rows() == [(1, "n1")]


def test_a_batch_that_fails_leaves_neither_rows_nor_position(shop: Shop) -> None:
    shop.write(first := shop.feed.insert(1))
    narrow = Table("public", "orders", [Column("id", "int8"), Column("note", "date")], key=["id"])
    other = Table("public", "fresh", [Column("id", "int8")], key=["id"])
    builder_batch = shop.feed.commit(("c", {"id": "1"}), table=other)
    wrong = shop.feed.commit(("c", {"id": "2", "note": "2020-01-01"}), table=narrow)
    merged = Batch.merge([builder_batch, wrong])
    with pytest.raises(Fatal, match=r"the column note of public\.orders is DATE now, but VARCHAR"):
        shop.write(*merged)
    assert shop.writer.known()[LINEAGE] == first.positions[0]
    assert shop.sql("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'public'") == [("orders",)]


def test_a_table_without_a_key_is_a_log_with_operation_and_position(shop: Shop) -> None:
    shop.write(batch := shop.feed.commit(("c", {"line": "a"}), ("c", {"line": "a"}), ("t", {}), table=NOTES))
    rows = shop.rows("public.notes", "_position, _op, line")
    assert rows == [
        (change.position.text, change.op, line) for change, line in zip(batch, ["a", "a", None], strict=True)
    ]
    assert shop.sql("SELECT DISTINCT epoch_us(_committed_at) FROM public.notes") == [
        (1_700_000_000_000_000 + shop.feed.lsn,)
    ]


def test_keyed_and_keyless_tables_share_a_transaction(shop: Shop) -> None:
    shop.write(
        *Batch.merge([shop.feed.insert(1), shop.feed.commit(("c", {"line": "a"}), table=NOTES), shop.feed.insert(2)])
    )
    assert shop.rows() == [(1, "n1"), (2, "n2")]
    assert shop.rows("public.notes", "line") == [("a",)]


def test_a_new_column_is_added_and_a_dropped_one_keeps_its_values(shop: Shop) -> None:
    shop.write(shop.feed.insert(1, 2))
    grown = Table("public", "orders", [Column("id", "int8"), Column("size", "int4")], key=["id"])
    shop.write(shop.feed.commit(("u", {"id": "1", "size": "5"}), ("c", {"id": "3", "size": "6"}), table=grown))
    assert shop.rows(columns="id, note, size") == [(1, "n1", 5), (2, "n2", None), (3, None, 6)]


def test_a_wider_type_is_followed(shop: Shop) -> None:
    def sized(type: str) -> Table:
        return Table("public", "sizes", [Column("id", "int4"), Column("size", type)], key=["id"])

    for key, type in enumerate(["int2", "int4", "int8", "numeric(24,2)", "numeric"]):
        shop.write(shop.feed.commit(("c", {"id": str(key), "size": "7"}), table=sized(type)))
    shop.write(shop.feed.commit(("c", {"id": "9", "size": "8"}), table=sized("int4")))  # the target stays wide
    sizes = ["7.00", "7.00", "7.00", "7.00", "7", "8"]
    assert shop.rows("public.sizes", "id, size") == [*enumerate(sizes[:-1]), (9, "8")]


def test_i5_versions_of_a_table_within_one_batch_are_applied_in_order(shop: Shop) -> None:
    old = Table("public", "t", [Column("id", "int4"), Column("a", "text")], key=["id"])
    new = Table("public", "t", [Column("id", "int8"), Column("b", "text")], key=["id"])
    batches = [
        shop.feed.commit(("c", {"id": "1", "a": "x"}), ("c", {"id": "2", "a": "y"}), table=old),
        shop.feed.commit(("u", {"id": "1", "b": "z"}), ("c", {"id": "5000000000", "b": "w"}), table=new),
        shop.feed.commit(("u", {"id": "2", "a": "back"}), table=old),
    ]
    shop.write(*Batch.merge(batches))
    assert shop.rows("public.t", "id, a, b") == [(1, "x", "z"), (2, "back", None), (5_000_000_000, None, "w")]


def test_another_schema_of_the_target_can_be_chosen(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "s.duckdb", schema={"public": "main"})
    shop.write(shop.feed.insert(1))
    assert shop.rows("main.orders") == [(1, "n1")]


def test_a_schema_may_be_called_like_the_file(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "public.duckdb")
    shop.write(shop.feed.insert(1), shop.feed.commit(("u", {"id": "1", "note": "x"})))
    assert shop.rows("public.public.orders") == [(1, "x")]


def test_names_of_every_kind_are_quoted(shop: Shop) -> None:
    odd = Table('a "b"', "select; drop", [Column('k"k', "int8"), Column("o'clock", "text")], key=['k"k'])
    shop.write(shop.feed.commit(("c", {'k"k': "1", "o'clock": "x"}), table=odd))
    shop.write(shop.feed.commit(("u", {'k"k': "1", "o'clock": UNCHANGED}), table=odd))
    assert shop.sql('FROM "a ""b"""."select; drop"') == [(1, "x")]


@pytest.mark.parametrize("key", [["id"], []], ids=["rows", "log"])
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("NOTE", "DuckDB takes the column NOTE of public.t for its column note: it ignores case"),
        ("_op", "the column _op of public.t has the name of Tailrace's own column _op in DuckDB"),
        ("_position", "the column _position of public.t has the name of Tailrace's own column _position in DuckDB"),
        ("_Committed_at", "Tailrace's own column _committed_at in DuckDB, since DuckDB ignores case"),
        ("_index", "the column _index of public.t has the name of Tailrace's own column _index in DuckDB"),
        ("_unchanged", "the column _unchanged of public.t has the name of Tailrace's own column _unchanged in DuckDB"),
    ],
)
def test_columns_that_duckdb_would_confuse_are_refused(shop: Shop, name: str, told: str, key: list[str]) -> None:
    table = Table("public", "t", [Column("id", "int4"), Column("note", "text"), Column(name, "text")], key=key)
    with pytest.raises(CheckFailed, match=re.escape(told)):
        shop.write(shop.feed.commit(("c", {"id": "1"}), table=table))


def test_a_key_column_that_duckdb_would_confuse_cannot_be_left_out(shop: Shop) -> None:
    table = Table("public", "t", [Column("_op", "int4")], key=["_op"])
    with pytest.raises(CheckFailed) as refused:
        shop.write(shop.feed.commit(("c", {"_op": "1"}), table=table))
    assert refused.value.hint == (
        'give it another name with a transform: kind = "rename", names = {"public.t._op" = "…"}'
    )


def _foreign(shop: Shop) -> None:
    shop.sql("CREATE SCHEMA public")
    shop.sql("CREATE TABLE public.orders (id BIGINT PRIMARY KEY, note VARCHAR, mine INTEGER)")
    shop.sql("INSERT INTO public.orders VALUES (1, 'theirs', 10), (2, 'theirs', 20)")


def test_a_table_with_others_rows_is_refused_before_any_row_is_touched(shop: Shop) -> None:
    _foreign(shop)
    with pytest.raises(Fatal, match="holds rows that this pipeline did not write"):
        shop.write(shop.feed.snapshot("a", 1, 3, begin=True, end=True))
    assert shop.rows() == [(1, "theirs"), (2, "theirs")]


def test_an_empty_table_of_others_is_filled(shop: Shop) -> None:
    _foreign(shop)
    shop.sql("DELETE FROM public.orders")
    shop.write(shop.feed.snapshot("a", 1, begin=True, end=True))
    assert shop.rows() == [(1, "s1")]


def test_append_merges_into_others_rows_and_keeps_their_columns(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "s.duckdb", existing="append")
    _foreign(shop)
    shop.write(shop.feed.snapshot("a", 1, 3, begin=True, end=True))
    assert shop.rows() == [(1, "theirs"), (2, "theirs")]  # the snapshot is not complete
    shop.write(shop.feed.progress())
    assert shop.rows(columns="id, note, mine") == [(1, "s1", 10), (2, "theirs", 20), (3, "s3", None)]
    shop.write(shop.feed.commit(("u", {"id": "1", "note": "u"}), ("d", {"id": "3"})))
    assert shop.rows(columns="id, note, mine") == [(1, "u", 10), (2, "theirs", 20)]
    assert shop.sql("SELECT table_name FROM duckdb_tables() WHERE table_name LIKE 'snapshot%'") == []


def test_replace_drops_others_rows_once(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "s.duckdb", existing="replace")
    _foreign(shop)
    shop.write(shop.feed.snapshot("a", 5, begin=True, end=True))
    shop.close()
    shop.write(shop.feed.insert(6))
    assert shop.rows() == [(5, "s5"), (6, "n6")]


def test_i15_rows_of_an_attempt_that_was_interrupted_are_gone(shop: Shop) -> None:
    shop.write(shop.feed.snapshot("a", 1, 2, begin=True), shop.feed.snapshot("a", 3))
    shop.crash()
    shop.write(shop.feed.snapshot("b", 1, begin=True), shop.feed.snapshot("b", 4, end=True), shop.feed.insert(5))
    assert shop.rows() == [(1, "s1"), (4, "s4"), (5, "n5")]


def test_i15_an_interrupted_attempt_leaves_others_rows_as_they_were(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "s.duckdb", existing="append")
    _foreign(shop)
    shop.write(shop.feed.snapshot("a", 1, 7, begin=True, end=True))
    shop.crash()
    shop.write(shop.feed.snapshot("b", 8, begin=True, end=True))
    shop.crash()
    shop.write(shop.feed.progress())
    assert shop.rows() == [(1, "theirs"), (2, "theirs"), (8, "s8")]


def test_i15_an_empty_table_of_a_snapshot_exists_and_a_reset_clears_what_was_there(shop: Shop) -> None:
    shop.write(shop.feed.snapshot("a", begin=True, end=True))
    assert shop.rows() == []
    shop.write(shop.feed.insert(1, 2))
    shop.writer.forget()
    shop.close()
    shop.write(shop.feed.snapshot("b", 2, begin=True, end=True))
    assert shop.rows() == [(2, "s2")]


def test_i15_the_log_of_a_keyless_table_begins_again_with_the_attempt(shop: Shop) -> None:
    shop.write(shop.feed.snapshot("a", 1, 2, table=NOTES, begin=True))
    shop.crash()
    shop.write(shop.feed.snapshot("b", 1, table=NOTES, begin=True, end=True))
    assert shop.rows("public.notes", "line, _op") == [("s1", "r")]


@pytest.mark.parametrize("existing", ["refuse", "append"])
def test_i15_a_table_that_leaves_between_two_attempts_keeps_no_row_of_the_first(tmp_path: Path, existing: str) -> None:
    shop = Shop(tmp_path / "s.duckdb", existing=existing)
    if existing == "append":
        _foreign(shop)
    shop.write(shop.feed.snapshot("a", 1, 7, begin=True, end=True))
    shop.crash()
    shop.write(shop.feed.snapshot("b", 1, table=NOTES, begin=True, end=True), shop.feed.progress())
    assert shop.rows() == ([(1, "theirs"), (2, "theirs")] if existing == "append" else [])
    assert shop.rows("public.notes", "line") == [("s1",)]


def test_i15_a_table_whose_snapshot_was_complete_keeps_its_rows_when_it_has_left(shop: Shop) -> None:
    shop.write(shop.feed.snapshot("a", 1, begin=True, end=True), shop.feed.insert(2))
    shop.writer.forget()
    shop.crash()
    shop.write(shop.feed.snapshot("b", 1, table=NOTES, begin=True, end=True), shop.feed.progress())
    assert shop.rows() == [(1, "s1"), (2, "n2")]


def test_a_dead_letter_that_was_replayed_before_a_crash_is_not_appended_again(shop: Shop) -> None:
    letters = shop.feed.commit(("c", {"line": "a"}), ("c", {"line": "b"}), table=NOTES)
    end = shop.feed.progress()
    shop.write(end, end.with_changes(list(letters)[:1]))
    shop.crash()
    replayed = end.with_changes(list(letters))
    shop.write(replayed)
    shop.crash()
    shop.write(replayed)
    assert shop.rows("public.notes", "line") == [("a",), ("b",)]
    shop.writer.forget_replayed([change.position for change in letters])
    assert shop.sql("SELECT * FROM _tailrace.replayed") == []


def test_a_refusal_of_a_replay_names_its_letters_where_some_were_written_before(shop: Shop) -> None:
    fine, lost = shop.feed.insert(1), shop.feed.commit(("u", {"id": "5", "note": UNCHANGED}))
    end = shop.feed.progress()
    shop.write(end, end.with_changes(list(fine)))
    shop.crash()
    with pytest.raises(Reject) as refused:
        shop.write(end.with_changes([*fine, *lost]))
    assert list(refused.value.reasons) == [1]


def test_dead_letters_replayed_during_a_snapshot_do_not_complete_it(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "s.duckdb", existing="append")
    _foreign(shop)
    first = shop.feed.snapshot("a", 1, begin=True)
    shop.write(first)
    replayed = shop.feed.insert(9).with_changes([])
    shop.write(Batch.progress(first.positions[0]))
    assert not replayed and shop.rows() == [(1, "theirs"), (2, "theirs")]


def test_a_target_table_that_vanished_stops_the_pipeline(shop: Shop) -> None:
    shop.write(shop.feed.insert(1))
    shop.sql("DROP TABLE public.orders")
    with pytest.raises(Fatal, match="is gone"):
        shop.write(shop.feed.insert(2))


def test_a_table_that_loses_its_key_stops_the_pipeline(shop: Shop) -> None:
    shop.write(shop.feed.insert(1))
    keyless = Table("public", "orders", ORDERS.columns)
    with pytest.raises(Fatal, match="has no key now"):
        shop.write(shop.feed.commit(("c", {"id": "2", "note": "x"}), table=keyless))


def test_i16_an_older_owner_of_the_lineage_is_fenced(shop: Shop) -> None:
    old = shop.writer
    old.write(shop.feed.insert(1))
    young = DuckDB(shop.path).open("shop", Limits())  # the same process shares the file
    young.claim(LINEAGE)
    with pytest.raises(Fenced, match="another process has claimed"):
        old.write(shop.feed.insert(2))
    young.write(shop.feed.insert(3))
    young.close()
    assert shop.rows() == [(1, "n1"), (3, "n3")]


def test_i16_another_process_waits_for_the_file(shop: Shop) -> None:
    shop.write(shop.feed.insert(1))
    code = (
        "import json, sys; from tailrace.sink import DuckDB; from tailrace.model import Limits\n"
        "from tailrace.error import Retryable\n"
        "try: DuckDB(sys.argv[1]).open('shop', Limits())\n"
        "except Retryable as error: print(json.dumps(str(error)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(shop.path)], capture_output=True, text=True, check=True)
    assert "is in use by process" in json.loads(done.stdout)


def test_two_pipelines_of_one_process_share_a_file(shop: Shop) -> None:
    shop.write(shop.feed.insert(1))
    other = DuckDB(shop.path).open("other", Limits())
    other.claim(LINEAGE)
    with pytest.raises(Fatal, match="holds rows that this pipeline did not write"):
        other.write(shop.feed.insert(2))
    other.write(shop.feed.commit(("c", {"line": "a"}), table=NOTES))
    other.close()
    assert shop.rows("public.notes", "line") == [("a",)]


def test_i12_closing_twice_is_harmless_and_a_closed_writer_writes_no_more(shop: Shop) -> None:
    writer = shop.writer
    writer.close()
    writer.close()
    with pytest.raises(Retryable):
        writer.write(shop.feed.insert(1))


def test_a_full_disk_loses_nothing_and_is_waited_out(small_disk: Path) -> None:
    shop = Shop(small_disk / "s.duckdb")
    written = 0
    with pytest.raises(Retryable, match="the disk is full"):
        for batch in (shop.feed.insert(*range(part, part + 2000)) for part in range(0, 2_000_000, 2000)):
            shop.write(batch)
            written += 1
    shop.crash()
    subprocess.run(["mount", "-o", "remount,size=20m", small_disk], check=True)
    shop.write(batch)
    assert shop.sql("SELECT count(*) FROM public.orders") == [((written + 1) * 2000,)]


def test_what_is_no_database_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("hello " * 1000)
    with pytest.raises(Fatal, match="is not a DuckDB database"):
        DuckDB(path).open("shop", Limits())
    assert path.read_text() == "hello " * 1000


def test_a_folder_is_no_database_and_will_be_none(tmp_path: Path) -> None:
    """It was tried again and again."""
    with pytest.raises(Fatal, match=f"{tmp_path} is a folder"):
        DuckDB(tmp_path).open("shop", Limits())


@pytest.mark.parametrize(
    "options", [{"existing": "merge"}, {"threads": 0}, {"memory_limit": "a lot"}, {"path": ":memory:"}]
)
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        DuckDB(**{"path": tmp_path / "s.duckdb"} | options).open("shop", Limits())


def test_check_looks_at_the_folder(tmp_path: Path) -> None:
    assert [finding.severity for finding in DuckDB(tmp_path / "new" / "s.duckdb").check()] == ["ok"]
    assert [finding.severity for finding in DuckDB(tmp_path).check()] == ["error"]


def test_a_schema_may_be_named_like_the_file(tmp_path: Path, shop: Shop) -> None:
    writer = DuckDB(tmp_path / "public.duckdb").open("shop", Limits())
    writer.claim(LINEAGE)
    writer.write(shop.feed.insert(1, 2))
    writer.write(shop.feed.commit(("u", {"id": "1", "note": UNCHANGED}), ("d", {"id": "2"}), ("t", {})))
    writer.close()


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Query interrupted"),
        duckdb.InvalidInputException("reading the schema of the object registered as 'x' failed: KeyboardInterrupt: "),
    ],
    ids=["in a statement", "in a stream"],
)
def test_what_duckdb_makes_of_a_ctrl_c_becomes_one_again(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), explained(tmp_path):
        raise error


def test_a_database_that_the_sink_makes_is_private_and_one_that_is_there_stays_as_it_is(shop: Shop) -> None:
    shop.write(shop.feed.insert(1))
    assert shop.path.stat().st_mode & 0o777 == 0o600
    shop.close()
    shop.path.chmod(0o640)
    shop.write(shop.feed.insert(2))
    assert shop.path.stat().st_mode & 0o777 == 0o640


def test_a_commit_that_needs_more_memory_than_it_may_have_is_told_as_that(tmp_path: Path) -> None:
    path = tmp_path / "small.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("SET memory_limit = '8MB'; SET threads = 1; CREATE TABLE big (id int, note text)")
        connection.execute("BEGIN")
        for number in range(20):
            connection.execute("INSERT INTO big SELECT ?, repeat('x', 1000000)", [number])
        with pytest.raises(Fatal, match="ran out of its memory limit") as told, explained(path):
            connection.execute("COMMIT")
    assert "memory_limit" in str(told.value.hint)


def numbered(oid: int | None, *, key: bool = True) -> Table:
    columns = [Column("id", "int8", nullable=False), Column("note", "text")]
    return Table("public", "orders", columns, key=["id"] if key else [], oid=oid)


@pytest.mark.parametrize("key", [True, False], ids=["rows", "log"])
def test_another_table_under_the_name_of_one_that_is_held_is_refused_until_it_is_taken_over(
    shop: Shop, key: bool
) -> None:
    old, new, unknown = (numbered(oid, key=key) for oid in (7, 8, None))
    shop.write(shop.feed.commit(("c", {"id": "1", "note": "a"}), table=old))
    shop.write(shop.feed.commit(("c", {"id": "2", "note": "b"}), table=unknown))
    late = shop.feed.commit(("c", {"id": "3", "note": "c"}), table=new)
    for _ in range(2):  # under the stream, and after a stop
        with pytest.raises(Fatal, match=r"\(oid 8\) than .* in public\.orders at the target \(oid 7\)") as stopped:
            shop.write(late)
        shop.close()
    assert shop.rows() == [(1, "a"), (2, "b")]
    hint = stopped.value.hint or ""
    shop.sql(hint[hint.index("UPDATE") :])
    shop.write(late)
    assert shop.rows() == [(1, "a"), (2, "b"), (3, "c")]
    assert shop.sql("SELECT source_oid FROM _tailrace.targets") == [(8,)]


def test_a_snapshot_or_a_reset_may_be_of_another_table(shop: Shop) -> None:
    shop.write(shop.feed.snapshot("one", 1, table=numbered(7), begin=True, end=True))
    shop.write(shop.feed.snapshot("two", 2, table=numbered(8), begin=True, end=True))
    shop.write(shop.feed.commit(("c", {"id": "3", "note": "c"}), table=numbered(8)))
    assert shop.rows() == [(2, "s2"), (3, "c")]
    shop.writer.forget()
    shop.close()
    shop.write(shop.feed.commit(("c", {"id": "4", "note": "d"}), table=numbered(9)))
    assert shop.sql("SELECT source_oid FROM _tailrace.targets") == [(9,)]


def test_a_file_of_an_earlier_release_gets_the_number_when_the_table_comes_next(shop: Shop) -> None:
    shop.write(shop.feed.commit(("c", {"id": "1", "note": "a"}), table=numbered(7)))
    for column in ("source_oid", "source", "padded", "columns"):
        shop.sql(f"ALTER TABLE _tailrace.targets DROP COLUMN {column}")
    with contextlib.closing(DuckDB(shop.path).view("shop")) as view:
        shape = Shape(
            "public", "orders", (Field("id", "id", "int8", "bigint"), Field("note", "note", "text", "text")), ("id",)
        )
        assert not isinstance(view.mirror(shape), str)
    shop.write(shop.feed.commit(("c", {"id": "2", "note": "b"}), table=numbered(7)))
    assert shop.sql("SELECT source_oid FROM _tailrace.targets") == [(7,)]
