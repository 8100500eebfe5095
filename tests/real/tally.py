"""What a check against real servers counted, and what was wrong: printed, and green only if everything happened."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

WRONG_SHOWN_MAX: Final = 20


@dataclass
class Tally:
    """Counts of one check. ``expected`` names those that must not be zero: a fault that never came shows nothing."""

    name: str
    expected: tuple[str, ...]
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str, number: int = 1) -> None:
        """Count; any number of threads may."""
        with self._lock:
            self.counts[name] += number

    def require(self, holds: object, otherwise: str) -> None:
        """Note what is wrong where something does not hold."""
        if not holds:
            self.wrong.append(otherwise)

    @property
    def missing(self) -> list[str]:
        return [name for name in self.expected if not self.counts[name]]

    @property
    def is_good(self) -> bool:
        return not self.wrong and not self.missing

    def __str__(self) -> str:
        counts = ", ".join(f"{count:,} {name}" for name, count in sorted(self.counts.items()))
        faults = [f"  wrong: {each}" for each in self.wrong[:WRONG_SHOWN_MAX]]
        faults += [f"  and {len(self.wrong) - WRONG_SHOWN_MAX} more"] if len(self.wrong) > WRONG_SHOWN_MAX else []
        faults += [f"  never: {each}" for each in self.missing]
        return "\n".join([f"{self.name}: {'good' if self.is_good else 'NOT GOOD'}: {counts}", *faults])
