"""Locked wheels → a folder of importable packages. What has been downloaded once is kept, under its hash's guard."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from infra.package.contents import left_out
from infra.package.locks import REQUIREMENTS, ROOT, LockError, entries, lock_of, pip, require_agreement, wheels_of

if TYPE_CHECKING:
    from infra.package.target import Target

CACHE: Final = ROOT / ".cache" / "wheels"


def install(target: Target, folder: Path, *, slim: bool, cache: Path = CACHE) -> None:
    """Unpack the locked wheels for ``target`` into ``folder``; LockError where one is missing or is not as locked."""
    lock = lock_of(target)
    require_agreement(REQUIREMENTS, lock)
    wanted = [text for name, text in entries(lock).items() if name not in left_out(slim=slim)]
    kept = cache / target.suffix
    with TemporaryDirectory(prefix="package-wheels-") as temporary:
        chosen = Path(temporary) / "locked.txt"
        chosen.write_text("\n".join(wanted) + "\n", encoding="utf-8")
        with suppress(LockError):
            _spread(target, folder, chosen, kept)
            return
        kept.mkdir(parents=True, exist_ok=True)
        pip("download", *wheels_of(target), "--require-hashes", "--dest", str(kept), "--requirement", str(chosen))
        _spread(target, folder, chosen, kept)


def _spread(target: Target, folder: Path, chosen: Path, kept: Path) -> None:
    """Install from what is kept, asking no index. The byte code is made later, the same for everybody."""
    offline = ["--no-index", "--find-links", str(kept), "--no-compile", "--target", str(folder)]
    pip("install", *wheels_of(target), "--require-hashes", *offline, "--requirement", str(chosen))
