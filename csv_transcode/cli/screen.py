"""What a person sees of a call on standard error, and what a program reads on standard output.

On a terminal, long work has one line that moves: a bar, the share, the speed, the time that is left. Elsewhere it is a
plain line now and then. What comes out of data (keys, names, reasons) is shown with its control characters escaped: a
terminal would obey them.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final

from csv_transcode.report import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from csv_transcode.report import ObjectResult, RunReport
    from csv_transcode.runtime import Runtime

MOVING_SECONDS: Final = 0.2  # between two looks of the moving line
PLAIN_SECONDS: Final = 10.0  # between two plain lines about the same work
MEGABYTE: Final = 1_000_000
SECONDS_LEAST: Final = 1e-3  # for a clock that has not moved
MINUTE: Final = 60
HOUR: Final = 3600
BAR_CELLS: Final = 24
FULL, EMPTY, PLAIN_FULL, PLAIN_EMPTY = "█", "░", "#", "."
ALWAYS_SAID: Final = ("error", "failed", "interrupted", "different", "unverified")
ELLIPSIS: Final = "…"


class OutputClosedError(Exception):
    """Nobody reads standard output any more, as in ``| head``."""


def shown(text: str) -> str:
    """Return ``text`` with everything escaped that is not printed as it is, line ends too."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class Screen:
    """Standard error for people, standard output for results."""

    def __init__(self, *, quiet: bool, runtime: Runtime) -> None:
        self._quiet = quiet
        self.clock = runtime.clock
        self.moves = sys.stderr.isatty() and not quiet
        self.lock = runtime.condition
        self._lock = self.lock()
        self._line = ""  # that moves, as it stands now
        self._is_gone = False

    def say(self, line: str) -> None:
        """Write one line for good; where it is quiet, only what went wrong."""
        if self._quiet and not line.startswith(ALWAYS_SAID):
            return
        safe = "\n".join(map(shown, line.split("\n")))
        with self._lock:
            self._write(f"\r\x1b[K{safe}\n{self._line}" if self.moves else f"{safe}\n")

    def move(self, line: str) -> None:
        """Show ``line`` as the one that moves, or where nothing does, as a plain one."""
        if not self.moves:
            self.say(line)
            return
        columns = shutil.get_terminal_size().columns - 1
        safe = shown(line)
        with self._lock:
            self._line = safe if len(safe) <= columns else safe[: columns - 1] + ELLIPSIS
            self._write(f"\r\x1b[K{self._line}")

    def clear(self) -> None:
        """Take the moving line away."""
        with self._lock:
            if self._line:
                self._line = ""
                self._write("\r\x1b[K")

    def print(self, text: str) -> None:
        """Write a result, on standard output; OutputClosedError where nobody reads it."""
        try:
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()
        except BrokenPipeError:
            _let_go_of(sys.stdout)
            raise OutputClosedError from None

    def print_json(self, described: object, *, indent: int | None = 1) -> None:
        """Write a result for a program: JSON in ASCII, which every terminal and every encoding can take."""
        self.print(json.dumps(described, indent=indent, allow_nan=False))

    def result(self, result: ObjectResult) -> None:
        """Say what became of one object."""
        why = f": {result.reason}" if result.reason else ""
        what = ""
        if counts := result.records:
            rejected = f" ({counts.rejected:,} rejected)" if counts.rejected else ""
            what = f", {counts.written:,} records{rejected} in {result.seconds:.1f} s"
        self.say(shown(f"{result.outcome.value}: {result.key}{what}{why}"))

    def summary(self, report: RunReport, place: str) -> None:
        """Say what became of all of them, or that there were none at ``place``."""
        told = report.summary()
        files = told["files"] | {Outcome.PLANNED.value: len(report.having(Outcome.PLANNED))}
        counts = (
            ", ".join(f"{count:,} {outcome}" for outcome, count in files.items() if count)
            or f"nothing to convert at {place}"
        )
        records = told["records"]
        rejected = f" ({records['rejected']:,} rejected: the verb rejects lists them)" if records["rejected"] else ""
        self.say(f"{counts}; {records['written']:,} records{rejected} in {told['seconds']['total']:.1f} s")

    @contextmanager
    def meter(self, bytes_total: int, what: str = "") -> Iterator[Meter]:
        """Yield a meter of ``bytes_total`` bytes of work (0: nobody knows), which shows how far it is."""
        try:
            yield Meter(self, bytes_total, what)
        finally:
            self.clear()

    def bar(self, share: float) -> str:
        """Return a bar that is full for ``share``, 0 to 1."""
        full, empty = (FULL, EMPTY) if _can_say(sys.stderr, FULL + EMPTY) else (PLAIN_FULL, PLAIN_EMPTY)
        cells = int(share * BAR_CELLS)
        return full * cells + empty * (BAR_CELLS - cells)

    def _write(self, text: str) -> None:
        """Write to standard error; who has closed it need not hear anything, and the work goes on."""
        if self._is_gone:
            return
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except BrokenPipeError:
            self._is_gone = True
            _let_go_of(sys.stderr)


class Meter:
    """How much of some work is done; any thread may tell it."""

    def __init__(self, screen: Screen, bytes_total: int, what: str) -> None:
        self.what = what
        self._screen = screen
        self._total = bytes_total
        self._done = 0
        self._lock = screen.lock()
        self._begun = screen.clock()
        self._told = self._begun if not screen.moves else 0.0  # plain lines are for what takes long

    def add(self, count: int) -> None:
        """Note that ``count`` bytes more are done; less than 0 where they are to be done again."""
        with self._lock:
            self._done += count
            now = self._screen.clock()
            if self._done > 0 and now - self._told > (MOVING_SECONDS if self._screen.moves else PLAIN_SECONDS):
                self._told = now
                self._screen.move(self._line(now - self._begun))

    def counting(self, chunks: Callable[[], Iterable[bytes]]) -> Callable[[], Iterator[bytes]]:
        """Return ``chunks``, counted; what is read a second time is counted anew."""
        read = 0

        def counted() -> Iterator[bytes]:
            nonlocal read
            self.add(-read)
            read = 0
            for chunk in chunks():
                read += len(chunk)
                self.add(len(chunk))
                yield chunk

        return counted

    def _line(self, seconds: float) -> str:
        speed = self._done / max(seconds, SECONDS_LEAST)
        done = f"{speed / MEGABYTE:,.0f} MB/s" + (f"  {self.what}" if self.what else "")
        if not self._total:
            return f"{self._done / MEGABYTE:,.0f} MB, {done}"
        share = min(max(self._done / self._total, 0.0), 1.0)
        left = (self._total - self._done) / speed if speed > 0 else 0.0
        bar = f"{self._screen.bar(share)} " if self._screen.moves else ""
        return f"{bar}{share:4.0%} of {self._total / MEGABYTE:,.0f} MB, {duration(max(left, 0.0))} left, {done}"


def duration(seconds: float) -> str:
    """Return a time as a person says it: ``45 s``, ``12 min``, ``3.5 h``."""
    if seconds < 2 * MINUTE:
        return f"{seconds:.0f} s"
    return f"{seconds / MINUTE:.0f} min" if seconds < 2 * HOUR else f"{seconds / HOUR:.1f} h"


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table: columns as wide as their widest cell, the last one as it is."""
    cells = [[shown(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, [*widths[:-1], 0], strict=True)).rstrip()


def _can_say(stream: IO[str], text: str) -> bool:
    try:
        text.encode(getattr(stream, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _let_go_of(stream: IO[str]) -> None:
    """Point a stream that nobody reads at nothing, so that its last flush, when the process ends, is quiet too."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, stream.fileno())
    finally:
        os.close(nothing)
