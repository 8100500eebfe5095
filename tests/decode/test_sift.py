"""Good records and bad ones side by side: as the naive reader has them, whatever the cuts."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csv_transcode.decode.dialect import Dialect
from csv_transcode.decode.inference import TypeRules
from csv_transcode.decode.records import Cuts, RecordCutter
from csv_transcode.decode.sift import Block, sift
from csv_transcode.decode.stripes import Parsed, StripeDecoder
from csv_transcode.decode.walk import REACH
from csv_transcode.errors import LimitError
from tests.decode import messy, naive
from tests.decode.naive import Rejected
from tests.profiles import examples

COMMA: Final = Dialect()
ESCAPED: Final = Dialect(escape_char="\\")
WHOLE: Final = 1 << 20
AT_ONCE: Final = (Cuts(WHOLE, WHOLE, 1000), WHOLE)

Decoded = tuple[list[naive.Row], list[Rejected]]


def decoded(data: bytes, dialect: Dialect, width: int, way: tuple[Cuts, int]) -> Decoded:
    """Return the rows and rejects of ``data``, which is cut as ``way`` says: (cuts, bytes a chunk)."""
    cuts, size = way
    chunks = (data[at : at + size] for at in range(0, len(data), size))
    cutter = RecordCutter(chunks, dialect, cuts, width=width, offset=0, line=1)
    decoder = StripeDecoder([f"c{index}" for index in range(width)], dialect, TypeRules())
    rows: list[naive.Row] = []
    rejected: list[Rejected] = []
    read = 0
    for stripe in cutter.stripes():
        parsed = decoder.parse(stripe)
        rows += [list(row) for row in zip(*(column.to_pylist() for column in parsed.strings.columns), strict=True)]
        rejected += [Rejected(one.record + read, one.line, one.offset, one.reason, one.raw) for one in parsed.rejects]
        require_numbers(parsed)
        read += parsed.count
    return rows, rejected


def require_numbers(parsed: Parsed) -> None:
    """Good records and rejected ones together are all of the stripe's, each once."""
    good = range(parsed.count) if parsed.numbers is None else parsed.numbers.tolist()
    assert len(good) == parsed.strings.num_rows
    assert sorted([*good, *(reject.record - 1 for reject in parsed.rejects)]) == list(range(parsed.count))


def ways(record_bytes_max: int) -> st.SearchStrategy[tuple[Cuts, int]]:
    stripes = st.sampled_from([7, 16, 64, WHOLE])
    blocks = st.sampled_from([1, 5, 16, 64, WHOLE])
    cuts = st.builds(lambda stripe, block: Cuts(stripe, min(block, stripe), record_bytes_max), stripes, blocks)
    return st.tuples(cuts, st.sampled_from([1, 2, 7, WHOLE]))


@given(st.data())
@examples(500)
def test_what_is_read_and_rejected_is_what_the_naive_reader_says_whatever_the_cuts(data: st.DataObject) -> None:
    dialect = data.draw(messy.dialects)
    text = data.draw(messy.texts(dialect))
    width = data.draw(st.sampled_from([1, 2, 2, 3]))
    limit = data.draw(st.sampled_from([1000, 1000, 20, 9]))
    way = data.draw(ways(limit))
    expected = naive.read(text, dialect, width=width, record_bytes_max=limit)
    out_of_reach = any(len(line) > REACH * limit for line in naive.lines(text))
    try:
        found = decoded(text, dialect, width, way)
    except LimitError:
        # blank lines and rejected records of one column wait for what follows them, and not for ever
        assert out_of_reach or (width == 1 and expected.gap > limit)
        return
    assert not out_of_reach
    assert found == (expected.rows, expected.rejected)


# data, dialect and width; what is read, and what is rejected
CASES: Final[dict[str, tuple[tuple[bytes, Dialect, int], Decoded]]] = {
    "an unclosed quote costs its line": (
        (b'1,2\n3,"4\n5,6\n', COMMA, 2),
        ([["1", "2"], ["5", "6"]], [Rejected(2, 2, 4, "quote", b'3,"4\n')]),
    ),
    "an unclosed quote that the next quote would close": (
        (b'1,"2\n3,4\n5,"6"\n', COMMA, 2),
        ([["3", "4"], ["5", "6"]], [Rejected(1, 1, 0, "quote", b'1,"2\n')]),
    ),
    "text after a closing quote": (
        (b'"1"x,2\n"3" ,4\n"5",6\n', COMMA, 2),
        ([["5", "6"]], [Rejected(1, 1, 0, "quote", b'"1"x,2\n'), Rejected(2, 2, 7, "quote", b'"3" ,4\n')]),
    ),
    "a quote inside an unquoted field": (
        (b'1,2"\n3, "4"\n5,6\n', COMMA, 2),
        ([["5", "6"]], [Rejected(1, 1, 0, "quote", b'1,2"\n'), Rejected(2, 2, 5, "quote", b'3, "4"\n')]),
    ),
    "ragged rows": (
        (b'1\n1,2\n1,2,3\n"1\n,",2\n,\n1,2,\n', COMMA, 2),
        (
            [["1", "2"], ["1\n,", "2"], [None, None]],
            [
                Rejected(1, 1, 0, "field_count", b"1\n"),
                Rejected(3, 3, 6, "field_count", b"1,2,3\n"),
                Rejected(6, 7, 22, "field_count", b"1,2,\n"),
            ],
        ),
    ),
    "a ragged record of several lines is rejected whole": (
        (b'"1\r\n2"\r\n3,4\r\n', COMMA, 2),
        ([["3", "4"]], [Rejected(1, 1, 0, "field_count", b'"1\r\n2"\r\n')]),
    ),
    "invalid UTF-8": (
        (b'1,\xe9\n\xc3\xa9,2\n"\xff\n",3\n4,\xed\xa0\x80\n5,6\n', COMMA, 2),
        (
            [["é", "2"], ["5", "6"]],
            [
                Rejected(1, 1, 0, "encoding", b"1,\xe9\n"),
                Rejected(3, 3, 9, "encoding", b'"\xff\n",3\n'),
                Rejected(4, 5, 16, "encoding", b"4,\xed\xa0\x80\n"),
            ],
        ),
    ),
    "of two faults the first in the order of reading is told": (
        (b'\xff"\n\xff,2,3\n1,2\n', COMMA, 2),
        ([["1", "2"]], [Rejected(1, 1, 0, "quote", b'\xff"\n'), Rejected(2, 2, 3, "encoding", b"\xff,2,3\n")]),
    ),
    "NULs are data": (
        (b'\0,2\n"\0\n",\0\0\n\0\n', COMMA, 2),
        ([["\0", "2"], ["\0\n", "\0\0"]], [Rejected(3, 4, 12, "field_count", b"\0\n")]),
    ),
    "bare CRs end records": (
        (b"1,2\r3\r4,5\r", COMMA, 2),
        ([["1", "2"], ["4", "5"]], [Rejected(2, 2, 4, "field_count", b"3\r")]),
    ),
    "a bare CR inside quotes is data, and a line": (
        (b'"1\r",2\n3\n', COMMA, 2),
        ([["1\r", "2"]], [Rejected(2, 3, 7, "field_count", b"3\n")]),
    ),
    "mixed line ends": (
        (b"1,2\r\n3\r4,5\n6\r\n7,8\r9", COMMA, 2),
        (
            [["1", "2"], ["4", "5"], ["7", "8"]],
            [
                Rejected(2, 2, 5, "field_count", b"3\r"),
                Rejected(4, 4, 11, "field_count", b"6\r\n"),
                Rejected(6, 6, 18, "field_count", b"9"),
            ],
        ),
    ),
    "a byte-order mark in the middle is data": (
        (b"1,2\n\xef\xbb\xbf3,4\n\xef\xbb\xbf5\n\xef\xbb\xbf6,7\n", COMMA, 2),
        ([["1", "2"], ["\ufeff3", "4"], ["\ufeff6", "7"]], [Rejected(3, 3, 11, "field_count", b"\xef\xbb\xbf5\n")]),
    ),
    "a byte-order mark before a quote makes it one inside a field": (
        (b'\xef\xbb\xbf"1",2\n3,4\n', COMMA, 2),
        ([["3", "4"]], [Rejected(1, 1, 0, "quote", b'\xef\xbb\xbf"1",2\n')]),
    ),
    "escape characters act inside quotes, and what follows is literal": (
        (b'"1\\"2",\\\n"\\\\","\\\n\\n"\n"3\\","4"\n5,"\\"\n', ESCAPED, 2),
        (
            [['1"2', "\\"], ["\\", "\nn"]],
            [Rejected(3, 4, 21, "quote", b'"3\\","4"\n'), Rejected(4, 5, 30, "quote", b'5,"\\"\n')],
        ),
    ),
    "a delimiter that is escaped outside quotes is one": (
        (b"1\\,2\n3\\,4,5\n", ESCAPED, 2),
        ([["1\\", "2"]], [Rejected(2, 2, 5, "field_count", b"3\\,4,5\n")]),
    ),
    "without a quote character quotes are text": (
        (b'"1\t2"\n"3\n', Dialect(delimiter="\t", quote_char=None), 2),
        ([['"1', '2"']], [Rejected(2, 2, 6, "field_count", b'"3\n')]),
    ),
    "blank lines are no records": (
        (b"\n1,2\r\n\r\n3\n\n", COMMA, 2),
        ([["1", "2"]], [Rejected(2, 4, 8, "field_count", b"3\n")]),
    ),
    "blank lines of one column are empty values": (
        (b"1\n\n1,2\n\n3\n", COMMA, 1),
        ([["1"], [None], [None], ["3"]], [Rejected(3, 3, 3, "field_count", b"1,2\n")]),
    ),
    "blank lines of one column behind its last good record are nothing, rejected records or not": (
        (b"1\n\n2\n\n1,2\n\n\n3,4\n\n", COMMA, 1),
        (
            [["1"], [None], ["2"]],
            [Rejected(4, 5, 6, "field_count", b"1,2\n"), Rejected(5, 8, 12, "field_count", b"3,4\n")],
        ),
    ),
    "nothing good at all": (
        (b"1,2\n\n3,4", COMMA, 1),
        ([], [Rejected(1, 1, 0, "field_count", b"1,2\n"), Rejected(2, 3, 5, "field_count", b"3,4")]),
    ),
}
SMALL_WAYS: Final = [
    AT_ONCE,
    *((Cuts(stripe, block, 1000), size) for stripe, block, size in [(64, 16, 7), (7, 5, 2), (5, 1, 1)]),
]


@pytest.mark.parametrize("way", SMALL_WAYS, ids=["at once", "small", "smaller", "byte by byte"])
@pytest.mark.parametrize(("source", "expected"), CASES.values(), ids=CASES)
def test_case(source: tuple[bytes, Dialect, int], expected: Decoded, way: tuple[Cuts, int]) -> None:
    assert decoded(*source, way) == expected


@pytest.mark.parametrize(("source", "expected"), CASES.values(), ids=CASES)
def test_the_naive_reader_says_so_too(source: tuple[bytes, Dialect, int], expected: Decoded) -> None:
    data, dialect, width = source
    found = naive.read(data, dialect, width=width, record_bytes_max=1000)
    assert (found.rows, found.rejected) == expected


EXPECTED: Final = "expected a delimiter or a line end"


@pytest.mark.parametrize(
    ("data", "details"),
    [
        (b"1\n1,2,3\n", ["1 fields, header has 2", "3 fields, header has 2"]),
        (b"1,\xe9\n", ["at byte 2 of the record, e9 is not valid UTF-8 (invalid continuation byte)"]),
        (b'\n1,2\n3,"4"5\n', [f"at byte 5 of the record, text after a closing quote; {EXPECTED}"]),
        (b'1,2"\n', [f"at byte 3 of the record, a quote inside an unquoted field; {EXPECTED}"]),
        (b'1,2\n3,"4\n', ["at byte 2 of the record, a quoted field begins here and never ends"]),
    ],
)
def test_details_say_what_was_found_and_expected_and_no_value(data: bytes, details: list[str]) -> None:
    cutter = RecordCutter([data], COMMA, AT_ONCE[0], width=2, offset=0, line=1)
    decoder = StripeDecoder(["a", "b"], COMMA, TypeRules())
    assert [one.detail for stripe in cutter.stripes() for one in decoder.parse(stripe).rejects] == details


def test_a_block_with_offset_and_line_says_where_in_the_file() -> None:
    cutter = RecordCutter([b"1,2\n3\n"], COMMA, AT_ONCE[0], width=2, offset=100, line=11)
    (stripe,) = cutter.stripes()
    (reject,) = StripeDecoder(["a", "b"], COMMA, TypeRules()).parse(stripe).rejects
    assert (reject.record, reject.line, reject.offset, reject.raw) == (2, 12, 104, b"3\n")


@given(st.data())
@examples(200)
def test_what_is_clean_is_the_good_records_as_rfc_4180_has_them(data: st.DataObject) -> None:
    """Whatever the dialect's escape character and the line ends: the clean bytes need neither, and hold nothing bad."""
    dialect = data.draw(messy.dialects)
    text = data.draw(messy.texts(dialect))
    cutter = RecordCutter([text], dialect, AT_ONCE[0], width=2, offset=0, line=1)
    for block in [block for stripe in cutter.stripes() for block in stripe.blocks]:
        sifted = sift(block, dialect, 2)
        alone = naive.read(sifted.clean, dialect.without_escapes(), width=2, record_bytes_max=1000)
        assert alone.rejected == []
        assert alone.rows == naive.read(block.data, dialect, width=2, record_bytes_max=1000).rows
        assert not naive_bare_returns(sifted.clean, dialect)


def test_a_bare_return_that_ends_a_good_record_becomes_a_line_feed_and_one_inside_quotes_does_not() -> None:
    cutter = RecordCutter([b'1,2\r3\r"4\r",5\r6,7'], COMMA, AT_ONCE[0], width=2, offset=0, line=1)
    ((block,),) = (stripe.blocks for stripe in cutter.stripes())
    assert sift(block, COMMA, 2).clean == b'1,2\n"4\r",5\n6,7'


def naive_bare_returns(clean: bytes, dialect: Dialect) -> bool:
    """Whether a record of ``clean`` ends in a lone CR."""
    found = naive.pieces(clean, dialect.without_escapes(), 1000)
    return any(clean[: piece.end].endswith(b"\r") for piece in found)


def test_a_block_without_flaws_is_clean_as_it_stands() -> None:
    data = b'1,2\n"3\n",4\n'
    sifted = sift(Block(data, 0, 1, quoted=True), COMMA, 2)
    assert (sifted.clean, sifted.count, sifted.flawed) == (data, 2, ())
    assert (sifted.starts.tolist(), sifted.ends.tolist()) == ([0, 4], [4, 11])


@pytest.mark.parametrize("at", [0, 4, 6, 11, 15])
def test_a_block_is_split_at_a_record_end(at: int) -> None:
    data = b'1,2\n3\n"4"x\n5,6\n'
    cutter = RecordCutter([data], COMMA, AT_ONCE[0], width=2, offset=100, line=11)
    ((block,),) = (stripe.blocks for stripe in cutter.stripes())
    halves = block.split(at, COMMA)
    assert b"".join(half.data for half in halves) == data
    found = [(half, one) for half in halves if half.data for one in sift(half, COMMA, 2).flawed]
    assert [(half.offset + one.start, one.flaw.reason) for half, one in found] == [(104, "field_count"), (106, "quote")]
    assert [half.line for half in halves if half.data][-1] == 11 + (data[:at].count(b"\n") if 0 < at < len(data) else 0)
