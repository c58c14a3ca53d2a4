"""A case: what is done to a database that both sides watch, as data. Knows nothing of either side."""

from __future__ import annotations

from dataclasses import dataclass

EXTENSIONS = ("hstore", "ltree", "citext", "isn", "vector")
TYPES = (
    "CREATE TYPE mood AS ENUM ('sad', 'ok', 'so-so \"happy\"')",
    "CREATE DOMAIN positive AS int CHECK (value > 0)",
    "CREATE DOMAIN price AS numeric(10, 2)",
    "CREATE DOMAIN label AS citext",
    "CREATE TYPE pair AS (a int, b text)",
    "CREATE DOMAIN dearer AS price",
    "CREATE DOMAIN code AS varchar(5)",
    "CREATE DOMAIN flags AS bit(3)",
    "CREATE DOMAIN instant AS timestamp(3)",
    "CREATE DOMAIN several AS int[]",
    "CREATE DOMAIN couple AS pair",
)


@dataclass(frozen=True, slots=True)
class Values:
    """A table `id int PRIMARY KEY, <columns>`; its rows are there at the start and inserted again later."""

    name: str
    columns: str
    rows: tuple[str, ...]
    phases: tuple[str, ...] = ("snapshot", "stream")

    def before(self) -> list[str]:
        rows = self.rows if "snapshot" in self.phases else ()
        create = f"CREATE TABLE {self.name} (id int PRIMARY KEY, {self.columns})"
        return [create, *(f"INSERT INTO {self.name} VALUES ({at}, {row})" for at, row in enumerate(rows, 1))]

    def after(self) -> list[str]:
        rows = self.rows if "stream" in self.phases else ()
        return [f"INSERT INTO {self.name} VALUES ({at}, {row})" for at, row in enumerate(rows, 1001)]


@dataclass(frozen=True, slots=True)
class Statements:
    """A table of its own making: `create` runs before the start, `run` later; a tuple in it is one transaction.

    `apart`: each step waits until both sides have read what was before it, because they look into the catalog.
    """

    name: str
    create: tuple[str, ...]
    run: tuple[str | tuple[str, ...], ...]
    apart: bool = False

    def before(self) -> list[str]:
        return list(self.create)

    def after(self) -> list[str | tuple[str, ...]]:
        return list(self.run)


Case = Values | Statements
