"""A command line that no settings of whoever runs the tests reach, and whose log stays its own."""

from __future__ import annotations

import pytest

from csv_transcode.settings import variables


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in variables():
        monkeypatch.delenv(name, raising=False)
