"""The careful scanner: as Python's csv in strict mode where both accept, and exact about where it does not."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csv_transcode.decode import strict
from csv_transcode.decode.arrow_csv import BlockParser
from csv_transcode.decode.dialect import Dialect
from csv_transcode.decode.records import Block
from csv_transcode.errors import FieldCountError, RecordError
from tests.profiles import examples

CSV_BYTES = st.text('ab",\r\n é', max_size=24)


def scanned(data: bytes, dialect: Dialect | None = None) -> list[list[str]]:
    records = strict.scan(data, 0, dialect or Dialect(), final=True)
    return [[field.decode() for field in record.fields] for record in records]


def judged(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


@given(CSV_BYTES)
@examples(250)
def test_records_are_those_of_pythons_csv(text: str) -> None:
    try:
        records = scanned(text.encode())
    except RecordError:
        return
    # csv reads "a" CR LF "b" as one line end, and a lone CR as one too: the same rule
    assert records == judged(text)


@given(CSV_BYTES)
@examples(250)
def test_what_only_python_accepts_has_a_quote_inside_an_unquoted_field(text: str) -> None:
    try:
        records = judged(text)
    except csv.Error:
        with pytest.raises(RecordError):
            scanned(text.encode())
        return
    if any('"' in field for record in records for field in record) or text.count('"') % 2:
        return  # csv takes such a quote as a letter, RFC 4180 does not
    assert scanned(text.encode()) == records


@given(CSV_BYTES)
@examples(300)
def test_records_lie_end_to_end(text: str) -> None:
    data = text.encode()
    try:
        records = list(strict.scan(data, 0, Dialect(), final=True))
    except RecordError:
        return
    edges = [0, *(record.end for record in records)]
    assert [record.start for record in records] == edges[:-1]
    assert edges[-1] == len(data)


@given(CSV_BYTES, st.integers(0, 24))
@examples(250)
def test_what_is_read_before_the_end_is_known_stays_so(text: str, cut: int) -> None:
    data = text.encode()
    early = []
    try:
        for record in strict.scan(data[:cut], 0, Dialect(), final=False):
            early.append(record)  # noqa: PERF402 -- until one cannot be read
    except (strict.Unfinished, RecordError):
        pass
    late = []
    try:
        for record in strict.scan(data, 0, Dialect(), final=True):
            late.append(record)  # noqa: PERF402 -- until one cannot be read
    except RecordError:
        pass
    assert late[: len(early)] == early


@pytest.mark.parametrize(
    ("data", "fields", "quoted"),
    [
        pytest.param(b'"",', [b"", b""], [True, False], id="quoted and unquoted empty"),
        pytest.param(b'""', [b""], [True], id="a quoted empty field is no blank line"),
        pytest.param(b"\n", [], [], id="blank line"),
        pytest.param(b'"a""b"', [b'a"b'], [True], id="doubled quote"),
        pytest.param(b'"a\r\nb\rc\nd"', [b"a\r\nb\rc\nd"], [True], id="line ends inside quotes"),
        pytest.param(b" a , b ", [b" a ", b" b "], [False, False], id="spaces are kept"),
    ],
)
def test_one_record(data: bytes, fields: list[bytes], quoted: list[bool]) -> None:
    record = next(strict.scan(data, 0, Dialect(), final=True))
    assert (list(record.fields), list(record.quoted)) == (fields, quoted)


@pytest.mark.parametrize(
    ("data", "reason", "record", "line", "offset"),
    [
        pytest.param(b'a,b\nc,d"e\n', "quote", 2, 2, 7, id="quote inside an unquoted field"),
        pytest.param(b'a,b\nc, "d"\n', "quote", 2, 2, 7, id="quote behind a space"),
        pytest.param(b'a,b\n"c"d,e\n', "quote", 2, 2, 7, id="text behind a closing quote"),
        pytest.param(b'a,b\n"c" ,e\n', "quote", 2, 2, 7, id="space behind a closing quote"),
        pytest.param(b'a,b\nc,"d\ne,f\n', "quote", 2, 2, 6, id="quote without end"),
        pytest.param(b'a,b\n\n\r\n\rc"\n', "quote", 2, 5, 9, id="blank lines are lines, not records"),
        pytest.param(b'"a\nb\r\nc\rd",e\nf"\n', "quote", 2, 5, 14, id="lines inside quotes are lines"),
        pytest.param(b'a\r"b"c\n', "quote", 2, 2, 5, id="CR ends a line"),
    ],
)
def test_a_broken_record_is_named(data: bytes, reason: str, record: int, line: int, offset: int) -> None:
    with pytest.raises(RecordError) as caught:
        scanned(data)
    error = caught.value
    assert (error.reason, error.record, error.line, error.offset) == (reason, record, line, offset)


@pytest.mark.parametrize(
    ("data", "reason", "place"),
    [
        pytest.param(b"a,b\nc\n", "field_count", (2, 12, 104, 2), id="too few fields"),
        pytest.param(b"a,b\r\n\r\nc,d,e\r\nf,g\r\n", "field_count", (2, 13, 107, 7), id="too many fields"),
        pytest.param(b'"a\nb",c\nd\n', "field_count", (2, 13, 108, 2), id="behind lines inside quotes"),
        pytest.param(b"a,b\nc,\xff\nd,e\n", "encoding", (2, 12, 104, 4), id="not UTF-8"),
        pytest.param(b'a,b\n"c\xff",d\n', "encoding", (2, 12, 104, 7), id="not UTF-8 inside quotes"),
        pytest.param(b'a,b\nc,d"\n', "quote", (2, 12, 107, 0), id="a quote"),
    ],
)
@pytest.mark.parametrize("plain", [False, True])
def test_an_error_is_placed_in_the_file(
    data: bytes, reason: str, place: tuple[int, int, int, int], *, plain: bool
) -> None:
    block = Block(data, offset=100, line=11, plain=plain and reason != "quote", quoted=True)
    with pytest.raises(RecordError) as caught:
        BlockParser(Dialect(), 2).parse(block)
    error = caught.value
    assert error.reason == reason
    assert (error.record, error.line, error.offset, error.length) == place
    assert isinstance(error, FieldCountError) == (reason == "field_count")


@pytest.mark.parametrize(
    ("data", "quote_char", "delimiter", "records"),
    [
        pytest.param(b'a"b,"c\n', None, ",", [['a"b', '"c']], id="no quote character"),
        pytest.param(b"'a,b',c\n", "'", ",", [["a,b", "c"]], id="another quote character"),
        pytest.param(b'"a;b";c,d\n', '"', ";", [["a;b", "c,d"]], id="another delimiter"),
        pytest.param(b"a|b\n", '"', "|", [["a", "b"]], id="a delimiter that means something to a pattern"),
    ],
)
def test_other_dialects(data: bytes, quote_char: str | None, delimiter: str, records: list[list[str]]) -> None:
    assert scanned(data, Dialect(quote_char=quote_char, delimiter=delimiter)) == records
