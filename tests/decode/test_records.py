"""Blocks and stripes: Arrow reads what is plain as RFC 4180 does, and cuts change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from csv_transcode.decode import strict
from csv_transcode.decode.arrow_csv import PARSE_BYTES, BlockParser
from csv_transcode.decode.dialect import Dialect
from csv_transcode.decode.inference import TypeRules
from csv_transcode.decode.reader import StripeDecoder, read_head
from csv_transcode.decode.records import Block, Cuts, is_plain, record_edges
from csv_transcode.errors import EncodingError, FieldCountError, LimitError, RecordError, SourceError
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


def strict_columns(data: bytes, width: int, dialect: Dialect = DIALECT) -> list[list[str | None]]:
    records = [r for r in strict.scan(data, 0, dialect, final=True) if r.fields or width == 1]
    return strict.columns_of(records, width, dialect)


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
def test_what_is_plain_arrow_reads_as_the_scanner_does(
    source: tuple[bytes, int], null_values: tuple[str, ...], piece_bytes: int
) -> None:
    data, width = source
    dialect = Dialect(null_values=null_values)
    plain, quoted = is_plain(data, dialect)
    assume(plain and data)  # no block is empty
    parsed = BlockParser(dialect, width, piece_bytes).parse(Block(data, 0, 1, plain=True, quoted=quoted))
    assert columns(parsed) == strict_columns(data, width, dialect)


@given(st.text('ab",\r\n é\ufeff', max_size=16), st.integers(1, 3))
@examples(150)
def test_no_text_at_all_is_plain_and_read_otherwise(text: str, width: int) -> None:
    data = text.encode()
    plain, quoted = is_plain(data, DIALECT)
    assume(plain and data)
    block = Block(data, 0, 1, plain=True, quoted=quoted)
    try:
        expected = strict_columns(data, width)
    except RecordError:
        with pytest.raises(RecordError):
            BlockParser(DIALECT, width).parse(block)
        return
    assert columns(BlockParser(DIALECT, width).parse(block)) == expected


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
        pytest.param(b"a\rb\r\nc\n", 1, [["a", "b", "c"]], id="three kinds of line end"),
        pytest.param(b"\xef\xbb\xbfa,b\n", 2, [["\ufeffa"], ["b"]], id="no byte-order mark where records begin"),
        pytest.param(b"\n\r\na,b\n\n\nc,d\n\n", 2, [["a", "c"], ["b", "d"]], id="blank lines"),
    ],
)
def test_values(data: bytes, width: int, values: list[list[str | None]]) -> None:
    plain, quoted = is_plain(data, DIALECT)
    assert columns(BlockParser(DIALECT, width).parse(Block(data, 0, 1, plain, quoted))) == values


def test_a_record_longer_than_arrows_pieces_is_read() -> None:
    data = b'a,"' + b"x\n" * (1 << 20) + b'"\nc,d\n'
    parsed = BlockParser(DIALECT, 2).parse(Block(data, 0, 1, *is_plain(data, DIALECT)))
    assert columns(parsed) == [["a", "c"], ["x\n" * (1 << 20), "d"]]


@pytest.mark.parametrize("shift", range(-2, 3))
def test_a_line_end_inside_quotes_is_whole_wherever_arrows_pieces_end(shift: int) -> None:
    before = b"a,b\r\n" * (PARSE_BYTES // 5 - 1)
    value = b"x" * (PARSE_BYTES - len(before) - 2 + shift) + b"\r\ny"
    data = before + b'"' + value + b'",c\r\n' + b"d,e\r\n"
    plain, quoted = is_plain(data, DIALECT)
    assert plain
    parsed = BlockParser(DIALECT, 2).parse(Block(data, 0, 1, plain, quoted))
    assert parsed.column(0).to_pylist()[-2:] == [value.decode(), "d"]


_RULES = TypeRules()
Cut = list[tuple[int, list[list[Any]]]]


def cut(data: bytes, cuts: Cuts, sizes: list[int]) -> Cut:
    """Return (index, strings) of every stripe of ``data``, which arrives in chunks of these sizes, over and over."""
    head = read_head(_chunks(data, sizes), DIALECT, cuts, columns_max=9)
    if head is None:
        return []
    decoder = StripeDecoder(head.names, head.dialect, _RULES)
    blocks: list[Block] = []
    read: Cut = []
    for stripe in head.stripes():
        blocks += stripe.blocks
        read.append((stripe.index, columns(decoder.parse(stripe))))
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
    assert together == strict_columns(body, source[1])


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
@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(b"a,b\n" * 5 + b"c," + b"d" * 48 + b"\n" + b"e,f\n" * 30, "line 7, byte 24 ", id="unquoted"),
        pytest.param(b'a,b\nc,"' + b"d\n" * 30 + b'"\ne,f\n', "line 3, byte 8 ", id="quoted"),
        pytest.param(b'a,b\nc,"' + b"d,e\n" * 100, "line 3, byte 8 ", id="quote without end"),
        pytest.param(b'a,b\nc,"\r' + b"d" * 50 + b'"\re,f\r', "line 3, byte 8 ", id="CR"),
    ],
)
def test_a_record_longer_than_the_limit_is_refused_with_its_place(
    body: bytes, words: str, block_bytes: int, size: int
) -> None:
    with pytest.raises(LimitError, match=f"record at {words}.* MAX_RECORD_BYTES={LIMIT} "):
        cut(b"g,h\n" + body, Cuts(1000, block_bytes, LIMIT), [size])


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("block_bytes", [1, 16, 1000])
def test_a_record_of_just_the_limit_is_read(block_bytes: int, size: int) -> None:
    record = b'c,"' + b"d\n" * 22 + b'e"\n'
    assert len(record) == LIMIT
    data = b"g,h\n" + record + b"i," + b"j" * 47 + b"\n"
    stripes = cut(data, Cuts(1000, block_bytes, LIMIT), [size])
    assert stripes == [(0, [["c", "i"], ["d\n" * 22 + "e", "j" * 47]])]


def test_blank_lines_that_wait_are_bounded() -> None:
    with pytest.raises(LimitError, match="more than 50 bytes of blank lines from line 3"):
        cut(b"a\n1\n" + b"\n" * 60 + b"2\n", Cuts(4, 4, LIMIT), [3])


@given(sources())
@examples(60)
def test_where_the_records_of_a_plain_block_begin(source: tuple[bytes, int]) -> None:
    data, _ = source
    assume(data and is_plain(data, DIALECT)[0])
    ends = [record.end for record in strict.scan(data, 0, DIALECT, final=True)]
    assert record_edges(data, DIALECT).tolist() == [0, *ends]


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("block_bytes", [1, 16, 1000])
@pytest.mark.parametrize("end", [b"\n", b"\r"], ids=["plain", "strict"])
@pytest.mark.parametrize(
    ("later", "error"),
    [
        pytest.param(b"1," + b"2" * 60, LimitError, id="a record beyond the limit"),
        pytest.param(b'1,"' + b"2" * 60, LimitError, id="a quote without end"),
        pytest.param(b"1,\0", EncodingError, id="NUL"),
        pytest.param(b'1,2"', RecordError, id="a quote"),
        pytest.param(b"\xff,2", RecordError, id="not UTF-8"),
    ],
)
def test_the_first_of_two_errors_is_the_one_named(
    later: bytes, error: type[SourceError], end: bytes, block_bytes: int, size: int
) -> None:
    cuts = Cuts(1000, block_bytes, LIMIT)
    lines = [b"g,h", b"1,2", later, b"3,4", b'5"6,7' + b"8" * 60, b"9,\0", b""]
    with pytest.raises(error, match=r"line 3\b|byte 10\b"):
        cut(end.join(lines), cuts, [size])
    with pytest.raises(FieldCountError, match=r"record 1 \(line 2, byte 4\)"):
        cut(end.join([b"g,h", b"1", *lines[2:]]), cuts, [size])
