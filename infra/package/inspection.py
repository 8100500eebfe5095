"""What can be said of a package without running it, for an architecture that is not this machine's."""

from __future__ import annotations

import io
import zipfile
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile

from infra.package.stripping import loads

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infra.package.target import Target

_MACHINES: Final = {"arm64": "EM_AARCH64", "x86_64": "EM_X86_64"}
# What manylinux wheels may ask of the system, as far as these do; Amazon Linux 2023 has all of it.
_OF_THE_SYSTEM: Final = frozenset(
    f"{name}.so.{version}"
    for name, version in (
        *(("libc", 6), ("libm", 6), ("libdl", 2), ("librt", 1), ("libpthread", 0), ("libutil", 1), ("libz", 1)),
        *(("libgcc_s", 1), ("libstdc++", 6), ("ld-linux-aarch64", 1), ("ld-linux-x86-64", 2)),
    )
)


def problems(archive: Path, target: Target) -> list[str]:
    """Return what would keep a package's libraries from loading: machine, segments, or a library that is not there."""
    with zipfile.ZipFile(archive) as opened:
        names = [name for name in opened.namelist() if ".so" in PurePosixPath(name).suffixes]
        present = {PurePosixPath(name).name for name in names} | _OF_THE_SYSTEM
        return [told for name in names for told in _problems(name, opened.read(name), target, present)]


def _problems(name: str, content: bytes, target: Target, present: set[str]) -> Iterator[str]:
    library = ELFFile(io.BytesIO(content))
    if library["e_machine"] != _MACHINES[target.architecture]:
        yield f"{name}: for {library['e_machine']}"
    if not loads(content):
        yield f"{name}: its segments do not lie where pages begin"
    for needed in _needed(library):
        if needed not in present:
            yield f"{name}: needs {needed}, which is not there"


def _needed(library: ELFFile) -> list[str]:
    dynamic = library.get_section_by_name(".dynamic")
    tags = dynamic.iter_tags() if isinstance(dynamic, DynamicSection) else ()
    return [str(tag.needed) for tag in tags if tag.entry.d_tag == "DT_NEEDED"]  # type: ignore[attr-defined]  # tags of this kind have it
