"""``python -m infra.package``: build, check, lock."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from infra.package import archives
from infra.package.building import DIST, TooLargeError, build, fill
from infra.package.locks import REQUIREMENTS, LockError, lock_of, require_agreement, write_lock
from infra.package.target import MACHINES, PYTHON, PYTHONS, Target, architecture_here, interpreter, running_python

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

OK, FAILED = 0, 1

EPILOG: Final = """\
examples
  python -m infra.package build                      dist/: code, layer and all in one, arm64 and x86_64
  python -m infra.package build --arch arm64 --slim  without pandas and awswrangler
  python -m infra.package check                      convert from the unzipped folder alone; needs the emulators
  python -m infra.package reproduce                  build twice in two places, compare the bytes
  python -m infra.package lock                       after a change of requirements.txt
  python -m infra.package fill FOLDER                program and dependencies, as an image has them
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; return the exit code: 0, or 1 with what is wrong on standard error."""
    options = _parser().parse_args(arguments)
    try:
        return _VERBS[options.verb](options)
    except (LockError, TooLargeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m infra.package", description=__doc__, epilog=EPILOG, formatter_class=raw)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, told in (
        ("build", "build zips for Lambda"),
        ("reproduce", "build this machine's package twice and compare the bytes"),
        ("check", "convert from the unzipped package alone, by the handler, the command line and AWS's runtime client"),
        ("fill", "put program and dependencies into a folder"),
    ):
        verb = verbs.add_parser(name, help=told, description=told)
        verb.add_argument(
            "--arch", action="append", choices=[*MACHINES], help="default: both to build, else this machine's"
        )
        verb.add_argument("--python", choices=PYTHONS, help=f"default: {PYTHON}, to check also the one that runs this")
        verb.add_argument("--slim", action="store_true", help="leave out pandas and awswrangler")
        if name == "fill":
            verb.add_argument("folder", type=Path, help="made if need be; what is in it stays")
    lock = verbs.add_parser("lock", help="make the locks anew from requirements.txt, or hold them against it")
    lock.add_argument("--check", action="store_true", help="write nothing, fail where they differ")
    return parser


def _build(options: argparse.Namespace) -> int:
    from infra.package.inspection import problems  # noqa: PLC0415 - needs the development environment, as _check

    ends = OK
    for architecture in options.arch or MACHINES:
        started = time.monotonic()
        package = build(Target(architecture, options.python or PYTHON), slim=options.slim)
        print("\n".join(package.lines()))
        found = problems(package.whole, package.target)
        for line in found or ["every library is for its architecture, and finds what it needs"]:
            print(f"  {line}")
        print(f"  in {DIST.name}/, {time.monotonic() - started:.0f} s", flush=True)
        ends = FAILED if found else ends
    return ends


def _reproduce(options: argparse.Namespace) -> int:
    target = _target_here(options)
    with TemporaryDirectory(prefix="first-") as first, TemporaryDirectory(prefix="second-") as second:
        one, other = (build(target, slim=options.slim, dist=Path(place)) for place in (first, second))
        pairs = [(one.code, other.code), (one.layer, other.layer), (one.whole, other.whole)]
        for a, b in pairs:
            same = archives.digest(a) == archives.digest(b)
            print(f"{a.name}: {'the same bytes twice' if same else 'other bytes the second time'}")
        return OK if all(archives.digest(a) == archives.digest(b) for a, b in pairs) else FAILED


def _check(options: argparse.Namespace) -> int:
    from infra.package.checking import check  # noqa: PLC0415 - needs the development environment, which an image lacks

    return OK if check(_target_here(options), slim=options.slim) else FAILED


def _fill(options: argparse.Namespace) -> int:
    target = _target_here(options)
    stripped, compiled = fill(options.folder, target, slim=options.slim)
    print(f"{options.folder}: Python {target.python}, {target.architecture}, {stripped.told}, byte code: {compiled}")
    return OK


def _lock(options: argparse.Namespace) -> int:
    for architecture in MACHINES:
        if not options.check:
            write_lock(architecture)
        require_agreement(REQUIREMENTS, lock_of(Target(architecture)))
        print(f"{architecture}: agrees with {REQUIREMENTS.name}", flush=True)
    return OK


def _target_here(options: argparse.Namespace) -> Target:
    """Return what is to run here: the architecture of this machine, 3.13 or else the Python that runs this."""
    python = options.python or (PYTHON if interpreter(PYTHON) else running_python())
    return Target((options.arch or [architecture_here()])[0], python)


_VERBS: Final[Mapping[str, Callable[[argparse.Namespace], int]]] = {
    "build": _build,
    "reproduce": _reproduce,
    "check": _check,
    "fill": _fill,
    "lock": _lock,
}

if __name__ == "__main__":
    sys.exit(main())
