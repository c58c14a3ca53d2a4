"""Fetches pinned JARs through Maven and unpacks each set once, under a lock. Never loads a class, never runs a service.

A set is a file in `servers/jars/`: first the artifacts that are asked for (`group:artifact:version`, a packed one with
`:type:classifier`), then the SHA-256 of everything that they bring. What does not match is not installed. Where
there is no Maven, Debian's is unpacked beside the JARs.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from servers import artifact, debian
from servers.artifact import Unavailable
from tailrace.demo import maven
from tailrace.error import Fatal

SETS = Path(__file__).parent / "jars"
_PACKAGES = (
    *("maven", "libmaven3-core-java", "libmaven-resolver-java", "libmaven-shared-utils-java", "libwagon-file-java"),
    *("libwagon-http-shaded-java", "libwagon-provider-api-java", "libplexus-cipher-java", "libplexus-classworlds-java"),
    *("libplexus-component-annotations-java", "libplexus-interpolation-java", "libplexus-sec-dispatcher-java"),
    *("libplexus-utils2-java", "libsisu-inject-java", "libsisu-plexus-java", "libguice-java", "libguava-java"),
    *("libaopalliance-java", "libatinject-jsr330-api-java", "libcdi-api-java", "libgeronimo-annotation-1.3-spec-java"),
    *("libcommons-cli-java", "libcommons-io-java", "libcommons-lang3-java", "libjansi-java", "libslf4j-java"),
)
"""What Debian's Maven needs, save a JRE."""
_ALONE = "2.8"
"""Later ones resolve an artifact's parents even when it alone is wanted, and some of them cannot be had."""


@dataclass(frozen=True, slots=True)
class _Set:
    artifacts: tuple[str, ...]
    hashes: dict[str, str]
    """File name to SHA-256 in hex."""


def install(name: str) -> Path:
    """The folder with everything of `jars/<name>.txt`: JARs side by side, archives (`:tar.gz:…`) unpacked in `archive`.

    `Unavailable` when there is no JDK 17, when Maven or a file cannot be had, or when one is not what was pinned.
    """
    java()
    target = artifact.cache() / name
    with artifact.locked(target.with_suffix(".lock")):
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=f"{name}-") as scratch:
                filled = Path(scratch, "filled")
                _fill(_load(name), filled, Path(scratch))
                filled.chmod(0o755)
                filled.rename(target)
    return target


def java() -> str:
    """The `java` command; `Unavailable` when there is none."""
    found = shutil.which("java")
    if found is None:
        raise Unavailable("this server needs a JDK, version 17 or newer (no java found)")
    return found


def program() -> Path:
    """The machine's `mvn` command, or Debian's, downloaded the first time; `Unavailable` when neither can be had."""
    found = shutil.which("mvn")
    if found is not None:
        return Path(found)
    return debian.install("maven", _PACKAGES) / "usr" / "share" / "maven" / "bin" / "mvn"


@contextmanager
def available() -> Iterator[None]:
    """What the package calls fatal means here that this machine cannot run a server."""
    try:
        yield
    except Fatal as error:
        raise Unavailable(str(error.args[0])) from error


def _load(name: str) -> _Set:
    lines = [line.split("#")[0].strip() for line in (SETS / f"{name}.txt").read_text().splitlines()]
    hashed = [line.split() for line in lines if " " in line]
    return _Set(tuple(line for line in lines if line and " " not in line), {name: digest for digest, name in hashed})


def _fill(wanted: _Set, filled: Path, scratch: Path) -> None:
    got = scratch / "got"
    got.mkdir()
    filled.mkdir()
    mvn = str(program())
    plain = [line for line in wanted.artifacts if line.count(":") == 2]
    if plain:
        with available():
            maven.resolve(plain, got, scratch=scratch, mvn=mvn)
    for line in wanted.artifacts:
        if line.count(":") > 2:
            # Its tree of dependencies lies in the archive, and its parents need not be resolved.
            with available():
                maven.run(scratch, f"{_ALONE}:get", "-Dtransitive=false", f"-Dartifact={line}", mvn=mvn)
                maven.run(scratch, f"{_ALONE}:copy", f"-Dartifact={line}", f"-DoutputDirectory={got}", mvn=mvn)
    _verify(got, wanted.hashes)
    for path in sorted(got.iterdir()):
        if path.name.endswith(".tar.gz"):
            artifact.untar(path, filled / "archive")
        else:
            path.rename(filled / path.name)


def _verify(folder: Path, hashes: dict[str, str]) -> None:
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    wrong = sorted(name for name in {*found, *hashes} if found.get(name) != hashes.get(name))
    if wrong:
        raise Unavailable(f"Maven brought other files than those that are pinned: {', '.join(wrong[:5])}")
