"""What a package is built for: an architecture as Lambda calls it, and a version of Python."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

MACHINES: Final = MappingProxyType({"arm64": "aarch64", "x86_64": "x86_64"})  # Lambda's name → Linux's
PYTHON: Final = "3.13"
PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14")  # that the locks hold wheels for
# Amazon Linux 2023, which Lambda's Python 3.12 and later stand on, has glibc 2.34.
_GLIBC_MINORS: Final = range(34, 16, -1)
_ASK_VERSION: Final = "import sys; print('%d.%d' % sys.version_info[:2])"
_ASK_SECONDS_MAX: Final = 20


@dataclass(frozen=True)
class Target:
    """One architecture and one version of Python."""

    architecture: str
    python: str = PYTHON

    @property
    def machine(self) -> str:
        """What Linux calls the architecture."""
        return MACHINES[self.architecture]

    @property
    def is_here(self) -> bool:
        """Whether this machine runs the target's code."""
        return platform.machine() == self.machine

    @property
    def platforms(self) -> tuple[str, ...]:
        """The platform tags of wheels that run there, the newest first."""
        newer = [f"manylinux_2_{minor}_{self.machine}" for minor in _GLIBC_MINORS]
        return (*newer, f"manylinux2014_{self.machine}")

    @property
    def suffix(self) -> str:
        """What names of files say: the architecture, and the version where it is not the usual one."""
        return self.architecture + self.python_suffix

    @property
    def python_suffix(self) -> str:
        """What names of files say that depend on the version of Python alone."""
        return "" if self.python == PYTHON else f"-py{self.python.replace('.', '')}"


def architecture_here() -> str:
    """Return this machine's architecture, as Lambda calls it; KeyError for one that Lambda does not have."""
    return {machine: name for name, machine in MACHINES.items()}[platform.machine()]


def interpreter(python: str) -> Path | None:
    """Return an interpreter of version ``python``, as ``3.13``: this one, one on the path, or one of pyenv's."""
    for candidate in _candidates(python):
        command: list[str | Path] = [candidate, "-I", "-S", "-c", _ASK_VERSION]
        asked = subprocess.run(command, capture_output=True, text=True, timeout=_ASK_SECONDS_MAX, check=False)
        if asked.stdout.strip() == python:
            return candidate
    return None


def running_python() -> str:
    """Return the version of the interpreter that runs this, as ``3.13``."""
    return "{}.{}".format(*sys.version_info)


def _candidates(python: str) -> Iterator[Path]:
    if running_python() == python:
        yield Path(sys.executable)
    if found := shutil.which(f"python{python}"):
        yield Path(found)
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(root.glob(f"versions/{python}.*/bin/python{python}"), reverse=True)
