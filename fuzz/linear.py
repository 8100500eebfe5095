"""``python -m fuzz linear``: CPU time at n, 2n and 4n bytes of input made to be slow.

Of the whole conversion, with the dialect given and detected; and of the detection alone, up to its sample.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from csv_transcode.conversion import plan_of
from csv_transcode.decode.dialect_detection import SAMPLE_BYTES, Given, detect
from csv_transcode.errors import DialectError, TranscodeError
from csv_transcode.pipeline import REJECTS, transcode
from csv_transcode.settings import Settings
from fuzz.judge import INLINE, Memory

if TYPE_CHECKING:
    from collections.abc import Callable

BYTES: Final = 1 << 20
RATIO_MAX: Final = 6.0  # of the time of 4 n to that of n
TRIES: Final = 2  # the fastest counts
CHUNK_BYTES: Final = 1 << 16
HEADER: Final = b"a,b\n"

# Each is repeated to fill n bytes behind the header.
ADVERSARIES: Final = {
    "all quotes": b'"',
    "all delimiters": b",",
    "one endless field": b"x",
    "one endless quoted field": b'"' + b"x" * 63,
    "alternating quotes": b'"x',
    "all CRs": b"\r",
    "all LFs": b"\n",
    "many unclosed quotes": b'1,"2\n',
    "deep doubled quotes": b'""',
    "doubled quotes in one field": b'x""',
    "a bare quote a line": b'1,2"\n',
    "text after a quote, a line": b'"1"2,3\n',
    "short ragged records": b"1\n",
    "records of several lines": b'"1\n\n\n",2\n',
    "invalid bytes": b"\xff,\xff\n",
    "NULs": b"\0",
    "escapes": b'"\\"",1\n',
    "unclosed behind escapes": b'"\\\\\\',
    "letters and then a quote": b'1,xxxxxxxxxxxxxx"',
    "unclosed before a rival delimiter": b'";\n',
    "quotes behind a delimiter": b',"""\n',
    "an escape in quotes": b'"a\\"b",c\n',
    "an escaped quote a line": b'"\\"\n',
    "single quotes": b"'a',b\n",
    "every delimiter and quote": b'\'a",;|\t \\"b\n',
}
WAYS: Final = ("given", "detected", "detection")
ONCE: Final = ("one endless quoted field",)  # what only begins with a quote


def run(size: int, tell: Callable[[str], None]) -> int:
    """Time every adversary, in every way; return 0 where time grows as the input does."""
    slow = []
    for way in WAYS:
        least = SAMPLE_BYTES // 4 if way == "detection" else size
        for name in ADVERSARIES:
            seconds, ended = zip(*(_timed(name, factor * least, way) for factor in (1, 2, 4)), strict=True)
            ratio = seconds[2] / max(seconds[0], 1e-3)
            times = " ".join(f"{second:.3f}" for second in seconds)
            tell(f"{way:9} {name:33} {times} s, ratio {ratio:.1f}  {ended[2]}")
            if ratio > RATIO_MAX:
                slow.append(f"{way}, {name} ({ratio:.1f})")
    series = len(WAYS) * len(ADVERSARIES)
    tell(f"n = {size:,} bytes, {series} series, more than {RATIO_MAX:g} times as long: {slow or 'none'}")
    return 1 if slow else 0


def adversary(name: str, size: int) -> bytes:
    """Return the input of that name, of about ``size`` bytes."""
    if name in ONCE:
        return HEADER + b'"' + b"x" * size
    return HEADER + ADVERSARIES[name] * (size // len(ADVERSARIES[name]))


def _timed(name: str, size: int, way: str) -> tuple[float, str]:
    """Return (CPU seconds, how it ended)."""
    data, ended, best = adversary(name, size), "", float("inf")
    for _ in range(TRIES):
        begun = time.process_time()
        ended = _detect(data) if way == "detection" else _convert(data, detected=way == "detected", name=name)
        best = min(best, time.process_time() - begun)
    return best, ended


def _detect(data: bytes) -> str:
    try:
        found = detect(data[:SAMPLE_BYTES], Given(), whole=False).dialect
    except DialectError:
        return "refused"
    return f"{found.delimiter!r} {found.quote_char} {found.escape_char}"


def _convert(data: bytes, *, detected: bool, name: str) -> str:
    escape_char = "\\" if "escape" in name else ""
    dialect = {} if detected else {"delimiter": ",", "quote_char": '"', "escape_char": escape_char}
    plan = plan_of(Settings.of("source-bucket", "target-bucket", max_rejected_ratio=1.0, **dialect))
    try:
        done = transcode(
            lambda: (data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)),
            lambda: {name: Memory() for name in ("parquet", "avro", REJECTS)},
            plan,
            INLINE,
        )
    except TranscodeError as error:
        return type(error).__name__
    return f"{done.written} written, {done.rejected} rejected" if done else "empty"
