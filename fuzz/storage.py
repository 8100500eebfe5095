"""Text → a source's bytes: encodings with and without a mark, and compressions in one or several members."""

from __future__ import annotations

import bz2
import gzip
import lzma
from typing import Final

import pyarrow as pa

MEMBER_BYTES: Final = 1500  # of text, in one member of a file that has several


def encoded(text: bytes, encoding: str, *, mark: bool) -> bytes:
    """Return the UTF-8 ``text`` in another encoding."""
    if encoding == "utf-8":  # may hold bytes that are not valid
        return ("\ufeff".encode() if mark else b"") + text
    return (("\ufeff" if mark else "") + text.decode()).encode(encoding)


def compressed(data: bytes, compression: str | None) -> bytes:
    """Return ``data`` compressed; "several gzip" and such are files of several members."""
    if compression is None:
        return data
    name = compression.removeprefix("several ")
    size = MEMBER_BYTES if name != compression else max(1, len(data))
    return b"".join(_member(data[at : at + size], name) for at in range(0, max(1, len(data)), size))


def _member(data: bytes, name: str) -> bytes:
    if name == "gzip":
        return gzip.compress(data, mtime=0)
    if name == "bzip2":
        return bz2.compress(data)
    if name == "xz":
        return lzma.compress(data, preset=0)
    return bytes(pa.compress(data, codec="zstd", asbytes=True))
