"""Local files as sources and targets, for the command line: a file appears whole or not at all."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHUNK_BYTES: Final = 1 << 20


def read_chunks(path: Path) -> Iterator[bytes]:
    """Yield the file's bytes in order."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


class LocalTarget:
    """One output file; what is written stands beside it, under a hidden name, until it is published."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._partial = path.with_name(f".{path.name}.partial")
        self._file: IO[bytes] | None = self._partial.open("wb")
        self.bytes_written = 0

    def write(self, data: Any) -> None:  # noqa: ANN401 -- any bytes-like object
        """Take the next bytes."""
        if self._file is not None:
            self.bytes_written += self._file.write(data)

    def finish(self) -> None:
        """Bring everything to disk."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())

    def publish(self) -> None:
        """Put the file in its place, over one that stands there."""
        self._close()
        self._partial.replace(self.path)

    def abort(self) -> None:
        """Throw away what has been written, unless it is published."""
        self._close()
        self._partial.unlink(missing_ok=True)

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()
