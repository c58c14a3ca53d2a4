"""A CPython that this machine lacks, pinned, out of a module of Go's proxy. Never installs into the system.

    python = python.install("3.14")
    subprocess.run([python, "-m", "venv", "--without-pip", folder])

The module packs builds of python-build-standalone for embedding into Go programs: large files are compressed each for
itself, and a list of files holds their modes and links. `ensurepip` is not among them.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import platform
import re
import shutil
import tempfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

from servers import artifact, go
from servers.artifact import Unavailable

_MODULE = "github.com/kluctl/go-embed-python"
_PINNED = {
    "3.14": ("v0.0.0-3.14.6-20260610-1", "fa0d4ee2e90380a416d767e98ba500ce38d12f221eeb7af10cbe01fede77ee3a"),
}
"""Python's version to the module's, with the SHA-256 of its zip."""
_PLATFORMS = {"x86_64": "linux-amd64", "aarch64": "linux-arm64"}
_DIRECTORY = 1 << 31
"""In Go's `fs.FileMode`, which the list of files holds."""
_PATIENCE_S = 60.0


def install(version: str) -> Path:
    """The interpreter of `version`, 110 MB; downloaded the first time.

    `Unavailable` on a platform that the module does not serve, when no proxy has it, or when it is not what was pinned.
    """
    target = artifact.cache() / f"python-{version}"
    with artifact.locked(target.with_suffix(".lock")):
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=f"{target.name}-") as scratch:
                filled = Path(scratch, "filled")
                _unpack(_download(version, Path(scratch)), _platform(), filled)
                filled.chmod(0o755)
                filled.rename(target)
    return target / "bin" / f"python{version}"


def _platform() -> str:
    found = _PLATFORMS.get(platform.machine()) if platform.system() == "Linux" else None
    if found is None:
        raise Unavailable(f"no Python is packed for {platform.system()} on {platform.machine()}")
    return found


def _proxies() -> list[str]:
    """Those of `GOPROXY`, or that the `go` command would ask: its own settings and its default count too."""
    said = os.environ.get("GOPROXY", "")
    if not said:
        said = go.tell("GOPROXY")
    return [proxy.rstrip("/") for proxy in re.split("[,|]", said) if proxy.startswith("http")]


def _download(version: str, folder: Path) -> Path:
    pinned, digest = _PINNED[version]
    packed, reason = folder / "module.zip", "GOPROXY names none"
    for proxy in _proxies():
        try:
            address = f"{proxy}/{_MODULE}/@v/{pinned}.zip"
            with urllib.request.urlopen(address, timeout=_PATIENCE_S) as answer, packed.open("wb") as file:
                shutil.copyfileobj(answer, file)
        except (urllib.error.URLError, OSError) as error:
            reason = str(error)
            continue
        with packed.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == digest:
                return packed
        reason = "it is not the file that is pinned"
    raise Unavailable(f"Python {version} cannot be had from a proxy of Go's modules: {reason}")


def _unpack(packed: Path, machine: str, filled: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        root = next((name for name in archive.namelist() if name.endswith(f"/data/{machine}/files.json")), "")
        if not root:
            raise Unavailable(f"the module holds no Python for {machine}")
        root = root.removesuffix("files.json")
        filled.mkdir()
        for file in json.loads(archive.read(f"{root}files.json"))["files"]:
            path = filled / file["name"]
            path.parent.mkdir(parents=True, exist_ok=True)
            if "symlink" in file:
                path.symlink_to(file["symlink"])
            elif file["perm"] & _DIRECTORY:
                path.mkdir(exist_ok=True)
            else:
                compressed = file.get("compressed", False)
                held = archive.read(f"{root}{file['name']}{'.gz' if compressed else ''}")
                path.write_bytes(gzip.decompress(held) if compressed else held)
                path.chmod(file["perm"] & 0o755)
