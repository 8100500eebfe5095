"""What cannot be read of one key, said so that the other keys go on."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from csv_transcode.cli.screen import shown
from csv_transcode.errors import SettingsError, TranscodeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from csv_transcode.cli.call import Call


class Troubles:
    """The keys whose records cannot be read; ``lines`` says each to a program too, as a line of JSON."""

    def __init__(self, call: Call, *, lines: bool) -> None:
        self.keys: list[str] = []
        self._screen = call.screen
        self._lines = lines

    @contextmanager
    def of(self, key: str) -> Iterator[None]:
        """Say the project's own error that ends the block; that the command is wrong ends all of it."""
        try:
            yield
        except SettingsError:
            raise
        except TranscodeError as error:
            self.keys.append(key)
            self._screen.say(shown(f"error: {key}: {error}"))
            if self._lines:
                self._screen.print_json({"key": key, "error": str(error)}, indent=None)
