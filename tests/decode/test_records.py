"""Blocks and stripes: Arrow reads what is plain as RFC 4180 does, and cuts change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from csv_transcode.decode.arrow_csv import PARSE_BYTES, BlockParser, ParsedBlock
from csv_transcode.decode.dialect import Dialect
from csv_transcode.decode.inference import TypeRules
from csv_transcode.decode.plain import bare_returns, is_plain, line_count, record_edges
from csv_transcode.decode.records import Cuts, RecordCutter
from csv_transcode.decode.sift import Block
from csv_transcode.decode.stripes import StripeDecoder
from csv_transcode.decode.walk import Boundaries
from csv_transcode.errors import ConservationError, LimitError
from tests.decode import naive
from tests.profiles import examples

if TYPE_CHECKING:
    import pyarrow as pa

DIALECT = Dialect()
FIELDS = st.sampled_from(['""', "", "a", '"a"', '"a,b"', '"a""b"', '""""', '"\n"', '"\r"', '"a\r\nb"', "é", " ", '"é"'])
ENDS = st.sampled_from(["\n", "\r\n", "\n\n", "\r\n\r\n", "\r"])


@st.composite
def sources(draw: st.DrawFn, widths: tuple[int, int] = (1, 3)) -> tuple[bytes, int]:
    """Return records of one width, each with its line end; the last one perhaps without."""
    width = draw(st.integers(*widths))
    ends = ENDS if draw(st.booleans()) else st.just("\n")
    records = draw(st.lists(st.tuples(st.lists(FIELDS, min_size=width, max_size=width), ends), min_size=1, max_size=8))
    text = "".join(",".join(fields) + end for fields, end in records)
    return (text.rstrip("\r\n") if draw(st.booleans()) else text).encode(), width


def columns(table: pa.Table | pa.RecordBatch) -> list[list[Any]]:
    return [column.to_pylist() for column in table.columns]


def naive_columns(data: bytes, width: int, null_values: tuple[str, ...] = ("",)) -> list[list[str | None]]:
    """Return the columns of a file that nothing is wrong with, blank lines behind its last record included."""
    records = [piece.fields for piece in naive.pieces(data, DIALECT, len(data)) if not piece.is_blank or width == 1]
    assert {len(fields) for fields in records} <= {width}
    return [
        [None if not quoted and value.decode() in null_values else value.decode() for value, quoted in column]
        for column in (zip(*records, strict=True) if records else [[]] * width)
    ]


def parsed_of(data: bytes, width: int, dialect: Dialect = DIALECT, piece_bytes: int = PARSE_BYTES) -> ParsedBlock:
    """Return what is in a block that is plain."""
    plain, quoted = is_plain(data, dialect)
    assert plain
    return BlockParser(dialect, width, piece_bytes).parse(Block(data, 0, 1, quoted))


@given(sources(), st.sampled_from([("",), ("a", "é"), ()]), st.sampled_from([*range(1, 20), 1 << 20]))
@example((b'"x",', 2), ("",), 1 << 20)
@example((b'"x",\n', 2), ("",), 1 << 20)
@example((b'"x",""', 2), ("",), 1 << 20)
@example((b',\r\n"",""\r\n', 2), ("",), 1 << 20)
@example((b'"\r",a\r\n"\r\n","\n"\r\n', 2), ("",), 1 << 20)
@example((b'""', 1), ("",), 1 << 20)
@example((b'\n\n""\n', 1), ("",), 1 << 20)
@example((b'a,b\nc,"d\r\ne"\n', 2), ("",), 9)  # the LF at the start of Arrow's second piece belongs to the value
@examples(150)
def test_what_is_plain_arrow_reads_as_the_naive_reader_does(
    source: tuple[bytes, int], null_values: tuple[str, ...], piece_bytes: int
) -> None:
    data, width = source
    dialect = Dialect(null_values=null_values)
    assume(data and is_plain(data, dialect)[0])  # no block is empty
    parsed = parsed_of(data, width, dialect, piece_bytes)
    assert columns(parsed.table) == naive_columns(data, width, null_values)


@given(st.text('ab",\r\n é\ufeff', max_size=16), st.integers(1, 3))
@examples(150)
def test_no_text_at_all_is_plain_and_read_otherwise(text: str, width: int) -> None:
    data = text.encode()
    assume(data and is_plain(data, DIALECT)[0])
    expected = [piece for piece in naive.pieces(data, DIALECT, len(data)) if not piece.is_blank or width == 1]
    good = [piece for piece in expected if len(piece.fields) == width]
    parsed = parsed_of(data, width)
    assert parsed.count == len(expected)
    assert columns(parsed.table) == [
        [None if not value and not quoted else value.decode() for value, quoted in column]
        for column in (zip(*(piece.fields for piece in good), strict=True) if good else [[]] * width)
    ]
    assert (parsed.sifted is None) == (len(good) == len(expected))


@pytest.mark.parametrize(
    ("data", "plain"),
    [
        (b"a,b\n", True),
        (b"a,b\r\n", True),
        (b'"a\rb",c\r\n', True),
        (b'"","a""b"\n', True),
        (b"a,b\r", False),
        (b"a\rb\n", False),
        (b'a"b,c\n', False),
        (b'"a"b,c\n', False),
        (b'"a" ,c\n', False),
        (b' "a",c\n', False),
        (b'"a,c\n', False),
        (b"\xef\xbb\xbfa,b\n", False),
    ],
)
def test_what_is_plain(data: bytes, *, plain: bool) -> None:
    assert is_plain(data, DIALECT)[0] == plain


@pytest.mark.parametrize(
    ("data", "width", "values"),
    [
        pytest.param(b'"x",', 2, [["x"], [None]], id="an empty field at the end, behind a quoted one"),
        pytest.param(b'"x",""', 2, [["x"], [""]], id="a quoted empty field at the end"),
        pytest.param(b'"",\n,""\n', 2, [["", None], [None, ""]], id="empty, and quoted empty"),
        pytest.param(b'"a\nb","c\r\nd"\r\n', 2, [["a\nb"], ["c\r\nd"]], id="line ends inside, as they are"),
        pytest.param(b'"\r",x\n', 2, [["\r"], ["x"]], id="a CR inside quotes"),
        pytest.param(b"\n\r\na,b\n\n\nc,d\n\n", 2, [["a", "c"], ["b", "d"]], id="blank lines"),
    ],
)
def test_values(data: bytes, width: int, values: list[list[str | None]]) -> None:
    assert columns(parsed_of(data, width).table) == values


def test_a_record_longer_than_arrows_pieces_is_read() -> None:
    data = b'a,"' + b"x\n" * (1 << 20) + b'"\nc,d\n'
    assert columns(parsed_of(data, 2).table) == [["a", "c"], ["x\n" * (1 << 20), "d"]]


@pytest.mark.parametrize("shift", range(-2, 3))
def test_a_line_end_inside_quotes_is_whole_wherever_arrows_pieces_end(shift: int) -> None:
    before = b"a,b\r\n" * (PARSE_BYTES // 5 - 1)
    value = b"x" * (PARSE_BYTES - len(before) - 2 + shift) + b"\r\ny"
    data = before + b'"' + value + b'",c\r\n' + b"d,e\r\n"
    assert parsed_of(data, 2).table.column(0).to_pylist()[-2:] == [value.decode(), "d"]


_RULES = TypeRules()
Cut = list[tuple[int, list[list[Any]]]]


def cut(data: bytes, cuts: Cuts, sizes: list[int]) -> Cut:
    """Return (index, strings) of every stripe of ``data``, which arrives in chunks of these sizes, over and over."""
    header = naive.lines(data)[0]
    names = header.split(b",")
    chunks = _chunks(data[len(header) :], sizes)
    cutter = RecordCutter(chunks, DIALECT, cuts, width=len(names), offset=len(header), line=2)
    decoder = StripeDecoder([f"{number}" for number in range(len(names))], DIALECT, _RULES)
    blocks: list[Block] = []
    read: Cut = []
    for stripe in cutter.stripes():
        blocks += stripe.blocks
        parsed = decoder.parse(stripe)
        assert parsed.rejects == ()
        read.append((stripe.index, columns(parsed.strings)))
    _require_end_to_end(data, blocks)
    return read


def _require_end_to_end(data: bytes, blocks: list[Block]) -> None:
    """Every block is what stands at its offset, and its line is right by Python's count."""
    for block in blocks:
        assert data[block.offset :].startswith(block.data)
        before = data[: block.offset].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        assert block.line == 1 + before.count(b"\n")


def _chunks(data: bytes, sizes: list[int]) -> list[bytes]:
    chunks, at, number = [], 0, 0
    while at < len(data):
        size = sizes[number % len(sizes)]
        chunks.append(data[at : at + size])
        at, number = at + size, number + 1
    return chunks


@given(
    sources(),
    st.integers(1, 60),
    st.integers(1, 70),
    st.lists(st.integers(1, 9), min_size=1, max_size=3),
)
@example((b"a\n\n\nb\n\n\n", 1), 2, 1, [1])
@example((b'"\n\n\n\n\n\n\n",b\nc,d\n', 2), 3, 2, [1])
@examples(150)
def test_blocks_and_arrivals_change_no_stripe(
    source: tuple[bytes, int], stripe_bytes: int, block_bytes: int, sizes: list[int]
) -> None:
    data = b",".join([b"h"] * source[1]) + b"\n" + source[0]
    whole = cut(data, Cuts(stripe_bytes, stripe_bytes, 1 << 10), [len(data)])
    assert cut(data, Cuts(stripe_bytes, min(block_bytes, stripe_bytes), 1 << 10), sizes) == whole
    # what the stripes hold together is what one scan of everything says
    together: list[list[Any]] = [[] for _ in range(source[1])]
    for _, read in whole:
        for column, values in zip(together, read, strict=True):
            column.extend(values)
    body = source[0]
    if source[1] == 1:  # blank lines after the last record are none
        kept = body.rstrip(b"\r\n")
        body = kept + (b"\n" if kept else b"")
    assert together == naive_columns(body, source[1])


@pytest.mark.parametrize("stripe_bytes", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("size", [1, 2, 100])
@pytest.mark.parametrize(
    ("data", "values"),
    [
        pytest.param(b"a\n1\n\n2\n", ["1", None, "2"], id="between records"),
        pytest.param(b"a\n\n\n1\n", [None, None, "1"], id="before the first"),
        pytest.param(b"a\n1\n\n\n\n", ["1"], id="after the last"),
        pytest.param(b"a\r\n1\r\n\r\n2\r\n\r\n", ["1", None, "2"], id="CR LF"),
        pytest.param(b"a\r1\r\r2\r\r", ["1", None, "2"], id="CR"),
        pytest.param(b'a\n1\n\n""\n\n', ["1", None, ""], id="a quoted empty value is a record"),
        pytest.param(b"a\n\n\n", [], id="nothing else"),
    ],
)
def test_blank_lines_of_a_one_column_file_are_empty_values(
    data: bytes, values: list[str | None], size: int, stripe_bytes: int
) -> None:
    stripes = cut(data, Cuts(stripe_bytes, stripe_bytes, 1 << 10), [size])
    assert [value for _, (column,) in stripes for value in column] == values


LIMIT = 50


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("block_bytes", [1, 16, 1000])
@pytest.mark.parametrize("line_end", [b"\n", b"\r"], ids=["LF", "CR"])
@pytest.mark.parametrize(
    ("lines", "place"),
    [
        pytest.param([b"a,b"] * 5 + [b"c" * 101] + [b"e,f"] * 30, "line 7, at byte 24,", id="unquoted"),
        pytest.param([b"a,b", b'c,"' + b"d" * 98 + b'"', b"e,f"], "line 3, at byte 8,", id="quoted"),
        pytest.param([b"a,b", b'c,"', b"d" * 101, b'"'], "line 4, at byte 12,", id="behind an open quote"),
        pytest.param([b"a,b", b'"c",' + b"d" * 101], "line 3, at byte 8,", id="at the end"),
    ],
)
def test_a_line_beyond_twice_the_limit_ends_the_reading_with_its_place(
    lines: list[bytes], place: str, line_end: bytes, block_bytes: int, size: int
) -> None:
    data = line_end.join([b"g,h", *lines, b""])
    with pytest.raises(LimitError, match=rf"^{place} has \d+ bytes or more, and MAX_RECORD_BYTES={LIMIT} "):
        list(stripes_of(data, Cuts(1000, block_bytes, LIMIT), size))


def stripes_of(data: bytes, cuts: Cuts, size: int, width: int = 2) -> list[tuple[Block, ...]]:
    cutter = RecordCutter(_chunks(data, [size]), DIALECT, cuts, width=width, offset=0, line=1)
    return [stripe.blocks for stripe in cutter.stripes()]


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("block_bytes", [1, 16, 1000])
def test_a_record_of_just_the_limit_is_read(block_bytes: int, size: int) -> None:
    record = b'c,"' + b"d\n" * 22 + b'e"\n'
    assert len(record) == LIMIT
    data = b"g,h\n" + record + b"i," + b"j" * 47 + b"\n"
    stripes = cut(data, Cuts(1000, block_bytes, LIMIT), [size])
    assert stripes == [(0, [["c", "i"], ["d\n" * 22 + "e", "j" * 47]])]


def test_blank_lines_that_wait_are_bounded() -> None:
    with pytest.raises(LimitError, match="more than 50 bytes without a record near line"):
        cut(b"a\n1\n" + b"\n" * 60 + b"2\n", Cuts(4, 4, LIMIT), [3])


def test_rejected_records_that_wait_with_them_are_bounded_too() -> None:
    with pytest.raises(LimitError, match="more than 50 bytes without a record near line"):
        stripes_of(b"1\n" + b"\n2,3\n" * 15 + b"2\n", Cuts(4, 4, LIMIT), 3, width=1)


@given(sources())
@examples(60)
def test_where_the_records_of_a_plain_block_begin(source: tuple[bytes, int]) -> None:
    data, _ = source
    assume(data and is_plain(data, DIALECT)[0])
    ends = [piece.end for piece in naive.pieces(data, DIALECT, len(data))]
    assert record_edges(data, DIALECT).tolist() == [0, *ends]


@given(st.text('a,"\r\n', max_size=16))
@examples(100)
def test_lines_and_bare_returns(text: str) -> None:
    data = text.encode()
    assert line_count(data) == len([line for line in naive.lines(data) if line.endswith((b"\r", b"\n"))])
    assume(data)
    bare = [at for at in range(len(data)) if data[at : at + 1] == b"\r" and data[at + 1 : at + 2] != b"\n"]
    assert bare_returns(np.frombuffer(data, np.uint8)).tolist() == bare


def test_good_stretches_of_a_messy_file_stay_plain() -> None:
    """One bad record costs the speed of its block, not of the file's."""
    data = b"a,b\n" * 20 + b'c"\n' + b"a,b\n" * 20
    blocks = [block for blocks in stripes_of(data, Cuts(1000, 40, LIMIT), 1000) for block in blocks]
    assert [block.is_plain for block in blocks] == [True, True, False, True]


def test_good_records_that_arrow_reads_otherwise_than_they_were_counted_are_not_delivered() -> None:
    """A block's boundaries that are wrong are found out: here one record is said to be two."""
    edges = Boundaries(np.array([2, 4], np.intp))
    with pytest.raises(ConservationError, match="2 good records from line 7 on, 1 of them parsed"):
        BlockParser(DIALECT, 1).parse(Block(b'"a\n"', 0, 7, quoted=True, boundaries=edges))
