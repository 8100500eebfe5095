"""The container image's recipe without an engine: its install steps, run in a clean folder.

Understands what ``infra/Dockerfile`` uses: FROM … AS, WORKDIR, COPY within the context, ARG, RUN.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from infra.package.locks import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

DOCKERFILE: Final = ROOT / "infra" / "Dockerfile"
BUILD_STAGE: Final = "build"
RUN_SECONDS_MAX: Final = 500


class StepError(Exception):
    """A step of the recipe fails, or is one that is not understood here."""


@dataclass(frozen=True)
class Step:
    """One instruction: its name, in capitals, and the rest of the line."""

    name: str
    words: str


def steps_of(text: str, stage: str) -> Iterator[Step]:
    """Yield the instructions of one stage of a Dockerfile, behind its FROM."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    within = False
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        name, _, words = line.strip().partition(" ")
        if name.upper() == "FROM":
            within = words.split()[-2:] == ["AS", stage]
        elif name and within:
            yield Step(name.upper(), words)


def run_steps(steps: Iterator[Step], folder: Path, python: Path, arguments: Mapping[str, str]) -> None:
    """Run the steps with ``folder`` as the working directory, and ``python`` as the image's; StepError where one fails.

    ``arguments`` are what ``--build-arg`` would say. Wheels that this machine has already are lent to the folder.
    """
    programs = folder / ".programs"
    programs.mkdir()
    (programs / "python").write_text(f'#!/bin/sh\nexec "{python}" "$@"\n', encoding="utf-8")
    (programs / "python").chmod(0o755)
    if (ROOT / ".cache" / "wheels").is_dir():
        (folder / ".cache").mkdir()
        (folder / ".cache" / "wheels").symlink_to(ROOT / ".cache" / "wheels")
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(folder)}
    environment |= {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    for step in steps:
        _run(step, folder, environment, arguments)


def _run(step: Step, folder: Path, environment: dict[str, str], arguments: Mapping[str, str]) -> None:
    if step.name == "ARG":
        name, _, default = step.words.partition("=")
        environment[name] = arguments.get(name, default)
    elif step.name == "COPY":
        _copy(step.words.split(), folder)
    elif step.name == "RUN":
        _run_shell(step.words, folder, environment)
    elif step.name != "WORKDIR":
        message = f"{step.name} {step.words}: not understood without an engine"
        raise StepError(message)


def _copy(words: Sequence[str], folder: Path) -> None:
    """Copy files, or what is in a folder, from the context."""
    *sources, target = words
    for source in sources:
        place = ROOT / source
        if place.is_dir():
            shutil.copytree(place, folder / target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        else:
            shutil.copy(place, folder / target)


def _run_shell(command: str, folder: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS_MAX,
        check=False,
    )
    if done.returncode:
        message = f"{command}\n{done.stdout[-1000:]}{done.stderr[-2000:]}"
        raise StepError(message)
