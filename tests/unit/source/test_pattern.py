"""Table patterns of the PostgreSQL source."""

from __future__ import annotations

import pytest

from tailrace.error import ConfigError
from tailrace.source.postgres.pattern import Relation, choose, is_all, validate


def relation(
    name: str, *, oid: int = 1, kind: str = "r", persistence: str = "p", ancestors: tuple[int, ...] = ()
) -> Relation:
    schema, _, table = name.partition(".")
    return Relation(oid, schema, table, kind, persistence, ancestors, identified=True, keyed=True)


def test_a_glob_chooses_tables_and_leaves_out_what_cannot_be_captured() -> None:
    there = [
        relation("public.orders", oid=1),
        relation("public.order_items", oid=2),
        relation("public.order_view", oid=3, kind="v"),
        relation("public.order_scratch", oid=4, persistence="u"),
        relation("other.orders", oid=5),
    ]
    assert [str(r) for r in choose(["public.order*"], there)] == ["public.order_items", "public.orders"]


def test_a_missing_table_is_named_with_its_nearest_neighbour() -> None:
    with pytest.raises(ConfigError, match=r"'public.ordres' does not exist\n.*did you mean 'public.orders'"):
        choose(["public.ordres"], [relation("public.orders"), relation("public.payments")])


@pytest.mark.parametrize(("kind", "words"), [("v", "a view"), ("m", "a materialized view"), ("f", "a foreign table")])
def test_a_view_named_outright_is_refused(kind: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        choose(["public.orders"], [relation("public.orders", kind=kind)])


def test_a_partition_is_left_to_its_root_unless_only_it_is_meant() -> None:
    there = [relation("public.m", oid=1, kind="p"), relation("public.m_1", oid=2, ancestors=(1,))]
    assert [str(r) for r in choose(["public.*"], there)] == ["public.m"]
    assert [str(r) for r in choose(["public.m_*"], there)] == ["public.m_1"]


def test_an_expression_means_the_whole_name_and_an_exclamation_mark_leaves_out() -> None:
    there = [
        relation(f"public.{name}", oid=at) for at, name in enumerate(("order_1", "order_12", "orders", "secret"), 1)
    ]
    assert [str(r) for r in choose([r"/PUBLIC\.order_\d+/"], there)] == ["public.order_1", "public.order_12"]
    assert [str(r) for r in choose(["*.*", "!public.secret", r"!/.*\d/"], there)] == ["public.orders"]
    assert is_all(["*.*"])
    assert not is_all(["*.*", "!public.secret"])


@pytest.mark.parametrize("patterns", [(), ("orders",), ("!public.orders",), ("/public.(/",)])
def test_patterns_that_can_match_nothing_are_refused(patterns: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError):
        validate(patterns)


def test_patterns_that_only_leave_out_are_told_what_to_put_in_front() -> None:
    with pytest.raises(ConfigError, match=r"^tables only leaves tables out\n") as caught:
        validate(("!public.orders", "!audit.*"))
    assert caught.value.hint == 'say which are in, as in tables = ["*.*", "!public.orders", "!audit.*"]'
