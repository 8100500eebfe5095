"""Locks: for each architecture the wheels that a package is built from, by their hashes, for every Python at once.

A lock is a requirements file for ``pip --require-hashes``. pip takes a wheel only if its hash stands there.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from infra.package.contents import NOT_IMPORTED, canonical, pins
from infra.package.target import PYTHONS, Target

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT: Final = Path(__file__).resolve().parents[2]
REQUIREMENTS: Final = ROOT / "requirements.txt"
COMMAND: Final = "make package-lock"
_FOLDER: Final = Path(__file__).parent / "locks"
_ENTRY: Final = re.compile(r"^(\S+)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", re.MULTILINE)
_HEAD: Final = """\
# The wheels of requirements.txt for Lambda on {architecture}, Python {first} to {last}. Made by `{command}`.
"""


class LockError(Exception):
    """A lock does not say what requirements.txt says, or an index has no wheel for a requirement."""


def lock_of(target: Target) -> Path:
    """Return where the lock of the target's architecture lies."""
    return _FOLDER / f"{target.architecture}.txt"


def entries(lock: Path) -> dict[str, str]:
    """Return name → the lines that lock it; LockError where there is no lock."""
    if not lock.is_file():
        message = f"there is no {lock.name} in {lock.parent.name}/: {COMMAND}"
        raise LockError(message)
    return {canonical(found[1]): found[0] for found in _ENTRY.finditer(lock.read_text(encoding="utf-8"))}


def require_agreement(requirements: Path, lock: Path) -> None:
    """Raise LockError, with every difference, unless ``lock`` names the versions that ``requirements`` names."""
    wanted = {name: version for name, version in pins(requirements).items() if name not in NOT_IMPORTED}
    locked = {name: text.partition(" ")[0].split("==")[1] for name, text in entries(lock).items()}
    differing = sorted(name for name in wanted.keys() | locked.keys() if wanted.get(name) != locked.get(name))
    if differing:
        told = [f"{name}: {wanted.get(name, 'not')} required, {locked.get(name, 'not')} locked" for name in differing]
        message = "\n  ".join([f"{lock.name} does not agree with {requirements.name}, {COMMAND}:", *told])
        raise LockError(message)


def make_lock(architecture: str, pythons: Iterable[str] = PYTHONS) -> str:
    """Return the text of an architecture's lock, hashes as the package index states them; LockError where it fails."""
    hashes: dict[str, set[str]] = {}
    for python in pythons:
        for requirement, digest in _resolve(Target(architecture, python)):
            hashes.setdefault(requirement, set()).add(digest)
    head = _HEAD.format(architecture=architecture, first=PYTHONS[0], last=PYTHONS[-1], command=COMMAND)
    lines = [
        " \\\n".join([requirement, *(f"    --hash=sha256:{digest}" for digest in sorted(digests))])
        for requirement, digests in sorted(hashes.items())
    ]
    return head + "\n".join(lines) + "\n"


def write_lock(architecture: str) -> Path:
    """Make an architecture's lock anew, and return where it lies."""
    lock = lock_of(Target(architecture))
    text = make_lock(architecture)
    lock.parent.mkdir(exist_ok=True)
    lock.write_text(text, encoding="utf-8")
    return lock


def _resolve(target: Target) -> list[tuple[str, str]]:
    """Return (``name==version``, SHA-256) of the wheel that pip would install for each requirement."""
    wanted = [f"{name}=={version}" for name, version in pins(REQUIREMENTS).items() if name not in NOT_IMPORTED]
    with TemporaryDirectory(prefix="package-lock-") as folder:
        report = Path(folder) / "report.json"
        options = ["--dry-run", "--ignore-installed", "--target", folder, "--report", str(report)]
        pip("install", *options, *wheels_of(target), *wanted)
        chosen = json.loads(report.read_text(encoding="utf-8"))["install"]
    return sorted(_locked(each["metadata"], each["download_info"]) for each in chosen)


def _locked(metadata: dict[str, str], download: dict[str, dict[str, dict[str, str]]]) -> tuple[str, str]:
    requirement = f"{canonical(metadata['name'])}=={metadata['version']}"
    return requirement, download["archive_info"]["hashes"]["sha256"]


def wheels_of(target: Target) -> list[str]:
    """Return pip's options for wheels of ``target``, and of nothing that they need beside."""
    platforms = [word for platform in target.platforms for word in ("--platform", platform)]
    return ["--no-deps", "--only-binary=:all:", "--python-version", target.python, *platforms]


def pip(*arguments: str) -> None:
    """Run this interpreter's pip; LockError with what it said where it fails."""
    command = [sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [done.stderr[-2000:]]
        message = "\n  ".join([f"pip {arguments[0]} failed:", *errors])
        raise LockError(message)
