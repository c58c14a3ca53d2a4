"""Programs and libraries out of Debian's packages, unpacked beside the other servers. Never installs into the system.

root = debian.install("faketime", ["libfaketime"])
preload = debian.libraries(root) / "faketime" / "libfaketime.so.1"

Where the system has no lists of packages, or old ones, we fetch our own, from where it would, beside what is unpacked;
its keys check them. Any user may. Packages of another suite than the system's come in the same way.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from servers import artifact
from servers.artifact import Unavailable

_APT = Path("/etc/apt")
_TRIES = 3


def install(name: str, packages: Sequence[str], suite: str | None = None) -> Path:
    """The folder `name` with what those packages hold, downloaded the first time; what they depend on is not fetched.

    They are the system's release's, or those of `suite` ("forky"), where the system's own sources have that too.
    Raises `Unavailable` on a system without apt-get, or when a package cannot be had.
    """
    target = artifact.cache() / name
    with artifact.locked(target.with_suffix(".lock")):
        if not target.exists():
            _unpack(packages, target, suite)
    return target


def libraries(root: Path) -> Path:
    """Where the shared libraries of an unpacked package lie."""
    return root / "usr" / "lib" / f"{platform.machine()}-linux-gnu"


def environment(root: Path) -> dict[str, str]:
    """Ours, with which a program of an unpacked package finds the shared libraries that came with it."""
    folder = Path("lib", f"{platform.machine()}-linux-gnu")
    return {**os.environ, "LD_LIBRARY_PATH": f"{root / 'usr' / folder}:{root / folder}"}


def _unpack(packages: Sequence[str], target: Path, suite: str | None) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise Unavailable(f"{target.name} comes from Debian's packages, and this system has no apt-get: install it")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f"{target.name}-") as scratch:
        filled = Path(scratch, "filled")
        _download(packages, Path(scratch), target.name, suite=suite)
        for package in Path(scratch).glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", str(package), str(filled)], check=True)
        _turn_inwards(filled)
        filled.chmod(0o755)
        filled.rename(target)


def _download(packages: Sequence[str], folder: Path, name: str, *, suite: str | None) -> None:
    if suite is None and _apt_get(folder, "download", *packages).returncode == 0:
        return
    # A fresh system has no lists of packages, or old ones; those of another suite it need not have at all.
    own = artifact.cache() / (f"apt-{suite}" if suite else "apt")
    with artifact.locked(own.with_suffix(".lock")):
        options = [*_own_lists(own), *(_other_sources(own, suite) if suite else ())]
        said = ""
        for part in folder.glob("*.deb"):  # of what could not be had whole
            part.unlink()
        got = _apt_get(folder, "download", *packages, options=options)
        for _ in range(_TRIES):  # lists that are half had are no error to apt-get
            if got.returncode == 0:
                break
            said = _apt_get(folder, "update", options=options).stderr
            got = _apt_get(folder, "download", *packages, options=options)
    if got.returncode != 0:
        wrong = [line for line in (said + got.stderr).splitlines() if line.startswith("E:")]
        raise Unavailable(f"{name} cannot be downloaded: {(wrong or ['?'])[-1]}")


def _own_lists(own: Path) -> list[str]:
    for each in (own / "lists" / "partial", own / "cache" / "archives" / "partial"):
        each.mkdir(parents=True, exist_ok=True)
    return [f"Dir::State::Lists={own / 'lists'}", f"Dir::Cache={own / 'cache'}", "Acquire::Languages=none"]


def _other_sources(own: Path, suite: str) -> list[str]:
    """Let the system's sources of its own release be those of `suite`: the same servers, checked by the same keys."""
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    parts = own / "sources"
    parts.mkdir(exist_ok=True)
    for ending, exchanged in ((".list", _lines), (".sources", _stanzas)):
        files = [_APT / "sources.list", *sorted((_APT / "sources.list.d").glob("*"))]
        texts = [path.read_text() for path in files if path.suffix == ending and path.is_file()]
        found = [each for text in texts for each in exchanged(text, release, suite)]
        (parts / f"system{ending}").write_text("\n\n".join([*found, ""]))
    # A mirror may lag behind; and which versions the system has installed is not to decide on another release's.
    settings = ["Acquire::Check-Valid-Until=false", "Dir::State::Status=/dev/null", "Dir::Etc::SourceList=/dev/null"]
    return [*settings, f"Dir::Etc::SourceParts={parts}"]


def _lines(text: str, release: str, suite: str) -> Iterator[str]:
    for line in text.splitlines():
        found = re.fullmatch(r"(deb\s+(?:\[[^]]*\]\s*)?\S+\s+)(\S+)(\s.*)", line.strip())
        if found and found[2] == release:
            yield f"{found[1]}{suite}{found[3]}"


def _stanzas(text: str, release: str, suite: str) -> Iterator[str]:
    for stanza in re.split(r"\n\s*\n", text.strip()):
        found = re.search(r"^Suites:(.*)$", stanza, re.MULTILINE)
        if found and release in found[1].split():
            yield f"{stanza[: found.start()]}Suites: {suite}{stanza[found.end() :]}"


def _apt_get(folder: Path, *command: str, options: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    # Its own user for downloads, to which root would change, may not write here.
    given = [f"-o{option}" for option in ("APT::Sandbox::User=root", *options)]
    return subprocess.run(["apt-get", *given, *command], cwd=folder, capture_output=True, text=True, check=False)


def _turn_inwards(root: Path) -> None:
    """Let links that are absolute point to what was unpacked with them, not to the system's."""
    for path in root.rglob("*"):
        if path.is_symlink() and (aim := path.readlink()).is_absolute():
            path.unlink()
            path.symlink_to(os.path.relpath(root / aim.relative_to("/"), path.parent))
