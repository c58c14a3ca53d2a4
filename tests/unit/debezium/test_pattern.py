"""Java's regular expressions as globs: the same names match, or it is an error."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.debezium.pattern import globs, split
from tailrace.error import ConfigError


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("public.orders", ["public.orders"]),
        (r"public\.orders", ["public.orders"]),
        (r"public\.order_.*", ["public.order_*"]),
        (r"public\..*", ["public.*"]),
        ("public.*", ["public*.*"]),
        (".*", ["*.*"]),
        (r".*\.orders", ["*.orders"]),
        (r"(public|sales)\.(a|b)", ["public.a", "public.b", "sales.a", "sales.b"]),
        (r"public\.(?:orders|customers)", ["public.customers", "public.orders"]),
        (r"public\.a|sales\.b", ["public.a", "sales.b"]),
        (r"public\.orders?", ["public.order", "public.orders"]),
        (r"public\.o.+", ["public.o?*"]),
        (r"public\.y20\d{2}", ["public.y20[0-9][0-9]"]),
        (r"public\.[a-c]x[^d]", ["public.[a-c]x[!d]"]),
        (r"public[.]orders", ["public.orders"]),
        (r"^public\.orders$", ["public.orders"]),
        (r"(?i)public\.orders", ["public.orders"]),
        (r"\Qpublic.a*\E", ["public.a[*]"]),
        (r"public\.a\$b", ["public.a$b"]),
        ("a.b.c", ["a.b?c", "a?b.c"]),
    ],
)
def test_what_is_written_in_lists(expression: str, wanted: list[str]) -> None:
    assert globs(expression) == wanted


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        (r"public\.a[0-9]+", "only `.` can be repeated"),
        (r"public\.\d*", "only `.` can be repeated"),
        (r"(?!public).*", "looks around"),
        (r"public\.a{2,3}", "only `.` can be repeated"),
        (r"public\.(a", "without its"),
        (r"public\.a)", "without its"),
        (r"public\.\s", "escapes"),
        (r"public\.[[:alpha:]]", "a class can hold"),
        (r"public\.[a&&b]", "a class can hold"),
        (r"public\.(a|b|c){9}", "more than 200"),
        ("orders", "no dot"),
        (r"*.a", "repeats nothing"),
    ],
)
def test_what_has_no_equal_is_an_error_that_says_why(expression: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        globs(expression)
    assert expression in str(caught.value) and "name the tables" in str(caught.value)


def test_a_list_has_commas_between_and_within_behind_a_backslash() -> None:
    assert split(r" a.b , c\.d,e.f\,g ,") == ["a.b", r"c\.d", "e.f,g"]


ATOMS = st.sampled_from(["a", "b", ".", r"\.", ".*", "(a|b)", "b?", "[ab]", "[^a]", ".+", r"\d", "a{2}", "_"])
NAMES = st.text("ab._1", min_size=1, max_size=7)


@given(st.lists(ATOMS, min_size=1, max_size=6).map("".join), NAMES, NAMES)
def test_globs_match_just_what_the_expression_matches(expression: str, schema: str, table: str) -> None:
    name = f"{schema}.{table}"
    try:
        found = globs(expression)
    except ConfigError:
        return
    wanted = re.fullmatch(expression, name, re.DOTALL) is not None
    assert any(fnmatchcase(name, glob) for glob in found) == wanted
