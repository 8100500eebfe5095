"""How long the invocation may still run, from a clock that is passed in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MILLISECONDS: Final = 1000


@dataclass(frozen=True)
class Deadline:
    """The end of an invocation; ``remaining_ms`` is asked anew each time, as Lambda's context offers it."""

    remaining_ms: Callable[[], float]

    @classmethod
    def never(cls) -> Deadline:
        """Return the deadline of a process that nobody ends."""
        return cls(lambda: math.inf)

    def remaining_seconds(self) -> float:
        """Return the time that is left, 0 or less when it is over."""
        return self.remaining_ms() / MILLISECONDS
