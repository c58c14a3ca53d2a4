"""Programs that a machine may lack come beside the servers: with those of this machine hidden, they do their work."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import pytest

from servers import artifact, compiler, debian, go, systemd
from servers import maven as jars
from tailrace.demo import maven
from tests.hiding import path_without
from tests.wanting import or_skip


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The PATH, one folder, has none of them."""
    hidden = path_without(tmp_path / "bin", "mvn", "go", "c++", "g++", "clang++", "systemd-analyze", "strace")
    monkeypatch.setenv("PATH", hidden)
    return Path(hidden)


def test_maven_brings_what_is_asked_for(bare: Path, tmp_path: Path) -> None:
    or_skip(jars.java)
    program = or_skip(jars.program)
    settings = program.with_name("m2.conf").resolve(strict=True)  # a link of the package's, absolute
    assert settings.is_relative_to(artifact.cache().resolve())
    maven.resolve(["org.slf4j:slf4j-simple:1.7.36"], tmp_path / "got", scratch=tmp_path, mvn=str(program))
    assert {path.name for path in (tmp_path / "got").iterdir()} == {"slf4j-api-1.7.36.jar", "slf4j-simple-1.7.36.jar"}


def test_a_go_that_is_too_old_is_not_taken(bare: Path, tmp_path: Path) -> None:
    (bare / "go").write_text("#!/bin/sh\necho go1.19.8\n")
    (bare / "go").chmod(0o755)
    program = or_skip(go.program)
    assert program.is_relative_to(artifact.cache())
    (tmp_path / "hello.go").write_text('package main\n\nfunc main() { println("hello") }\n')
    environment = {**os.environ, "GOCACHE": str(tmp_path / "built"), "GOTOOLCHAIN": "local"}
    done = subprocess.run(
        [program, "run", "hello.go"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stderr == "hello\n"


def test_a_go_that_is_new_enough_is(bare: Path) -> None:
    (bare / "go").write_text("#!/bin/sh\necho go1.99.1\n")
    (bare / "go").chmod(0o755)
    assert go.program() == bare / "go"


def test_what_the_cpp_compiler_makes_is_linked_by_the_c_compiler_and_runs(bare: Path, tmp_path: Path) -> None:
    environment = os.environ | or_skip(compiler.environment)
    assert Path(environment["CXX"]).is_relative_to(artifact.cache())
    (tmp_path / "hello.cc").write_text(
        "#include <iostream>\n#include <vector>\nint main() { std::cout << std::vector<int>{1, 2}.size(); }\n"
    )
    subprocess.run([environment["CXX"], "-c", "hello.cc"], cwd=tmp_path, env=environment, check=True)
    subprocess.run(["gcc", "hello.o", "-lstdc++"], cwd=tmp_path, env=environment, check=True)
    assert subprocess.run([tmp_path / "a.out"], capture_output=True, text=True, check=True).stdout == "2"


def test_what_judges_a_unit_knows_systemds_own(bare: Path, tmp_path: Path) -> None:
    analyze, strace = or_skip(systemd.analyze), or_skip(systemd.strace)
    assert str(artifact.cache()) in analyze[-1] and str(artifact.cache()) in " ".join(strace)
    known = subprocess.run([*analyze, "syscall-filter", "@basic-io"], capture_output=True, text=True, check=True).stdout
    assert "pwrite64" in known.split()
    said = subprocess.run([*strace, "-V"], capture_output=True, text=True, check=True).stdout
    assert said.startswith("strace -- version ")
    verify = or_skip(systemd.verify)
    unit = tmp_path / "late.service"
    unit.write_text("[Unit]\nWants=network-online.target\n\n[Service]\nExecStart=/bin/true\nNonsense=yes\n")
    done = subprocess.run([*verify, unit], capture_output=True, text=True, check=False)
    assert [line.partition(":6: ")[2] for line in done.stderr.splitlines()] == [
        "Unknown key 'Nonsense' in section [Service], ignoring."
    ]


def test_a_package_is_had_where_the_system_has_no_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lists" / "partial").mkdir(parents=True)
    (tmp_path / "apt.conf").write_text(f'Dir::State::Lists "{tmp_path / "lists"}";\n')
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    monkeypatch.setattr(artifact, "cache", lambda: tmp_path)
    root = or_skip(lambda: debian.install("mnl", ["libmnl0"]))
    assert list(debian.libraries(root).glob("libmnl.so.0*"))
    assert {path.name for path in (tmp_path / "lists").iterdir()} <= {"lock", "partial"}


def test_sources_of_another_suite_are_those_of_the_systems_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apt, old = tmp_path / "apt", platform.freedesktop_os_release()["VERSION_CODENAME"]
    (apt / "sources.list.d").mkdir(parents=True)
    line, stanza = (
        "deb [arch=all] file:/nowhere/a {} main",
        "Types: deb\nURIs: file:/nowhere/b\nSuites: {}\nComponents: main",
    )
    (apt / "sources.list").write_text("\n".join(["# ours", line.format(old), line.format(f"{old}-security")]))
    (apt / "sources.list.d" / "b.sources").write_text(
        "\n\n".join([stanza.format(f"{old} {old}-updates"), stanza.format(f"{old}-security")])
    )
    monkeypatch.setattr(debian, "_APT", apt)
    monkeypatch.setattr(artifact, "cache", lambda: tmp_path)
    with pytest.raises(artifact.Unavailable):
        debian.install("mnl", ["libmnl0"], "newer")
    sources = tmp_path / "apt-newer" / "sources"
    assert (sources / "system.list").read_text().split("\n\n") == [line.format("newer"), ""]
    assert (sources / "system.sources").read_text().split("\n\n") == [stanza.format("newer"), ""]
