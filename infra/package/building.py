"""A package, from the locked wheels and the program's own files: folders first, then zips, then the limits."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from infra.package import archives
from infra.package.bytecode import compile_folder
from infra.package.contents import slim_down
from infra.package.locks import ROOT
from infra.package.stripping import Stripped, strip_libraries
from infra.package.wheels import install

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.package.target import Target

DIST: Final = ROOT / "dist"
NAME: Final = "csv-transcode"
LAYER_PREFIX: Final = "python/"  # where Lambda looks for a layer's modules, below /opt
SOURCES: Final = ("lambda_handler.py", "s3_data_processor.py", "csv_transcode/**/*.py")

UNZIPPED_BYTES_MAX: Final = 195_000_000
SLIM_BYTES_MAX: Final = 150_000_000
UNSTRIPPED_BYTES_MAX: Final = 230_000_000
LAMBDA_BYTES_MAX: Final = 262_144_000  # Lambda's own: a function and its layers, unzipped


class TooLargeError(Exception):
    """A package is over its limit."""


@dataclass(frozen=True)
class Package:
    """What was built: the code alone, the layer alone, both in one; and how."""

    target: Target
    slim: bool
    code: Path
    layer: Path
    whole: Path
    stripped: Stripped
    compiled: bool

    @property
    def bytes_max(self) -> int:
        """What all of it may come to unzipped."""
        if self.stripped.tool is None:
            return UNSTRIPPED_BYTES_MAX
        return SLIM_BYTES_MAX if self.slim else UNZIPPED_BYTES_MAX

    def require_size(self) -> None:
        """Raise TooLargeError where it is over the limit."""
        found = archives.unzipped_bytes(self.whole)
        if found > self.bytes_max:
            message = f"{self.whole.name}: {found:,} bytes unzipped, at most {self.bytes_max:,} wanted"
            raise TooLargeError(message)

    def moved(self, folder: Path) -> Package:
        """Move the zips into ``folder``, each at once, over what stands there."""
        places = {name: folder / getattr(self, name).name for name in ("code", "layer", "whole")}
        for name, place in places.items():
            getattr(self, name).replace(place)
        return replace(self, **places)

    def lines(self) -> Iterator[str]:
        """Say what was built, how large it is, and what it could not be given here."""
        less = ", without pandas and awswrangler" if self.slim else ""
        yield f"Python {self.target.python}, {self.target.architecture}{less}"
        for path in (self.code, self.layer, self.whole):
            yield (
                f"  {path.name:<36}{path.stat().st_size:>12,} bytes {archives.unzipped_bytes(path):>13,} unzipped"
                f"  sha256 {archives.digest(path)[:16]}"
            )
        yield f"  at most {self.bytes_max:,} unzipped wanted; Lambda takes {LAMBDA_BYTES_MAX:,}"
        yield f"  {self.stripped.told}"
        if not self.compiled:
            yield f"  no byte code: there is no Python {self.target.python} here, and every cold start will compile"


def build(target: Target, *, slim: bool = False, dist: Path = DIST) -> Package:
    """Build the zips of one target into ``dist``; LockError or TooLargeError where they cannot be as they should."""
    dist.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="package-", dir=dist) as temporary:
        made = _build(target, Path(temporary), slim=slim)
        made.require_size()
        return made.moved(dist)


def fill(folder: Path, target: Target, *, slim: bool = False) -> tuple[Stripped, bool]:
    """Put program and dependencies into ``folder``, as they stand in an image; return how, as in Package."""
    done = _fill_dependencies(folder, target, slim=slim)
    _copy_sources(folder)
    return done, compile_folder(folder, target.python)


def _build(target: Target, folder: Path, *, slim: bool) -> Package:
    dependencies, code = folder / "dependencies", folder / "code"
    stripped = _fill_dependencies(dependencies, target, slim=slim)
    _copy_sources(code)
    compiled = compile_folder(dependencies, target.python) and compile_folder(code, target.python)
    variant = target.suffix + ("-slim" if slim else "")
    made = Package(
        target,
        slim,
        code=folder / f"{NAME}-code{target.python_suffix}.zip",
        layer=folder / f"{NAME}-layer-{variant}.zip",
        whole=folder / f"{NAME}-{variant}.zip",
        stripped=stripped,
        compiled=compiled,
    )
    archives.write_zip(made.code, archives.files_in(code))
    archives.write_zip(made.layer, archives.files_in(dependencies, LAYER_PREFIX))
    archives.write_zip(made.whole, archives.files_in(dependencies) | archives.files_in(code))
    return made


def _fill_dependencies(folder: Path, target: Target, *, slim: bool) -> Stripped:
    install(target, folder, slim=slim)
    slim_down(folder, slim=slim)
    return strip_libraries(folder, target)


def _copy_sources(folder: Path) -> None:
    for path in (path for pattern in SOURCES for path in ROOT.glob(pattern)):
        copy = folder / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
