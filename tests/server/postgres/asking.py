"""Asks an ordinary session and a walsender's of one login: the source and the sink open no others."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

from psycopg import conninfo

from tailrace.dialect.postgres import session

Options = Mapping[str, str]


def url(options: Options) -> str:
    return conninfo.make_conninfo("", **options)


def answers(options: Options, question: str) -> set[str]:
    """What an ordinary session and a walsender's say to `question`."""
    said = set()
    for connect in (session.connect, session.connect_replication):
        with closing(connect(url(options))) as connection:
            value = connection.pgconn.exec_(question.encode()).get_value(0, 0)
            said.add("" if value is None else value.decode())
    return said
