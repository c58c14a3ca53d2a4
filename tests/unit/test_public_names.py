"""`import tailrace`: what it offers, and how little it costs."""

import subprocess
import sys

import tailrace as tr

HEAVY = ("asyncio", "cyclopts", "duckdb", "msgspec", "psycopg", "pyarrow", "rich", "structlog")


def test_every_public_name_is_there() -> None:
    assert [name for name in tr.__all__ if not hasattr(tr, name)] == []
    assert set(tr.__all__) <= set(dir(tr))


def test_tail_is_the_function_even_after_its_module_was_imported() -> None:
    program = "import tailrace.tailing; from tailrace import tail; print(callable(tail))"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "True\n"


def test_importing_it_imports_nothing_heavy() -> None:
    program = f"import sys, tailrace; print([name for name in {HEAVY!r} if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
