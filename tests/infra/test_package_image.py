"""The container image's recipe, as far as it can be held without an engine; ``make package-check`` runs its steps."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from infra.package.image import BUILD_STAGE, DOCKERFILE, Step, StepError, run_steps, steps_of
from infra.package.locks import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable

TEXT: Final = DOCKERFILE.read_text(encoding="utf-8")
HADOLINT: Final = Path(sys.executable).with_name("hadolint")


def test_hadolint_finds_nothing() -> None:
    checked = subprocess.run([HADOLINT, DOCKERFILE], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout) == (0, "")


def test_hadolint_is_not_blind(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM python\nRUN cd /tmp && pip install pandas\n")
    checked = subprocess.run([HADOLINT, tmp_path / "Dockerfile"], capture_output=True, text=True, check=False)
    assert {"DL3006", "DL3042"} <= set(checked.stdout.split())


def test_everything_that_is_copied_is_let_through_to_the_engine() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {word for step in steps_of(TEXT, BUILD_STAGE) if step.name == "COPY" for word in step.words.split()[:-1]}
    assert copied == allowed
    assert all((ROOT / name).exists() for name in allowed)


def test_both_ways_in_name_what_is_there() -> None:
    (handler,) = (step.words for step in steps_of(TEXT, "function") if step.name == "CMD")
    (entry,) = (step.words for step in steps_of(TEXT, "task") if step.name == "ENTRYPOINT")
    assert handler == '["lambda_handler.lambda_handler"]'
    assert entry == '["python", "-m", "csv_transcode"]'
    assert "def lambda_handler(" in (ROOT / "lambda_handler.py").read_text()


def test_a_container_that_is_no_function_runs_as_nobody() -> None:
    assert Step("USER", "65534:65534") in [*steps_of(TEXT, "task")]


def test_steps_run_in_the_folder_with_the_arguments_given(tmp_path: Path) -> None:
    steps = steps_of(
        "FROM a AS b\nWORKDIR /x\nARG SLIM=no\nRUN echo ${SLIM} \\\n  > said && python -V\nFROM c\nRUN exit 1", "b"
    )
    run_steps(steps, tmp_path, Path(sys.executable), {"SLIM": "yes"})
    assert (tmp_path / "said").read_text() == "yes\n"


@pytest.mark.parametrize("step", [Step("RUN", shlex.join(["exit", "3"])), Step("ADD", "https://example.com/a /a")])
def test_a_step_that_fails_or_is_not_known_is_an_error(tmp_path: Path, step: Step) -> None:
    steps: Iterable[Step] = [step]
    with pytest.raises(StepError):
        run_steps(iter(steps), tmp_path, Path(sys.executable), {})
