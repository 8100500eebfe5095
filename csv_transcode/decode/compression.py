"""Compression by magic bytes, whatever the name says: compressed chunks → what they hold, to the last byte or an error.

The source is taken in slices of INPUT_BYTES and written out in steps of STEP_BYTES, both cut by position and not by how
chunks arrive, so the same bytes give the same pieces and meet the same limit at the same place. A stream that ends
early, a checksum or length that is wrong, and bytes behind the last member raise; nothing is ever short.

gzip, bzip2 and xz are the standard library's. zstd is Arrow's, because the standard library has it from Python 3.14
only; a frame that is cut or whose checksum is wrong is an error there, too.
"""

from __future__ import annotations

import bz2
import io
import itertools
import lzma
import zlib
from typing import TYPE_CHECKING, Final, Protocol

import pyarrow as pa
from msgspec import Struct

from csv_transcode.errors import CompressionError, LimitError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

KIB: Final = 1024
MIB: Final = 1024 * KIB

MAGIC: Final = ((b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"), (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"))
MAGIC_BYTES_MAX: Final = 10

# What a stream may begin with, whole. bzip2's begins in letters, as a header may: a block's or an empty stream's
# number must follow. A zstd stream may begin with a skippable frame (pzstd writes one).
_BZIP2_NUMBERS: Final = (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90")
_BEGINNINGS: Final = (
    (b"\x1f\x8b", "gzip"),
    *((b"BZh%d%s" % (level, number), "bzip2") for level in range(1, 10) for number in _BZIP2_NUMBERS),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    *((bytes([0x50 + number]) + b"\x2a\x4d\x18", "zstd") for number in range(16)),
)
_BEGUN_BYTES_LEAST: Final = 3  # of a whole source that is cut inside its magic number
_FOREIGN: Final = (
    (b"PK\x03\x04", "a ZIP archive (a spreadsheet in .xlsx is one, too)"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\x1f\x9d", "compress (.Z)"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
)

INPUT_BYTES: Final = 32 * KIB  # what a member leaves over is copied, so many small members cost this much each
STEP_BYTES: Final = 256 * KIB  # what one step may give out; a piece is less than two steps
XZ_MEMORY_BYTES_MAX: Final = 128 * MIB  # xz -9 takes 65 MiB; zstd's window has the same limit, in libzstd
RATIO_FREE_BYTES: Final = 16 * MIB  # so little is no bomb, whatever its ratio


class DecompressionLimits(Struct, frozen=True):
    """The most that a source may decompress to: ``bytes_max`` in all, and ``ratio_max`` times what has been read.

    The ratio counts once more than RATIO_FREE_BYTES have come out.
    """

    bytes_max: int
    ratio_max: float


def decompressed(chunks: Iterable[bytes], limits: DecompressionLimits) -> tuple[str | None, Iterator[bytes]]:
    """Return the compression that ``chunks`` begin with (None: none), and what they hold, in pieces.

    The name is one of contract section 6. Pieces are at most 1 MiB, and none is empty; where nothing is compressed they
    are the chunks themselves. Reading them raises CompressionError, with a byte offset in the compressed source, where
    the stream is damaged or cut, and LimitError where it holds more than ``limits`` allow.
    """
    source = _Source(chunks)
    name = _name(source.peek(MAGIC_BYTES_MAX))
    if name is None:
        return None, source.untouched()
    steps = _zstd_steps(source) if name == "zstd" else _member_steps(name, source)
    return name, _not_compressed_again(name, _pieces(_limited(steps, source, name, limits)))


def _name(head: bytes) -> str | None:
    """Return the compression that ``head``, MAGIC_BYTES_MAX bytes or a whole source, begins with."""
    for magic, name in _BEGINNINGS:
        if head.startswith(magic):
            return name
        if _BEGUN_BYTES_LEAST <= len(head) < len(magic) and magic.startswith(head):
            message = f"{name}-compressed, and cut inside its magic number: the source has {len(head)} bytes"
            raise CompressionError(message)
    for magic, name in _FOREIGN:
        if head.startswith(magic):
            message = f"found {name} at byte 0 ({magic.hex(' ')}); gzip, bzip2, xz and zstd can be read"
            raise CompressionError(message)
    return None


class _Source:
    """The compressed chunks, cut into slices at multiples of INPUT_BYTES; ``offset`` bytes have been taken."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._held: list[bytes] = []
        self._rest = memoryview(b"")
        self._kept = b""
        self._sliced = 0
        self.offset = 0

    def peek(self, size: int) -> bytes:
        """Return the first ``size`` bytes, or all there are, and read no further chunk than they need."""
        while sum(map(len, self._held)) < size and (chunk := next(self._chunks, None)) is not None:
            if chunk:
                self._held.append(chunk)
        return b"".join(self._held)[:size]

    def untouched(self) -> Iterator[bytes]:
        """Yield the chunks as they came, those that were peeked at as well."""
        return itertools.chain(self._held, filter(None, self._chunks))

    def take(self) -> bytes:
        """Return the next slice, empty at the source's end."""
        data, self._kept = self._kept or self._slice(), b""
        self.offset += len(data)
        return data

    def put_back(self, data: bytes) -> None:
        """Give back the end of what was taken last."""
        self._kept = data
        self.offset -= len(data)

    def _slice(self) -> bytes:
        wanted = INPUT_BYTES
        parts: list[memoryview] = []
        while wanted and self._more():
            part = self._rest[:wanted]
            self._rest = self._rest[len(part) :]
            wanted -= len(part)
            parts.append(part)
        return b"".join(parts)

    def _more(self) -> bool:
        while not self._rest:
            chunk = self._held.pop(0) if self._held else next(self._chunks, None)
            if chunk is None:
                return False
            self._rest = memoryview(chunk)
        return True


class _Member(Protocol):
    """One gzip member, bzip2 stream or xz stream, as the standard library's decompressors are."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _GzipMember:
    """zlib's decompressor with the interface of bz2's: it keeps the input that it has no room for."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)  # 16: gzip's header, CRC-32 and length, all checked

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def needs_input(self) -> bool:
        # Output that zlib holds back comes with the next input, and some follows: CRC and length, at least.
        return not self._inflate.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._inflate.decompress(data or self._inflate.unconsumed_tail, max_length)


class _Format(Struct, frozen=True):
    """A compression of members one behind the other, with the zero bytes that may stand between and behind them."""

    begin: Callable[[], _Member]
    magic: bytes
    padding_unit: int  # 0: no padding; else it comes in multiples of this


_FORMATS: Final = {
    "gzip": _Format(_GzipMember, b"\x1f\x8b", 1),
    "bzip2": _Format(bz2.BZ2Decompressor, b"BZh", 0),
    "xz": _Format(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY_BYTES_MAX), b"\xfd7zXZ\0", 4),
}


def _member_steps(name: str, source: _Source) -> Iterator[bytes]:
    """Yield what the members hold, in steps of STEP_BYTES or less, some of them empty."""
    compression = _FORMATS[name]
    while _at_member(name, compression, source):
        start = source.offset
        member = compression.begin()
        while not member.eof:
            data = source.take() if member.needs_input else b""
            if member.needs_input and not data:
                message = (
                    f"{name}: the source ends at byte {source.offset}, in the middle of what begins at byte {start}"
                )
                raise CompressionError(message)
            yield _step(name, member, data, start, source)
        source.put_back(member.unused_data)


def _step(name: str, member: _Member, data: bytes, start: int, source: _Source) -> bytes:
    try:
        return member.decompress(data, STEP_BYTES)
    except (zlib.error, lzma.LZMAError, OSError, EOFError) as error:
        if isinstance(error, lzma.LZMAError) and "limit" in str(error):
            message = (
                f"xz: what begins at byte {start} needs more than {XZ_MEMORY_BYTES_MAX} bytes to decompress; "
                "compress it with xz -9 or less"
            )
            raise LimitError(message) from error
        message = f"{name}: what begins at byte {start} is damaged before byte {source.offset}: {error}"
        raise CompressionError(message) from error


def _at_member(name: str, compression: _Format, source: _Source) -> bool:
    """Pass over padding; return whether another member follows. Raises CompressionError where something else does."""
    start = source.offset
    while True:
        data = source.take()
        kept = data.lstrip(b"\0") if compression.padding_unit else data
        if kept or not data:
            break
    source.put_back(kept)
    padding = source.offset - start
    magic = compression.magic
    if not data and not padding:
        return False
    if padding % (compression.padding_unit or 1) == 0 and _begins(source, magic):
        return True
    if not kept and padding % compression.padding_unit == 0:
        return False
    message = (
        f"{name}: neither the source's end nor another magic number ({magic.hex(' ')}) at byte {source.offset}"
        f", behind {padding} zero bytes"
    )
    raise CompressionError(message)


def _begins(source: _Source, magic: bytes) -> bool:
    """Return whether what follows begins with ``magic``, or ends within it: then its member will say that it is cut."""
    head = source.take()
    if len(head) < len(magic):
        head += source.take()
    source.put_back(head)
    return bool(head) and (head.startswith(magic) or magic.startswith(head))


class _ZstdInput(io.RawIOBase):
    """The source as the file that Arrow reads; it never gives more than it is asked for."""

    def __init__(self, source: _Source) -> None:
        super().__init__()
        self._source = source
        self.failure: BaseException | None = None

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        try:
            data = self._source.take()
        except BaseException as failure:
            self.failure = failure
            raise
        self._source.put_back(data[size:])
        return data[:size]


def _zstd_steps(source: _Source) -> Iterator[bytes]:
    """Yield what the frames hold, in steps of STEP_BYTES or less."""
    if not pa.Codec.is_available("zstd"):
        message = "zstd-compressed input, and the installed Arrow cannot read it"
        raise CompressionError(message)
    compressed = _ZstdInput(source)
    stream = pa.CompressedInputStream(compressed, "zstd")
    while True:
        try:
            step = stream.read(STEP_BYTES)
        except OSError as error:
            if compressed.failure is not None:  # the source's own, not the stream's
                raise compressed.failure from None
            message = f"zstd: damaged or cut before byte {source.offset}: {error}"
            raise CompressionError(message) from error
        if not step:
            return
        yield step


def _limited(steps: Iterable[bytes], source: _Source, name: str, limits: DecompressionLimits) -> Iterator[bytes]:
    """Yield the steps; raise LimitError once there are more of them than ``limits`` allow."""
    out = 0
    for step in steps:
        out += len(step)
        if out > limits.bytes_max:
            message = (
                f"{name}: the first {source.offset} bytes hold more than MAX_DECOMPRESSED_BYTES={limits.bytes_max}"
                " allows; raise it if the file is to be trusted"
            )
            raise LimitError(message)
        if out > RATIO_FREE_BYTES and out > limits.ratio_max * source.offset:
            message = (
                f"{name}: the first {source.offset} bytes hold {out} or more, over {out // source.offset} times as"
                f" many; MAX_DECOMPRESSION_RATIO={limits.ratio_max:g} allows no more; raise it if the file is to be"
                " trusted"
            )
            raise LimitError(message)
        yield step


def _pieces(steps: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the steps joined to pieces of STEP_BYTES or more, so that small members do not cost a piece each."""
    held: list[bytes] = []
    size = 0
    for step in steps:
        held.append(step)
        size += len(step)
        if size >= STEP_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if size:
        yield b"".join(held)


def _not_compressed_again(name: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the pieces; raise CompressionError where they begin as a compressed file does."""
    first = next(pieces, b"")
    inner = _name(first[:MAGIC_BYTES_MAX])
    if inner is not None:
        message = f"compressed twice: the {name} stream holds a {inner} stream; one is undone"
        raise CompressionError(message)
    if first:
        yield first
    yield from pieces
