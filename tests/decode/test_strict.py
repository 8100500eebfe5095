"""The careful scanner: as Python's csv in strict mode where both accept, and exact about where it does not."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csv_transcode.decode import strict
from csv_transcode.decode.dialect import Dialect
from tests.profiles import examples

CSV_BYTES = st.text('ab",\r\n é', max_size=24)


def scanned(data: bytes, dialect: Dialect | None = None) -> list[list[str]]:
    records = strict.scan(data, 0, dialect or Dialect(), final=True)
    return [[field.decode() for field in record.fields] for record in records]


def judged(text: str, **dialect: Any) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), strict=True, **dialect))


@given(CSV_BYTES)
@examples(250)
def test_records_are_those_of_pythons_csv(text: str) -> None:
    try:
        records = scanned(text.encode())
    except strict.Broken:
        return
    # csv reads "a" CR LF "b" as one line end, and a lone CR as one too: the same rule
    assert records == judged(text)


@given(CSV_BYTES)
@examples(250)
def test_what_only_python_accepts_has_a_quote_inside_an_unquoted_field(text: str) -> None:
    try:
        records = judged(text)
    except csv.Error:
        with pytest.raises(strict.Broken):
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
    except strict.Broken:
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
    except (strict.Unfinished, strict.Broken):
        pass
    late = []
    try:
        for record in strict.scan(data, 0, Dialect(), final=True):
            late.append(record)  # noqa: PERF402 -- until one cannot be read
    except strict.Broken:
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
    ("data", "detail", "at"),
    [
        pytest.param(b'a,b\nc,d"e\n', strict.BARE_QUOTE, 7, id="quote inside an unquoted field"),
        pytest.param(b'a,b\nc, "d"\n', strict.BARE_QUOTE, 7, id="quote behind a space"),
        pytest.param(b'a,b\n"c"d,e\n', strict.TEXT_AFTER_QUOTE, 7, id="text behind a closing quote"),
        pytest.param(b'a,b\n"c" ,e\n', strict.TEXT_AFTER_QUOTE, 7, id="space behind a closing quote"),
        pytest.param(b'a,b\nc,"d\ne,f\n', strict.NEVER_ENDS, 6, id="quote without end"),
        pytest.param(b'a,b\nc,"d""\ne,f\n', strict.NEVER_ENDS, 6, id="a doubled quote is no end"),
        pytest.param(b'a,b\n\n\r\n\rc"\n', strict.BARE_QUOTE, 9, id="behind blank lines"),
        pytest.param(b'"a\nb\r\nc\rd",e\nf"\n', strict.BARE_QUOTE, 14, id="behind lines inside quotes"),
        pytest.param(b'a\r"b"c\n', strict.TEXT_AFTER_QUOTE, 5, id="CR ends a line"),
    ],
)
def test_what_breaks_the_format_is_named(data: bytes, detail: str, at: int) -> None:
    with pytest.raises(strict.Broken) as caught:
        scanned(data)
    assert (caught.value.detail, caught.value.at) == (detail, at)


@pytest.mark.parametrize("data", [b"", b"x\n", b'"', b'"a\n'])
def test_nothing_behind_the_stop_is_looked_at(data: bytes) -> None:
    record = b'"a",b\n'
    found = strict.scan_record(b"x\n" + record + data, 2, Dialect(), stop=2 + len(record), final=True)
    assert (found.fields, found.start, found.end) == ((b"a", b"b"), 2, 2 + len(record))


@pytest.mark.parametrize(
    ("data", "stop", "end"),
    [
        pytest.param(b"a,bc\n", 3, 3, id="in an unquoted field"),
        pytest.param(b'"a""b"\n', 3, 3, id="between doubled quotes"),
        pytest.param(b"a,b\r\n", 4, 4, id="between CR and LF"),
        pytest.param(b"a,", 2, 2, id="behind a delimiter"),
    ],
)
def test_a_stop_ends_the_last_record(data: bytes, stop: int, end: int) -> None:
    assert strict.scan_record(data, 0, Dialect(), stop=stop, final=True).end == end


@pytest.mark.parametrize("data", [b"a,b", b"a,b\r", b'"a', b'"a"', b'"a"\r', b"a,"])
def test_what_more_data_may_finish_is_unfinished(data: bytes) -> None:
    with pytest.raises(strict.Unfinished):
        strict.scan_record(data, 0, Dialect(), stop=len(data), final=False)


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


@pytest.mark.parametrize(
    ("data", "records"),
    [
        pytest.param(b'"a\\"b",c\n', [['a"b', "c"]], id="a quote"),
        pytest.param(b'"a\\\\",c\n', [["a\\", "c"]], id="itself"),
        pytest.param(b'"a\\\nb\\nc"\n', [["a\nbnc"]], id="anything, as it is"),
        pytest.param(b'"a""b"\n', [['a"b']], id="doubled quotes are none the less one"),
        pytest.param(b"a\\,b\n", [["a\\", "b"]], id="not outside quotes"),
    ],
)
def test_an_escape_character_makes_what_follows_literal(data: bytes, records: list[list[str]]) -> None:
    assert scanned(data, Dialect(escape_char="\\")) == records


VALUES = st.lists(st.lists(st.text("ab,;|'\"\\\r\n é\0", max_size=5), min_size=1, max_size=3), max_size=4)
WRITTEN = [
    pytest.param(Dialect(), id="comma"),
    pytest.param(Dialect(delimiter=";", quote_char="'"), id="semicolon"),
    pytest.param(Dialect(delimiter="|"), id="pipe"),
    pytest.param(Dialect(escape_char="\\"), id="escaped"),
]


@pytest.mark.parametrize("dialect", WRITTEN)
@given(VALUES, st.sampled_from(["\n", "\r\n"]))
@examples(60)
def test_what_pythons_csv_writes_is_read_as_it_reads_it(dialect: Dialect, values: list[list[str]], end: str) -> None:
    told: dict[str, Any] = {"delimiter": dialect.delimiter, "quotechar": dialect.quote_char}
    if dialect.escape_char:
        told |= {"escapechar": dialect.escape_char, "doublequote": False}
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator=end, **told).writerows(values)
    text = out.getvalue()
    assert scanned(text.encode(), dialect) == judged(text, **told) == values


@given(st.text("ab;\"'\r\n é", max_size=24))
@examples(150)
def test_without_a_quote_character_as_python_without_one(text: str) -> None:
    told = judged(text, delimiter=";", quoting=csv.QUOTE_NONE)
    assert scanned(text.encode(), Dialect(delimiter=";", quote_char=None)) == told
