"""What a connection that was not made is told as. Never connects to a server."""

from __future__ import annotations

import psycopg
import pytest

from tailrace.dialect.postgres.fault import translate_connect
from tailrace.error import Retryable


@pytest.mark.parametrize(
    ("text", "next_step"),
    [
        ('connection to server at "127.0.0.1", port 1 failed: Connection refused', "listen on this host and port"),
        ('connection to server on socket "/x/.s.PGSQL.5432" failed: No such file or directory', "give a host"),
        ('could not translate host name "nowhere" to address: Name or service not known', "check host"),
        ("connection timeout expired", "firewall"),
        ("FATAL:  sorry, too many clients already", "max_connections"),
    ],
)
def test_a_fault_of_connecting_that_may_pass_says_what_to_look_at(text: str, next_step: str) -> None:
    error = translate_connect(psycopg.OperationalError(text), "db/shop")
    assert isinstance(error, Retryable)
    assert error.hint is not None and next_step in error.hint


def test_a_fault_of_connecting_that_nobody_knows_passes_without_advice() -> None:
    error = translate_connect(psycopg.OperationalError("the moon is full"), "db/shop")
    assert isinstance(error, Retryable) and error.hint is None
