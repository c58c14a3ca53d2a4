"""Which libpq Rust is given."""

from __future__ import annotations

import psycopg

from tailrace.dialect.postgres import libpq


def test_the_libpq_that_is_found_is_the_one_that_this_process_has_mapped() -> None:
    assert psycopg.pq.version() > 0  # loaded
    assert libpq.path() in libpq._mapped()
