"""Shared libraries without the symbols that nothing is linked by.

``llvm-strip`` knows every architecture; the system's own ``strip`` knows the machine's. A library that was patched
when its wheel was made may not be loadable once it is stripped (its segments no longer lie where pages begin): such a
one is left as it was.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from infra.package.target import Target

_LLVM_VERSIONS: Final = range(30, 10, -1)
_ELF: Final = b"\x7fELF"
_SEGMENTS_OFFSET: Final = struct.Struct("<32xQ")  # e_phoff of a 64-bit little-endian file
_SEGMENTS_COUNT: Final = struct.Struct("<56xH")  # e_phnum
_SEGMENT: Final = struct.Struct("<IIQQQQQQ")  # type, flags, offset, address, physical, in file, in memory, alignment
_LOADED: Final = 1  # PT_LOAD


@dataclass(frozen=True)
class Stripped:
    """How many libraries were stripped and by what, and how many were left because they would not load."""

    tool: str | None
    count: int = 0
    left: int = 0

    @property
    def told(self) -> str:
        """Say it in words."""
        if self.tool is None:
            return "not stripped, for there is no program here that can: llvm-strip knows every architecture"
        return f"{self.count} libraries stripped by {self.tool}, {self.left} left that would not load afterwards"


def strip_tool(target: Target) -> str | None:
    """Return the program that strips the target's libraries, None where there is none here."""
    names = ["llvm-strip", *(f"llvm-strip-{version}" for version in _LLVM_VERSIONS)]
    names += ["strip"] if target.is_here else []
    return next(filter(None, map(shutil.which, names)), None)


def strip_libraries(folder: Path, target: Target) -> Stripped:
    """Strip every shared library in ``folder`` that still loads afterwards."""
    tool = strip_tool(target)
    if tool is None:
        return Stripped(None)
    libraries = sorted(path for path in folder.rglob("*.so*") if _is_elf(path))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        done = list(pool.map(lambda path: _strip(tool, path), libraries))
    return Stripped(Path(tool).name, done.count(True), done.count(False))


def loads(library: bytes) -> bool:
    """Whether every segment lies in the file as its address asks for, which is what the dynamic loader insists on."""
    (offset,), (count,) = _SEGMENTS_OFFSET.unpack_from(library), _SEGMENTS_COUNT.unpack_from(library)
    for number in range(count):
        kind, _, at, address, _, _, _, alignment = _SEGMENT.unpack_from(library, offset + number * _SEGMENT.size)
        if kind == _LOADED and alignment > 1 and (address - at) % alignment:
            return False
    return True


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_ELF)) == _ELF


def _strip(tool: str, path: Path) -> bool:
    stripped = path.with_name(f"{path.name}.stripped")
    subprocess.run([tool, "--strip-unneeded", "-o", stripped, path], check=True, capture_output=True)
    if not loads(stripped.read_bytes()):
        stripped.unlink()
        return False
    stripped.replace(path)
    return True
