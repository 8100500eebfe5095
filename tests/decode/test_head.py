"""What a file is, by its first bytes: where its records begin, what its columns are called, and what is refused."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from csv_transcode.decode.compression import DecompressionLimits
from csv_transcode.decode.dialect_detection import Given
from csv_transcode.decode.reader import Head, Reading, read_head
from csv_transcode.decode.records import Cuts
from csv_transcode.errors import CompressionError, DialectError, EncodingError, LimitError, SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

READING = Reading(cuts=Cuts(record_bytes_max=100), columns_max=8)
WHOLE = 1 << 20
TEXT = "id;größe\n" + "".join(f"{i};{i * 3}\n" for i in range(9))


def head_of(data: bytes, size: int = WHOLE, **given: Any) -> Head | None:
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    return read_head(chunks, replace(READING, **given))


def required(data: bytes, size: int = WHOLE, **given: Any) -> Head:
    head = head_of(data, size, **given)
    assert head is not None
    return head


@pytest.mark.parametrize("size", [1, 2, 3, WHOLE])
@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        pytest.param(gzip.compress(b"a,b\n1,2\n")[:-9], CompressionError, "gzip.*", id="gzip cut off"),
        pytest.param(b"\n\na,\xe9\n1,2\n3,\xe9\n", EncodingError, "line 3.*ENCODING", id="Latin-1"),
        pytest.param(b"a,b,c,d,e,f,g,h,i\n1,2,3,4,5,6,7,8,9\n", LimitError, "9 columns, MAX_COLUMNS=8", id="columns"),
        pytest.param(b"a" * 101 + b"\n", LimitError, "first record .*MAX_RECORD_BYTES=100", id="long header"),
    ],
)
def test_what_is_refused_says_what_was_found_and_what_to_set(
    data: bytes, error: type[SourceError], words: str, size: int
) -> None:
    with pytest.raises(error, match=words):
        head_of(data, size)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b'a,b"\n', "line 1, byte 3 .*the header.*quote", id="quote inside"),
        pytest.param(b'"a"x,b\n', "line 1, byte 3 .*after a closing quote", id="text after quote"),
        pytest.param(b'a,"b\n', "line 1, byte 2 .*never ends", id="quote without end"),
    ],
)
def test_a_header_that_breaks_the_dialect_that_is_given_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(DialectError, match=words):
        head_of(data, given=Given(",", '"', "", header=True))


@pytest.mark.parametrize("data", [b"", b"\n", b"\r\n\r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
def test_a_file_without_records_has_no_head(data: bytes) -> None:
    assert head_of(data) is None
    assert head_of(data, 1) is None


@pytest.mark.parametrize("size", [1, 2, 5, WHOLE])
@pytest.mark.parametrize(
    ("data", "header", "offset", "line"),
    [
        pytest.param(b"a,b\n1,2\n", ["a", "b"], 4, 2, id="LF"),
        pytest.param(b"a,b\r\n1,2\r\n", ["a", "b"], 5, 2, id="CR LF"),
        pytest.param(b"a,b\r1,2\r", ["a", "b"], 4, 2, id="CR"),
        pytest.param(b"a,b", ["a", "b"], 3, 1, id="nothing but the header"),
        pytest.param(b"\n\r\n\ra,b\n1,2\n", ["a", "b"], 8, 5, id="behind blank lines"),
        pytest.param(b"\xef\xbb\xbfa,b\n1,2\n", ["a", "b"], 4, 2, id="a byte-order mark does not count"),
        pytest.param(b'"a\n""x""",b\n1,2\n', ['a\n"x"', "b"], 12, 3, id="line end inside"),
        pytest.param(b"a;b,c\n1,2\n", ["a;b", "c"], 6, 2, id="a semicolon among commas"),
        pytest.param(b"a\n1\n", ["a"], 2, 2, id="one column"),
    ],
)
def test_where_the_records_begin(data: bytes, header: Sequence[str], offset: int, line: int, size: int) -> None:
    head = required(data, size)
    assert (list(head.header), head.offset, head.line) == (header, offset, line)
    assert b"".join(head.records) == data.removeprefix(b"\xef\xbb\xbf")[offset:]


@pytest.mark.parametrize("size", [1, 7, WHOLE])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_whatever_it_is_written_in_the_records_are_utf_8(encoding: str, size: int, *, packed: bool) -> None:
    data = TEXT.encode(encoding)
    data = gzip.compress(data) if packed else data
    given = encoding if encoding == "cp1252" else None
    head = required(data, size, encoding=given)
    expected = TEXT.encode()
    assert (head.header, head.dialect.delimiter, head.dialect.compression) == (
        ("id", "größe"),
        ";",
        "gzip" if packed else None,
    )
    assert b"".join(head.records) == expected[head.offset :]
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    assert b"".join(head.again(chunks).records) == expected[head.offset :]
    assert head.dialect.encoding.removesuffix("-sig") == {
        "utf-8-sig": "utf-8",
        "utf-16": "utf-16-le",
        "utf-32": "utf-32-le",
    }.get(encoding, encoding)


def test_lines_before_the_header_are_rejects_outside_of_the_records() -> None:
    rows = b"".join(b"%d,%d,x\n" % (i, i * i) for i in range(20))
    data = b"Report of the day\n\nprinted twice\na,b,c\n" + rows
    head = required(data)
    assert head.header == ("a", "b", "c")
    assert [(one.record, one.line, one.offset, one.reason, one.raw) for one in head.preamble] == [
        (0, 1, 0, "preamble", b"Report of the day\n"),
        (0, 3, 19, "preamble", b"printed twice\n"),
    ]
    assert head.offset == data.index(rows)


def test_without_a_header_the_first_record_stays_one() -> None:
    head = required(b"\n1,2\n3,4\n", given=Given(header=False))
    assert (head.header, head.names, head.offset, head.line) == (("", ""), ("column_1", "column_2"), 0, 1)


def test_a_bomb_is_refused_while_it_is_read() -> None:
    packed = gzip.compress(b"a,b\n" + b"1,2\n" * 20_000_000)
    with pytest.raises(LimitError, match="MAX_DECOMPRESSION_RATIO"):
        list(required(packed, limits=DecompressionLimits(1 << 40, 100)).records)
    with pytest.raises(LimitError, match="MAX_DECOMPRESSED_BYTES"):
        list(required(packed, limits=DecompressionLimits(1 << 20, 1e9)).records)


@pytest.mark.parametrize("size", [1, 3, WHOLE])
def test_a_header_alone_that_is_not_utf8_names_columns_in_cp1252(size: int) -> None:
    data = b"\nAnn\xe9e,Prix\n1,2\n"
    head = required(data, size)
    assert (head.names, head.dialect.encoding) == (("Année", "Prix"), "cp1252")
    assert b"".join(head.records) == b"1,2\n"
    for header in (False, None):
        with pytest.raises(EncodingError, match=r"line 2.*ENCODING"):
            head_of(data, size, given=Given(header=header))


def test_a_header_that_is_damaged_utf8_is_refused() -> None:
    with pytest.raises(EncodingError, match=r"line 1 \(the header\) is not valid UTF-8.*ENCODING"):
        head_of("é,è,\xff\n1,2,3\n".encode("latin-1").replace(b"\xe9,\xe8", "é,è".encode()))
