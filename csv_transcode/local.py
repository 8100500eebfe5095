"""Local files as sources and targets, for the command line: a file appears whole or not at all.

An OSError of this module names the file that the command line has named, or the output, never a hidden name.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHUNK_BYTES: Final = 1 << 20


def read_chunks(path: Path) -> Iterator[bytes]:
    """Yield the file's bytes in order.

    Without a buffer: filling it from a pipe takes several reads, and Ctrl-C between two of them is not looked at before
    the next has ended, which may be never.
    """
    with path.open("rb", buffering=0) as file:
        while True:
            with _named(path):
                chunk = file.read(CHUNK_BYTES)
            if not chunk:
                return
            yield chunk


@contextmanager
def folder_made(folder: Path) -> Iterator[None]:
    """Make ``folder`` with its parents; leaving takes away those of them that it has made and nobody has filled."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        with suppress(OSError):  # not empty, and so are its parents then; or never made
            for path in made:
                path.rmdir()


class LocalTarget:
    """One output file; what is written stands beside it, under a hidden name, until it is published."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes_written = 0
        self._partial = path.with_name(f".{path.name}.partial")
        self._file: IO[bytes] | None = None

    def open(self) -> None:
        """Begin the file. By then ``abort`` has to be sure to be called: an interrupt may come at any moment."""
        with _named(self.path):
            if self.path.is_dir():  # publishing would find out, beside another output that is published already
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            self._file = self._partial.open("wb")

    def write(self, data: Any) -> None:  # noqa: ANN401 -- any bytes-like object
        """Take the next bytes."""
        if self._file is not None:
            with _named(self.path):
                self.bytes_written += self._file.write(data)

    def finish(self) -> None:
        """Bring everything to disk."""
        if self._file is not None:
            with _named(self.path):
                self._file.flush()
                os.fsync(self._file.fileno())

    def publish(self) -> None:
        """Put the file in its place, over one that stands there."""
        with _named(self.path):
            self._close()
            self._partial.replace(self.path)

    def withdraw(self) -> None:
        """Throw away what has been written, and what stood there before: it is no longer true."""
        self.abort()
        self.path.unlink(missing_ok=True)

    def abort(self) -> None:
        """Throw away what has been written, unless it is published."""
        with suppress(OSError):  # a full disk will not take what is left in the buffer
            self._close()
        self._partial.unlink(missing_ok=True)

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Let an OSError name ``path``: writing names no file, and opening the hidden one."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
