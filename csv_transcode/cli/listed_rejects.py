"""The lines of a rejects object, read back; and the source's text with their ranges taken out of it.

What is left is, by contract section 5, a strictly valid CSV whose records are exactly the outputs' rows.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from csv_transcode.errors import ManifestError
from csv_transcode.rejects import PREAMBLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class MismatchError(Exception):
    """The source's text is not what its rejects say."""


class ListedReject(Struct, frozen=True):
    """One line: ``raw`` is what was rejected, ``length`` its bytes at byte ``offset`` of the decoded source."""

    record: int
    line: int
    offset: int
    length: int
    reason: str
    detail: str
    raw: bytes

    @property
    def is_record(self) -> bool:
        """Whether it is a record, and not a line before the header."""
        return self.reason != PREAMBLE

    @classmethod
    def of(cls, described: Any) -> ListedReject:  # noqa: ANN401 -- JSON that is to be one
        """Return the reject that a line, or an entry of a ``_failed/`` record, describes; ManifestError for no such."""
        try:
            encoded = described.get("raw_base64")
            raw = described["raw"].encode() if encoded is None else base64.b64decode(encoded)
            record, line, offset, length = (int(described[name]) for name in ("record", "line", "offset", "length"))
            return cls(record, line, offset, length, str(described["reason"]), str(described["detail"]), raw)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            message = f"the rejects are damaged: {type(error).__name__} in {str(described)[:100]}"
            raise ManifestError(message) from None


def read_rejects(chunks: Iterable[bytes]) -> Iterator[ListedReject]:
    """Yield the rejects of the object that ``chunks`` hold; ManifestError where a line is none."""
    kept = b""
    for chunk in chunks:
        *lines, kept = (kept + chunk).split(b"\n")
        yield from map(_reject, lines)
    if kept:
        yield _reject(kept)


def _reject(line: bytes) -> ListedReject:
    try:
        described = json.loads(line)
    except ValueError:
        message = f"the rejects are damaged: a line of {len(line)} bytes is no JSON"
        raise ManifestError(message) from None
    return ListedReject.of(described)


def without(text: Iterable[bytes], rejects: Iterable[ListedReject]) -> Iterator[bytes]:
    """Yield ``text`` without the rejects' ranges; MismatchError where the bytes there are not those rejected."""
    left = _Left(iter(text))
    for reject in rejects:
        if reject.offset < left.offset:
            message = f"the rejects overlap at byte {reject.offset}"
            raise MismatchError(message)
        yield from left.up_to(reject.offset)
        if (found := b"".join(left.up_to(reject.offset + reject.length))) != reject.raw:
            message = f"at byte {reject.offset} the source has {len(found)} other bytes than the rejects say"
            raise MismatchError(message)
    yield from left.rest()


class _Left:
    """What has not been taken of a text: ``offset`` is where it begins."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.offset = 0
        self._chunks = chunks
        self._chunk = b""
        self._start = 0  # of what is left of the chunk

    def up_to(self, offset: int) -> Iterator[bytes]:
        """Yield the bytes up to ``offset``, or all there are."""
        while self.offset < offset:
            if self._start == len(self._chunk):
                self._chunk, self._start = next(self._chunks, b""), 0
                if not self._chunk:
                    return
            piece = self._chunk[self._start : self._start + offset - self.offset]
            self._start += len(piece)
            self.offset += len(piece)
            yield piece

    def rest(self) -> Iterator[bytes]:
        """Yield everything else."""
        if self._start < len(self._chunk):
            yield self._chunk[self._start :]
        yield from self._chunks
