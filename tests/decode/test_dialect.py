"""What a file is, by its first bytes: names of columns, and refusals that say what was found and where."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csv_transcode.decode.dialect import Dialect, column_names
from csv_transcode.decode.reader import Head, read_head
from csv_transcode.decode.records import Cuts
from csv_transcode.errors import (
    CompressionError,
    DialectError,
    EncodingError,
    LimitError,
    RecordError,
    SourceError,
)
from tests.profiles import examples

if TYPE_CHECKING:
    from collections.abc import Sequence

CUTS = Cuts(record_bytes_max=100)


def head_of(data: bytes, size: int = 1 << 20, dialect: Dialect | None = None) -> Head | None:
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    return read_head(chunks, dialect or Dialect(), CUTS, columns_max=8)


def required(data: bytes, size: int = 1 << 20, dialect: Dialect | None = None) -> Head:
    head = head_of(data, size, dialect)
    assert head is not None
    return head


@pytest.mark.parametrize(
    ("header", "names"),
    [
        pytest.param(["a", "b"], ["a", "b"], id="the header's own"),
        pytest.param(["", "b", ""], ["column_1", "b", "column_3"], id="empty"),
        pytest.param(["a", "a", "a"], ["a", "a_2", "a_3"], id="repeated"),
        pytest.param(["a", "A"], ["a", "A_2"], id="repeated ignoring case"),
        pytest.param(["a", "a", "a_2"], ["a", "a_3", "a_2"], id="a name that a column has is not made up"),
        pytest.param(["", "column_1"], ["column_1_2", "column_1"], id="nor one for an empty name"),
        pytest.param([" ", "é", "a b"], [" ", "é", "a b"], id="kept as they are"),
    ],
)
def test_column_names(header: list[str], names: list[str]) -> None:
    assert column_names(header) == names


@given(st.lists(st.sampled_from(["", "a", "A", "a_2", "A_2", "a_3", "a_2_2", "column_1", "column_2", "Column_3"])))
@examples(200)
def test_names_are_unique_ignoring_case_and_kept_where_they_can_be(header: list[str]) -> None:
    names = column_names(header)
    assert len({name.lower() for name in names}) == len(names) == len(header)
    firsts = [name for at, name in enumerate(header) if name and name.lower() not in map(str.lower, header[:at])]
    assert [name for name in names if name in firsts] == firsts


@pytest.mark.parametrize("size", [1, 2, 3, 1 << 20])
@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        pytest.param(b"\x1f\x8b\x08\0rest", CompressionError, "gzip-compressed.* 1f 8b at byte 0", id="gzip"),
        pytest.param(b"BZh91AY&SY", CompressionError, "bzip2-compressed.* at byte 0", id="bzip2"),
        pytest.param(b"\xfd7zXZ\0\0", CompressionError, "xz-compressed.* at byte 0", id="xz"),
        pytest.param(b"\x28\xb5\x2f\xfd\0", CompressionError, "zstd-compressed.* 28 b5 2f fd at byte 0", id="zstd"),
        pytest.param("a,b\n".encode("utf-16"), EncodingError, "UTF-16 LE.* ff fe at byte 0", id="UTF-16 LE"),
        pytest.param(b"\xfe\xff\0a\0\n", EncodingError, "UTF-16 BE.* fe ff at byte 0", id="UTF-16 BE"),
        pytest.param("a,b\n".encode("utf-32"), EncodingError, "UTF-32 LE.* at byte 0", id="UTF-32 LE"),
        pytest.param(b"\0\0\xfe\xff\0\0\0a", EncodingError, "UTF-32 BE.* at byte 0", id="UTF-32 BE"),
        pytest.param(b"a,\0b\n", EncodingError, "NUL byte at byte 2", id="NUL"),
        pytest.param(b"\n\na,\xe9\n", EncodingError, r"line 3 \(the header\) is not valid UTF-8", id="Latin-1"),
        pytest.param(b"a;b\n1;2\n", DialectError, "line 1 .* holds 1 semicolon", id="semicolons"),
        pytest.param(b"a\tb\tc\n1\n", DialectError, "line 1 .* holds 2 tab", id="tabs"),
        pytest.param(b"a|b\n", DialectError, "line 1 .* holds 1 pipe", id="pipes"),
        pytest.param(b"a,b,c,d,e,f,g,h,i\n", LimitError, "header has 9 columns, MAX_COLUMNS=8", id="columns"),
        pytest.param(b"a" * 101 + b"\n", LimitError, "first record .*MAX_RECORD_BYTES=100", id="long header"),
        pytest.param(b'"' + b"a," * 200, LimitError, "first record .*MAX_RECORD_BYTES=100", id="header without end"),
        pytest.param(b'a,b"\n', RecordError, "line 1, byte 3.*quote", id="quote inside"),
        pytest.param(b'"a"x,b\n', RecordError, "line 1, byte 3.*after a closing quote", id="text after quote"),
        pytest.param(b'a,"b\n', RecordError, "line 1, byte 2.*never ends", id="quote without end"),
    ],
)
def test_what_is_refused_says_what_was_found_and_where(
    data: bytes, error: type[SourceError], words: str, size: int
) -> None:
    with pytest.raises(error, match=words):
        head_of(data, size)


@pytest.mark.parametrize("data", [b"", b"\n", b"\r\n\r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
def test_a_file_without_records_has_no_head(data: bytes) -> None:
    assert head_of(data) is None
    assert head_of(data, 1) is None


@pytest.mark.parametrize("size", [1, 2, 5, 1 << 20])
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


def test_without_a_header_the_first_record_stays_one() -> None:
    head = required(b"\n1,2\n3,4\n", dialect=Dialect(header=False))
    assert (head.header, head.names, head.offset, head.line) == (("", ""), ("column_1", "column_2"), 0, 1)


def test_a_refusal_names_the_delimiter_that_was_read_with() -> None:
    with pytest.raises(DialectError, match=re.escape("one field with delimiter ','")):
        head_of(b"a;b\n")
