"""The command line as its tests call it, in this process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import botocore.handlers

from csv_transcode.__main__ import main
from tests.conftest import INPUT_BUCKET, OUTPUT_BUCKET

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

IN: Final = f"s3://{INPUT_BUCKET}/in/"
OUT: Final = f"s3://{OUTPUT_BUCKET}/processed/"


@dataclass(frozen=True)
class Ended:
    """How a call ended: its exit code, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> Ended:
    """Run one call, and return what came of it alone."""
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return Ended(code, said.out, said.err)


def listen(monkeypatch: pytest.MonkeyPatch, event: str, handler: Callable[..., None]) -> None:
    """Hang ``handler`` into every client that is made from now on."""
    monkeypatch.setattr(botocore.handlers, "BUILTIN_HANDLERS", [*botocore.handlers.BUILTIN_HANDLERS, (event, handler)])
