"""What a person sees of a call, on standard error."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from csv_transcode.report import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from csv_transcode.report import ObjectResult, RunReport

PROGRESS_SECONDS: Final = 0.2
MEGABYTE: Final = 1_000_000
SECONDS_LEAST: Final = 1e-3  # for a clock that has not moved


class Screen:
    """What a person sees, on standard error: a moving line on a terminal, plain lines elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._moves = sys.stderr.isatty() and not quiet

    def say(self, line: str) -> None:
        """Write one line for good; where it is quiet, only what went wrong."""
        if self._quiet and not line.startswith(("error", "failed", "interrupted")):
            return
        # A key may hold what a terminal would obey.
        shown = "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in line)
        sys.stderr.write(f"\r\x1b[K{shown}\n" if self._moves else f"{shown}\n")
        sys.stderr.flush()

    def result(self, result: ObjectResult) -> None:
        """Say what became of one object."""
        why = f": {result.reason}" if result.reason else ""
        what = f", {result.records.written:,} records in {result.seconds:.1f} s" if result.records else ""
        self.say(f"{result.outcome.value}: {result.key}{what}{why}")

    def summary(self, report: RunReport) -> None:
        """Say what became of all of them."""
        told = report.summary()
        files = told["files"] | {Outcome.PLANNED.value: len(report.having(Outcome.PLANNED))}
        counts = ", ".join(f"{count:,} {outcome}" for outcome, count in files.items() if count) or "nothing to convert"
        self.say(f"{counts}; {told['records']['written']:,} records in {told['seconds']['total']:.1f} s")

    def counting(
        self, chunks: Callable[[], Iterable[bytes]], size: int, clock: Callable[[], float]
    ) -> Callable[[], Iterator[bytes]]:
        """Return ``chunks`` with a line that shows how much of ``size`` has been read."""

        def counted() -> Iterator[bytes]:
            read, shown, begun = 0, 0.0, clock()
            for chunk in chunks():
                read += len(chunk)
                now = clock()
                if self._moves and now - shown > PROGRESS_SECONDS:
                    shown = now
                    speed = read / MEGABYTE / max(now - begun, SECONDS_LEAST)
                    sys.stderr.write(
                        f"\r\x1b[K{read / max(1, size):4.0%} of {size / MEGABYTE:,.0f} MB, {speed:.0f} MB/s"
                    )
                    sys.stderr.flush()
                yield chunk

        return counted
