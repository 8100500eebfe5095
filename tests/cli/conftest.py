"""A command line that no settings of whoever runs the tests reach, and whose log stays its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from csv_transcode.settings import variables
from csv_transcode.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in variables():
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    logger = get_logger()
    before = (logger.handlers[:], logger.level, logger.propagate)
    yield
    logger.handlers[:], logger.level, logger.propagate = before
