"""Compression by magic bytes, whatever the name says."""

from __future__ import annotations

from typing import Final

from csv_transcode.errors import CompressionError

MAGIC: Final = ((b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"), (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"))
MAGIC_BYTES_MAX: Final = max(len(magic) for magic, _ in MAGIC)


def require_uncompressed(head: bytes) -> None:
    """Raise CompressionError where ``head``, a source's first bytes, begins as a compressed file does."""
    for magic, name in MAGIC:
        if head.startswith(magic):
            message = f"{name}-compressed input is not supported yet: found its magic number {magic.hex(' ')} at byte 0"
            raise CompressionError(message)
