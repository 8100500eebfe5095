"""How long to wait before something is tried again: full jitter, so that those who met once do not meet again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from csv_transcode.runtime import Runtime

DELAY_SECONDS: Final = 0.1  # before the first repeat at most; doubled for each further one
DELAY_SECONDS_MAX: Final = 5.0
_TOKEN_BYTES: Final = 4
_TOKENS: Final = 1 << 8 * _TOKEN_BYTES


def fraction(runtime: Runtime) -> float:
    """Return a random number from 0 up to but not including 1."""
    return int(runtime.token(_TOKEN_BYTES), 16) / _TOKENS


def full_jitter(runtime: Runtime, repeat: int) -> float:
    """Return the seconds to wait before repeat number ``repeat``, from 0: any up to a bound that doubles."""
    return min(DELAY_SECONDS * (1 << repeat), DELAY_SECONDS_MAX) * fraction(runtime)
