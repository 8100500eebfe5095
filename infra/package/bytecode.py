"""Byte code, made by the version of Python that will run it, and never checked against its source.

``/var/task`` is read-only: what is not there compiled is compiled at every cold start.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from infra.package.target import interpreter

if TYPE_CHECKING:
    from pathlib import Path


def compile_folder(folder: Path, python: str) -> bool:
    """Compile every module in ``folder``; False where there is no interpreter of version ``python``.

    One process, files in order, a fixed hash seed: the marshalled objects depend on all three.
    """
    found = interpreter(python)
    if found is None:
        return False
    options = ["-q", "-j", "1", "--invalidation-mode", "unchecked-hash", "-s", str(folder)]
    environment = {"PYTHONHASHSEED": "0", "PATH": os.environ.get("PATH", os.defpath)}
    subprocess.run([found, "-s", "-S", "-m", "compileall", *options, str(folder)], env=environment, check=True)
    return True
