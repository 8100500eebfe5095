"""Records that could not be read: a line of JSON each, with place, reason and bytes (contract section 5)."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable

PREAMBLE: Final = "preamble"
KEPT_MAX: Final = 1_000  # of a file's rejects, for its failure record
KEPT_BYTES_MAX: Final = 4 << 20


class Reject(Struct, frozen=True):
    """One rejected record, or one line before the header.

    ``record`` counts from 1 after the header (0 is before it), ``line`` from 1; ``offset`` is that of ``raw`` in the
    decoded source, in bytes, and ``raw`` ends with the record's line end.
    """

    record: int
    line: int
    offset: int
    reason: str
    detail: str
    raw: bytes

    def counted_from(self, records: int) -> Reject:
        """Return the same reject, its record counted from ``records`` records further up."""
        return Reject(self.record + records, self.line, self.offset, self.reason, self.detail, self.raw)

    def to_dict(self) -> dict[str, Any]:
        """Return what the rejects object says of it: ``raw`` as text, or ``raw_base64`` where it is none."""
        described = {
            "record": self.record,
            "line": self.line,
            "offset": self.offset,
            "length": len(self.raw),
            "reason": self.reason,
            "detail": self.detail,
        }
        try:
            return described | {"raw": self.raw.decode()}
        except UnicodeDecodeError:
            return described | {"raw_base64": base64.b64encode(self.raw).decode()}

    def to_json(self) -> bytes:
        """Return its line in the rejects object."""
        return json.dumps(self.to_dict(), ensure_ascii=False).encode() + b"\n"


class _Target(Protocol):
    def write(self, data: Any, /) -> object:  # noqa: ANN401 -- any bytes-like object
        """Take the next bytes."""


class FirstRejects:
    """The first rejects of a file, for its failure record: one at least, else up to KEPT_MAX and KEPT_BYTES_MAX."""

    def __init__(self) -> None:
        self.rejects: list[Reject] = []
        self._bytes = 0

    def add(self, rejects: Iterable[Reject]) -> None:
        """Keep the next rejects, while there is room."""
        for reject in rejects:
            self._bytes += len(reject.raw)
            if self.rejects and (len(self.rejects) >= KEPT_MAX or self._bytes > KEPT_BYTES_MAX):
                return
            self.rejects.append(reject)


class RejectsWriter:
    """Writes rejects, in order, to a target; ``lines`` counts them, ``records`` those that are records."""

    def __init__(self, target: _Target) -> None:
        self.lines = 0
        self.records = 0
        self._target = target

    def write(self, rejects: Iterable[Reject]) -> None:
        """Write the next rejects."""
        for reject in rejects:
            self._target.write(reject.to_json())
            self.lines += 1
            self.records += reject.reason != PREAMBLE
