"""A C++ compiler, for libFuzzer, where the machine has one for C alone. Never installs into the system."""

from __future__ import annotations

import platform
import shutil
import subprocess

from servers import debian
from servers.artifact import Unavailable


def environment() -> dict[str, str]:
    """What cargo must see to compile C++: nothing where the machine can, otherwise where Debian's compiler is unpacked.

    It is of the release of the machine's own gcc, with which cargo links. `Unavailable` when it cannot be had.
    """
    if any(map(shutil.which, ("c++", "g++", "clang++"))):
        return {}
    gcc = shutil.which("gcc")
    if gcc is None:
        raise Unavailable("there is neither a C++ compiler nor the gcc whose other half Debian's would be")
    told = subprocess.run([gcc, "-dumpversion"], capture_output=True, text=True, check=True).stdout
    release = told.strip().partition(".")[0]
    packages = (f"g++-{release}", f"libstdc++-{release}-dev", f"libgcc-{release}-dev", "libstdc++6")
    root = debian.install(f"g++-{release}", packages) / "usr"
    machine = f"{platform.machine()}-linux-gnu"
    libraries = root / "lib" / "gcc" / machine / release
    return {"CXX": str(root / "bin" / f"{machine}-g++-{release}"), "LIBRARY_PATH": str(libraries)}
