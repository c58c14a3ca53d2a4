"""What is asked for in pyproject.toml is what is locked, with hashes and without the name of any index."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

from tests.tidy import tree

LOCK = (tree.ROOT / "requirements.lock").read_text()
PROJECT = tomllib.loads((tree.ROOT / "pyproject.toml").read_text())["project"]


def test_every_requirement_is_locked() -> None:
    asked = [*PROJECT["dependencies"], *(line for extra in PROJECT["optional-dependencies"].values() for line in extra)]
    names = {re.split(r"[\[<>=~! ]", line)[0] for line in asked} - {"tailrace"}
    locked = set(re.findall(r"^([\w.-]+)==", LOCK, re.MULTILINE))
    assert not names - locked


def test_everything_locked_has_hashes_and_no_index() -> None:
    packages = re.split(r"\n(?=\w)", LOCK.split("\n", 1)[1])
    assert packages
    assert [package.split()[0] for package in packages if "--hash=sha256:" not in package] == []
    assert "://" not in LOCK


def test_a_distribution_has_every_file_of_the_package_and_of_the_crates(tmp_path: Path) -> None:
    """What a wheel is built from; the wheel itself takes a release build of the extension."""
    maturin = Path(sys.executable).with_name("maturin")
    done = subprocess.run(
        [maturin, "sdist", "--out", tmp_path], cwd=tree.ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    [made] = tmp_path.glob("*.tar.gz")
    with tarfile.open(made) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
        assert "Name: tailrace" in _text(packed, "PKG-INFO")
    wanted = {str(path.relative_to(tree.ROOT)) for path in tree.files()}
    folders = ("src/tailrace/", "crates/native/", "crates/wire/src/")
    lacking = {path for path in wanted if path.startswith(folders)} - names
    assert not lacking
    assert {"src/tailrace/py.typed", "LICENSE", "README.md", "Cargo.lock", "pyproject.toml"} <= names
    assert not [name for name in names if name.endswith((".so", ".pyc"))]


def _text(packed: tarfile.TarFile, ending: str) -> str:
    [name] = [name for name in packed.getnames() if name.endswith(ending)]
    member = packed.extractfile(name)
    assert member is not None
    return member.read().decode()


def test_nothing_asks_for_a_later_python_than_debian_has() -> None:
    """3.11.2: `extractall(filter=…)` came with 3.11.4."""
    asks = re.compile(r"extract\w*\(.*filter *= *[\w\"']")
    wrong = [tree.shown(path) for path in tree.files(".py") if asks.search(path.read_text())]
    assert not wrong


TOOLS = ("Python 3.11", "cargo", "make", "JDK 17", "Maven", "Go", "C++ compiler", "servers/.cache")


def test_what_make_needs_is_said_alike_in_every_place() -> None:
    for name in ("Makefile", "CONTRIBUTING.md", "docs/design/0027-what-make-needs.md"):
        said = (tree.ROOT / name).read_text()
        if name != "docs/design/0027-what-make-needs.md":
            said = said.partition("0027-what-make-needs.md")[0]  # the text above its reference to the reasons
        words = " ".join(said.replace("# ", " ").replace("`", "").split())
        missing = [tool for tool in TOOLS if not re.search(rf"(?<!\w){re.escape(tool)}(?!\w)", words)]
        assert not missing, name


def test_the_cargo_that_is_asked_for_is_the_one_that_the_crates_need() -> None:
    """Clippy holds our own code to it (`incompatible_msrv`)."""
    workspace = tomllib.loads((tree.ROOT / "Cargo.toml").read_text())["workspace"]
    oldest = workspace["package"]["rust-version"]
    for name in ("README.md", "Makefile", "CONTRIBUTING.md", "docs/design/0027-what-make-needs.md"):
        text = (tree.ROOT / name).read_text()
        assert set(re.findall(r"\bcargo (\d+(?:\.\d+)*)", text)) == {oldest}, name
    asked = ["cargo", "metadata", "--locked", "--format-version=1"]
    locked = json.loads(subprocess.run(asked, cwd=tree.ROOT, stdout=subprocess.PIPE, check=True).stdout)["packages"]
    ours = {str(tree.ROOT / member / "Cargo.toml") for member in workspace["members"]}
    assert {package["rust_version"] for package in locked if package["manifest_path"] in ours} == {oldest}
    asking = {f"{package['name']} {package['version']}": package["rust_version"] for package in locked}
    assert not {name: asks for name, asks in asking.items() if asks and _version(asks) > _version(oldest)}


def _version(text: str) -> list[int]:
    return [int(part) for part in [*text.split("."), "0"][:3]]


def test_make_docs_runs_what_the_documents_say() -> None:
    outer = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL"}  # of the make that runs the tests
    done = subprocess.run(
        ["make", "--dry-run", "docs"],
        cwd=tree.ROOT, env={name: value for name, value in os.environ.items() if name not in outer},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    [*_, command] = done.stdout.splitlines()
    python, module, pytest, path = command.split()
    assert (python, module, pytest) == (".venv/bin/python", "-m", "pytest")
    assert "def test_programs_and_commands_of_documents_" in (tree.ROOT / path).read_text()
