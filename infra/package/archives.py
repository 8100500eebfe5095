"""Zips whose bytes follow from the names and contents of their files, and from nothing else."""

from __future__ import annotations

import hashlib
import zipfile
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_DATE: Final = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can say
_MODE: Final = 0o100644  # a file that everybody may read; nothing in it is run as a program
_UNIX: Final = 3
_LEVEL: Final = 6


def files_in(folder: Path, prefix: str = "") -> dict[str, Path]:
    """Return name in the zip → file, for every file in ``folder``."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {prefix + path.relative_to(folder).as_posix(): path for path in found}


def write_zip(target: Path, files: Mapping[str, Path]) -> None:
    """Write ``files`` into a zip, sorted by name, all with one date and one mode."""
    with zipfile.ZipFile(target, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _DATE)
            entry.create_system, entry.external_attr = _UNIX, _MODE << 16
            archive.writestr(entry, files[name].read_bytes(), zipfile.ZIP_DEFLATED, _LEVEL)


def unzipped_bytes(archive: Path) -> int:
    """Return what the files in a zip come to once it is unzipped, which is what Lambda's limit counts."""
    with zipfile.ZipFile(archive) as opened:
        return sum(entry.file_size for entry in opened.infolist())


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
