"""Who may import whom (docs/design): the arrows all point down, and no product knows another."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.tidy import tree

PACKAGE = tree.ROOT / "src" / "tailrace"
VALUES = {"_native", "error", "model"}
SEAM = VALUES | {"comparison", "contract", "durable", "format", "identity", "output", "pattern"}
PRODUCTS = {"source", "sink", "transform", "checkpoint"}
PLUGINS = PRODUCTS | {"dead_letters"}
RUNTIME = SEAM | {"pipeline"}
EVERYTHING = (
    RUNTIME
    | PLUGINS
    | {
        "debezium",
        "dialect",
        "registry",
        "plugin",
        "config",
        "supervisor",
        "health",
        "app",
        "testing",
        "tailing",
        "verify",
    }
)

MAY_IMPORT = {
    "_native": set[str](),
    "error": set[str](),
    "durable": {"error", "model"},
    "output": {"error", "durable"},
    "pattern": {"error"},
    "model": {"_native"},
    "format": VALUES | {"registry"},
    "contract": VALUES,
    "identity": VALUES,
    "comparison": VALUES | {"contract"},
    "pipeline": SEAM | {"checkpoint"},  # the default one; never a source or a sink
    "supervisor": RUNTIME,
    "verify": RUNTIME,
    "health": RUNTIME,
    "dialect": {"error"},
    "registry": {"error"},
    "source": SEAM | {"dialect", "registry"},
    "sink": SEAM | {"dialect", "registry"},
    "transform": SEAM,
    "checkpoint": SEAM,
    "dead_letters": SEAM | {"dialect"},
    "plugin": SEAM | PLUGINS,
    "config": RUNTIME | {"plugin"},
    "app": RUNTIME | {"plugin", "config"},
    "tailing": RUNTIME | {"checkpoint", "plugin", "config"},
    "testing": SEAM | {"app"},
    "debezium": {"_native", "error", "format"},
    "demo": EVERYTHING,
    "cli": EVERYTHING | {"demo"},
    "__init__": EVERYTHING,
    "__main__": {"cli"},
}
ASYNC = {"app", "cli", "testing", "tailing"}


def imports() -> Iterator[tuple[str, str, str]]:
    """(importing module, imported module, where), both as dotted names, for every import at any depth of a file."""
    for path, module in tree.python("src"):
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.walk(module):
            if isinstance(node, ast.Import):
                yield from ((name, alias.name, tree.shown(path, node.lineno)) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{tree.shown(path, node.lineno)}: imports are absolute"
                for alias in node.names:
                    yield name, f"{node.module}.{alias.name}", tree.shown(path, node.lineno)


def layer(module: str) -> str:
    """`tailrace.sink.duckdb.writer` → `sink`; the package itself is `__init__`."""
    return module.split(".")[1] if "." in module else "__init__"


IMPORTS = list(imports())
OURS = [found for found in IMPORTS if found[1].split(".")[0] == "tailrace"]


def test_architecture_names_every_layer_and_folder() -> None:
    text = (tree.ROOT / "ARCHITECTURE.md").read_text()
    layers = {path.name.removesuffix(".py") for path in PACKAGE.iterdir() if path.suffix in {"", ".py"}} - {
        "__pycache__"
    }
    assert layers - {"__init__", "__main__"} <= MAY_IMPORT.keys()
    assert MAY_IMPORT.keys() - {"_native"} <= layers
    tests = {path.name for path in (tree.ROOT / "tests").iterdir() if path.is_dir()} - {"__pycache__"}
    wanting = {name for name in (layers - {"__init__", "__main__"}) | tests if not re.search(rf"\b{name}\b", text)}
    assert not wanting


def test_every_layer_imports_only_what_lies_below_it() -> None:
    wrong = [
        f"{where}: {layer(importer)} must not import {imported}"
        for importer, imported, where in OURS
        if layer(imported) != layer(importer) and layer(imported) not in MAY_IMPORT.get(layer(importer), set())
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("kind", sorted(PRODUCTS))
def test_one_product_never_imports_another_of_its_kind(kind: str) -> None:
    wrong = [
        f"{where}: {importer} must not import {imported}"
        for importer, imported, where in OURS
        if layer(importer) == layer(imported) == kind
        and importer != f"tailrace.{kind}"
        and importer.split(".")[2] != imported.split(".")[2]
    ]
    assert not wrong, "\n".join(wrong)


def test_the_core_never_imports_asyncio() -> None:
    wrong = [
        f"{where}: {importer} imports asyncio"
        for importer, imported, where in IMPORTS
        if imported.split(".")[0] == "asyncio" and layer(importer) not in ASYNC
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("forbidden", ["pyo3", "std::net", "SystemTime::now", "Instant::now"])
def test_the_wire_crate_knows_no_python_no_socket_and_no_clock(forbidden: str) -> None:
    wire = tree.ROOT / "crates" / "wire"
    sources = [path for path in tree.files(".rs", ".toml") if wire / "src" in path.parents or path.parent == wire]
    wrong = [tree.shown(path) for path in sources if forbidden in path.read_text()]
    assert not wrong, "\n".join(wrong)
