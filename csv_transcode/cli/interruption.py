"""Ctrl-C, and the signal that ends a container, as what ends an invocation: its deadline.

Nothing is begun any more, what is under way is taken back within seconds, what is being published is finished. A second
Ctrl-C waits for nothing.
"""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from csv_transcode.deadline import ANSWER_SHARE, MILLISECONDS, Deadline

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
ENDING: Final = (signal.SIGTERM, signal.SIGHUP)
FOREVER_SECONDS: Final = 10 * 365 * 86_400.0  # finite: only then do conversions look at their deadline
SHARE_LEFT: Final = (1 + ANSWER_SHARE) / 2  # of the margin: nothing is begun, and what ends is waited for


@contextmanager
def ending_as_ctrl_c() -> Iterator[None]:
    """Let the signals that end a process raise KeyboardInterrupt, unless they are ignored, as under nohup."""
    heard = [number for number in ENDING if signal.getsignal(number) == signal.SIG_DFL]
    for number in heard:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, signal.SIG_DFL)


class Interruption:
    """Whether somebody wants this call to end."""

    def __init__(self, margin_seconds: float) -> None:
        self.has_come = False
        self._margin_seconds = margin_seconds

    @property
    def deadline(self) -> Deadline:
        """The deadline that it is: far away until it comes, and then within the margin."""
        return Deadline(self._remaining_ms)

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Hear the signals, as long as the block takes; where it is left by KeyboardInterrupt, too."""
        before = [(number, signal.signal(number, self._come)) for number in SIGNALS]
        try:
            yield
        except KeyboardInterrupt:
            self.has_come = True
            raise
        finally:
            for number, handler in before:
                signal.signal(number, handler)

    def _come(self, *_: Any) -> None:  # noqa: ANN401 -- a signal's number and frame
        if self.has_come:
            raise KeyboardInterrupt
        self.has_come = True

    def _remaining_ms(self) -> float:
        seconds = self._margin_seconds * SHARE_LEFT if self.has_come else FOREVER_SECONDS
        return seconds * MILLISECONDS
