"""What judges a unit of systemd: `systemd-analyze` and `strace`, the machine's own or out of Debian's packages.

    subprocess.run([*systemd.verify(), "tailrace.service"])

Never installs into the system, and starts no unit.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from servers import debian
from servers.artifact import Unavailable

_ANALYZE = (
    *("systemd", "libsystemd-shared", "libacl1", "libapparmor1", "libaudit1", "libblkid1", "libcap-ng0", "libcap2"),
    *("libcrypt1", "libgcrypt20", "libgpg-error0", "libip4tc2", "libkmod2", "liblz4-1", "liblzma5", "libmount1"),
    *("libpam0g", "libpcre2-8-0", "libseccomp2", "libselinux1", "libssl3", "libzstd1"),
)
_RUN = Path("/run/systemd")
_STRACE = ("strace", "libunwind8", "liblzma5")


def analyze() -> list[str]:
    """The command `systemd-analyze`, which knows systemd's own units. `Unavailable` when it cannot be had."""
    if (found := shutil.which("systemd-analyze")) is not None:
        return [found]
    root = debian.install("systemd", _ANALYZE)
    own = debian.libraries(root) / "systemd"
    units = root / "lib" / "systemd" / "system"
    return [*_linking(root, own), f"SYSTEMD_UNIT_PATH={units}:", str(root / "usr" / "bin" / "systemd-analyze")]


def verify() -> list[str]:
    """The command that says what systemd does not understand of units. `Unavailable` as above, and to another user than
    root where systemd has never run: it would have to make a folder of systemd's."""
    if not _RUN.exists() and os.geteuid() != 0:
        raise Unavailable(f"the rights of root (systemd-analyze works in {_RUN}, which systemd has not made)")
    return [*analyze(), "verify"]


def strace() -> list[str]:
    """The command `strace`; what it traces finds the libraries that it would without. `Unavailable` as above."""
    if (found := shutil.which("strace")) is not None:
        return [found]
    root = debian.install("strace", _STRACE)
    return [*_linking(root), str(root / "usr" / "bin" / "strace"), "-E", "LD_LIBRARY_PATH"]


def _linking(root: Path, *folders: Path) -> list[str]:
    libraries = ":".join(map(str, (*folders, debian.environment(root)["LD_LIBRARY_PATH"])))
    return ["env", f"LD_LIBRARY_PATH={libraries}"]
