"""Character encoding: by byte-order mark, by evidence, or as given; and from it to UTF-8.

What is UTF-8 is never taken for anything else, and its bytes pass through unchanged, also those few that are not
valid: they cost one record each, later. Any other encoding is decoded strictly, and one character that cannot be fails
the file (contract section 5). No replacement character is ever made.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from csv_transcode.charsets import canonical_name
from csv_transcode.errors import EncodingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

KIB: Final = 1024
MIB: Final = 1024 * KIB
SAMPLE_BYTES: Final = MIB
STEP_BYTES: Final = MIB  # decoded at once: characters take up to four bytes in between

UTF8: Final = "utf-8"
# UTF-32 first: its little-endian mark begins with UTF-16's.
MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, UTF8),
)
_WITHOUT_ORDER: Final = ("utf-16", "utf-32")  # byte order by mark, else by evidence
DEFAULT: Final = "cp1252"  # what the WHATWG's Encoding Standard takes text for that does not say what it is
INVALID_LINES_MOST: Final = 0.1  # share of the lines that may be damaged UTF-8, where nothing else is convincing
_NUL_SHARE_SURE: Final = 0.5  # of a text's 16-bit units that are ASCII: enough by itself
_NUL_SHARE_LEAST: Final = 0.05  # enough where line ends are among them
_PLAIN_CONTROLS: Final = "\t\n\r"


class Encoding(Struct, frozen=True):
    """A source's encoding, in Python's own spelling, and how many bytes of byte-order mark it begins with."""

    name: str
    mark_bytes: int = 0


def detect(
    sample: bytes,
    *,
    whole: bool,
    given: str | None,
    header: bool = False,
    invalid_lines_most: float = INVALID_LINES_MOST,
) -> Encoding:
    """Return the encoding of the source that begins with ``sample`` (SAMPLE_BYTES of it, or all: ``whole``).

    ``given`` wins, but a byte-order mark may not contradict it. ``header`` says that no line up to the first that is
    not blank holds a record; where the others are all ASCII, any encoding gives the same cells, and DEFAULT will do.
    Where nothing else is convincing, a share of up to ``invalid_lines_most`` of the lines may be damaged UTF-8: they
    will be rejected. Raises EncodingError where a mark contradicts, where ``given`` is no encoding, and where no
    encoding is convincing.
    """
    marked = _marked(sample, whole=whole)
    if given is not None:
        return _as_given(sample, marked, given, whole=whole)
    if marked is not None:
        return marked
    name = _utf16_or_32(sample, whole=whole) or _by_evidence(sample, invalid_lines_most, whole=whole, header=header)
    return Encoding(name)


def to_utf8(chunks: Iterable[bytes], encoding: Encoding) -> Iterator[bytes]:
    """Yield the text of ``chunks`` in UTF-8, without its byte-order mark, in pieces none of which is empty.

    UTF-8 passes through as it is. In another encoding the first character that is none raises EncodingError, with its
    byte in the decompressed source.
    """
    unmarked = _without(encoding.mark_bytes, chunks)
    return unmarked if encoding.name == UTF8 else _transcoded(unmarked, encoding)


def _marked(sample: bytes, *, whole: bool) -> Encoding | None:
    for mark, name in MARKS:
        if sample.startswith(mark):
            if name == "utf-32-le" and _decoded(sample, name, whole=whole) is None:
                continue  # UTF-16 whose first character is NUL
            return Encoding(name, len(mark))
    return None


def _as_given(sample: bytes, marked: Encoding | None, given: str, *, whole: bool) -> Encoding:
    name = canonical_name(given)
    if name is None:
        message = f"ENCODING={given} is not a character encoding that Python knows"
        raise EncodingError(message)
    if marked is not None and not marked.name.startswith(name):
        mark = sample[: marked.mark_bytes]
        message = f"ENCODING={given}, but the file begins with the byte-order mark of {marked.name}, {mark.hex(' ')}"
        raise EncodingError(message)
    if marked is not None:
        return marked
    if name not in _WITHOUT_ORDER:
        return Encoding(name)
    ordered = _utf16_or_32(sample, whole=whole)
    if ordered is None or not ordered.startswith(name):
        message = f"ENCODING={given}, but neither a byte-order mark nor its zero bytes say which; set {name}-le or -be"
        raise EncodingError(message)
    return Encoding(ordered)


def _utf16_or_32(sample: bytes, *, whole: bool) -> str | None:
    """Return which of UTF-16 and UTF-32, in which byte order, the sample can only be; None where it need not be any."""
    if b"\0" not in sample:
        return None
    for name, unit, low in (("utf-32-le", 4, 0), ("utf-32-be", 4, 3), ("utf-16-le", 2, 0), ("utf-16-be", 2, 1)):
        if whole and len(sample) % unit:
            continue
        text = _decoded(sample, name, whole=whole)
        if text is not None and _is_plain_text(text) and (unit == 4 or _has_ascii_units(sample, low)):  # noqa: PLR2004
            return name
    return None


def _has_ascii_units(sample: bytes, low: int) -> bool:
    """Return whether enough of the 16-bit units are ASCII, as delimiters, digits and line ends are in any language."""
    zeros = sample[1 - low :: 2].count(0)
    share = zeros / (len(sample) // 2)
    if share < 1 and _is_utf8_without_controls(sample):
        return False
    line_ends = sum(sample.count(end) for end in ((b"\n\0", b"\r\0") if low == 0 else (b"\0\n", b"\0\r")))
    return share >= _NUL_SHARE_SURE or (share >= _NUL_SHARE_LEAST and line_ends > 0)


def _is_utf8_without_controls(sample: bytes) -> bool:
    """Return whether the sample is UTF-8 with NULs; Cyrillic in UTF-16 is so, too, but full of the control 0x04."""
    text = _decoded(sample, UTF8, whole=False)
    return text is not None and _is_plain_text(text.replace("\0", ""))


def _decoded(sample: bytes, name: str, *, whole: bool) -> str | None:
    """Return the sample's text, without a last character that is cut unless it is ``whole``; None where it is none."""
    try:
        return codecs.getincrementaldecoder(name)().decode(sample, whole)
    except UnicodeError:
        return None


def _is_plain_text(text: str) -> bool:
    """Return whether every character is assigned, and none is a control other than tab and line ends."""
    return bool(text) and all(
        character in _PLAIN_CONTROLS or unicodedata.category(character) not in {"Cc", "Cn", "Co", "Cs"}
        for character in set(text)
    )


_NOT_ASCII: Final = re.compile("[^\x00-\x7f]")
_NOT_VALID: Final = re.compile("[\udc80-\udcff]")  # what surrogateescape makes of a byte that is not UTF-8
_LINE_END: Final = re.compile("\r\n|\n|\r")


class _Damage(Struct, frozen=True):
    """How much of a sample is UTF-8: characters of several bytes, bytes that are of none, lines that hold such."""

    valid: int
    invalid: int
    first: int
    first_line: int
    invalid_lines: int
    lines: int

    @classmethod
    def of(cls, sample: bytes, *, whole: bool) -> _Damage:
        """Return what the sample shows; a character that is cut at its end is none unless it is ``whole``."""
        text = codecs.getincrementaldecoder(UTF8)("surrogateescape").decode(sample, whole)
        at = _NOT_VALID.search(text)
        if at is None:
            return cls(0, 0, 0, 0, 0, 0)
        before = text[: at.start()]
        lines = [line for line in _LINE_END.split(text) if line]
        invalid = len(_NOT_VALID.findall(text))
        return cls(
            valid=len(_NOT_ASCII.findall(text)) - invalid,
            invalid=invalid,
            first=len(before.encode()),
            first_line=1 + len(_LINE_END.findall(before)),
            invalid_lines=sum(_NOT_VALID.search(line) is not None for line in lines),
            lines=len(lines),
        )


def _by_evidence(sample: bytes, invalid_lines_most: float, *, whole: bool, header: bool) -> str:
    """Return what the sample, which says nothing of itself, is in: UTF-8, or one of those before it."""
    damage = _Damage.of(sample, whole=whole)
    if damage.invalid == 0 or damage.valid > damage.invalid:
        return UTF8
    # Hardly any file needs them, and every start would wait for their tables (10 ms).
    from csv_transcode.decode import legacy_encodings, punctuation  # noqa: PLC0415

    if whole and damage.valid == 0 and punctuation.is_of_windows(sample):
        return punctuation.WINDOWS
    verdict = legacy_encodings.judge(sample, whole=whole)
    if verdict.encoding is not None:
        return verdict.encoding
    if header and whole and damage.valid == 0 and _decides_names_alone(sample):
        return DEFAULT
    records_left = damage.lines - damage.invalid_lines - header
    if damage.invalid_lines <= invalid_lines_most * damage.lines and records_left > 0:
        return UTF8
    message = (
        f"not UTF-8: byte {damage.first} (line {damage.first_line}) is 0x{sample[damage.first]:02x}, and"
        f" {damage.invalid_lines} of the first {damage.lines} lines are not valid; {verdict.reason};"
        " set ENCODING to what the file is in, e.g. ENCODING=cp1252"
    )
    raise EncodingError(message)


def _decides_names_alone(sample: bytes) -> bool:
    """Return whether all of ``sample`` behind its first line that is not blank is ASCII, and that line DEFAULT.

    A line by itself with control characters in it is no header, but anything.
    """
    first, *others = (line for line in sample.splitlines() if line)  # of bytes: LF, CR LF and CR alone
    text = _decoded(first, DEFAULT, whole=True)
    return all(map(bytes.isascii, others)) and text is not None and (bool(others) or _is_plain_text(text))


def _without(mark_bytes: int, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the chunks without their first ``mark_bytes`` bytes."""
    remaining = iter(chunks)
    for chunk in remaining:
        rest = chunk[mark_bytes:] if mark_bytes else chunk
        mark_bytes -= len(chunk) - len(rest)
        if rest:
            yield rest


def _transcoded(chunks: Iterable[bytes], encoding: Encoding) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding.name)()
    offset = encoding.mark_bytes
    for chunk in chunks:
        for start in range(0, len(chunk), STEP_BYTES):
            step = chunk[start : start + STEP_BYTES]
            text = _step(decoder, step, offset, encoding.name, final=False)
            offset += len(step)
            if text:
                yield text
    text = _step(decoder, b"", offset, encoding.name, final=True)
    if text:
        yield text


def _step(decoder: codecs.IncrementalDecoder, step: bytes, offset: int, name: str, *, final: bool) -> bytes:
    """Return ``step``, which begins at byte ``offset``, in UTF-8, with what the decoder kept of the one before."""
    kept = len(decoder.getstate()[0])
    try:
        return decoder.decode(step, final).encode()
    except UnicodeDecodeError as error:
        at = offset - kept + error.start
        found = error.object[error.start : error.end].hex(" ")
        message = f"not {name} at byte {at}: {found} ({error.reason}); set ENCODING if it is something else"
        raise EncodingError(message) from error
    except UnicodeEncodeError as error:
        message = f"not {name} between bytes {offset - kept} and {offset + len(step)}: a surrogate by itself"
        raise EncodingError(message) from error
