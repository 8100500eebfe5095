"""Character encoding by byte-order mark; UTF-8 is what is expected."""

from __future__ import annotations

import codecs
from typing import Final

from csv_transcode.errors import EncodingError

# UTF-32 first: its little-endian mark begins with UTF-16's.
FOREIGN_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "UTF-32 LE"),
    (codecs.BOM_UTF32_BE, "UTF-32 BE"),
    (codecs.BOM_UTF16_LE, "UTF-16 LE"),
    (codecs.BOM_UTF16_BE, "UTF-16 BE"),
)
MARK_BYTES_MAX: Final = max(len(mark) for mark, _ in FOREIGN_MARKS)


def utf8_mark_bytes(head: bytes) -> int:
    """Return how many bytes of ``head``, a source's first bytes, are a UTF-8 byte-order mark (0 or 3).

    Raises EncodingError for the mark of another encoding.
    """
    for mark, name in FOREIGN_MARKS:
        if head.startswith(mark):
            message = f"{name} input is not supported yet: found its byte-order mark {mark.hex(' ')} at byte 0"
            raise EncodingError(message)
    return len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0


def require_no_nul(data: bytes, offset: int) -> None:
    """Raise EncodingError where ``data``, which begins at byte ``offset`` of the source, holds a NUL byte."""
    at = data.find(b"\0")
    if at != -1:
        message = (
            f"NUL byte at byte {offset + at}: binary data, or UTF-16 or UTF-32 without a byte-order mark, "
            "which is not supported yet"
        )
        raise EncodingError(message)
