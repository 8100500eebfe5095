"""The demo itself, as `make demo` runs it, on a smaller generated file."""

from __future__ import annotations

import subprocess
import sys

import pytest

from demo import data
from demo.server import PYTHON
from demo.stack import ROOT
from tests.conftest import not_installed


@pytest.mark.integration
def test_every_file_arrives_and_agrees() -> None:
    if not PYTHON.exists():
        not_installed("MiniStack is not installed: `make .venv-emulators/stamp` does that")
    command = [sys.executable, "-m", "demo", "--megabytes", "1"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"All {len(data.real_files()) + 1} files: source = Parquet = Avro" in run.stdout
