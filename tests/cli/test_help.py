"""Every verb's help teaches: by examples that parse, and by the exit codes that there are."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Final

import pytest

from csv_transcode.__main__ import main
from csv_transcode.cli import verbs

if TYPE_CHECKING:
    from types import ModuleType

NAMES: Final = [verb.__name__.rpartition(".")[2] for verb in verbs.VERBS]
EXIT_CODES: Final = {"0", "1", "2", "130"}


def help_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("verb", verbs.VERBS, ids=NAMES)
def test_by_examples_that_parse(verb: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    name = verb.__name__.rpartition(".")[2]
    said = help_of(capsys, name)
    examples = [line.partition(" | ")[0] for line in said.splitlines() if line.startswith("  python -m csv_transcode")]
    assert len(examples) >= 3
    for line in examples:
        assert verbs.parser().parse_args(shlex.split(line)[3:]).run is verb.run


@pytest.mark.parametrize("name", NAMES)
def test_by_exit_codes(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    codes = help_of(capsys, name).partition("\nexit codes\n")[2]
    assert set(re.findall(r"(?:^|\s)(\d+) ", codes)) >= EXIT_CODES


def test_the_list_of_verbs_names_each(capsys: pytest.CaptureFixture[str]) -> None:
    said = help_of(capsys)
    assert re.findall(r"(?m)^    (\w+) {2,}", said) == NAMES
    examples = [line for line in said.splitlines() if line.startswith("  python -m csv_transcode")]
    assert all(shlex.split(line)[3] in NAMES for line in examples)
    assert len(examples) >= 3


@pytest.mark.parametrize("name", NAMES)
def test_fits_a_terminal_of_120_columns(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert max(map(len, help_of(capsys, name).splitlines())) <= 120
