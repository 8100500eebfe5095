"""Where the records are in bytes that are not plain: as the naive reader says, and never beyond a limit."""

from __future__ import annotations

from typing import Final

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from csv_transcode.decode.dialect import Dialect
from csv_transcode.decode.walk import REACH, BeyondReachError, Boundaries, NeedsMoreError, content_ends, walk
from tests.decode import messy, naive
from tests.profiles import examples

COMMA: Final = Dialect()
LIMIT: Final = 20
FAR: Final = 1000

Found = list[tuple[int, str | None]]


def found(boundaries: Boundaries) -> Found:
    """Return (end, what is wrong with it) of every record."""
    reasons = {index: flaw.reason for index, flaw in boundaries.flaws.items()}
    return [(end, reasons.get(index)) for index, end in enumerate(boundaries.ends.tolist())]


def walked(data: bytes, dialect: Dialect = COMMA, limit: int = FAR, span: int | None = None) -> Found:
    return found(walk(data, dialect, span=span or len(data), record_bytes_max=limit, final=True))


def judged(data: bytes, dialect: Dialect, limit: int) -> Found:
    return [(piece.end, piece.reason) for piece in naive.pieces(data, dialect, limit)]


def is_out_of_reach(data: bytes, limit: int) -> bool:
    return any(len(line) > REACH * limit for line in naive.lines(data))


@given(st.data())
@examples(400)
def test_records_are_where_the_naive_reader_has_them(data: st.DataObject) -> None:
    dialect = data.draw(messy.dialects)
    text = data.draw(messy.texts(dialect))
    limit = data.draw(st.sampled_from([FAR, LIMIT, 9, 5]))
    assume(text and not is_out_of_reach(text, limit))
    assert walked(text, dialect, limit) == judged(text, dialect, limit)


@given(st.data())
@examples(300)
def test_a_span_ends_with_the_record_that_reaches_it_however_much_follows(data: st.DataObject) -> None:
    """Of a part of the source the same is found as of all of it, or more is asked for, which is there."""
    dialect = data.draw(messy.dialects)
    text = data.draw(messy.texts(dialect))
    limit = data.draw(st.sampled_from([FAR, LIMIT]))
    assume(text and not is_out_of_reach(text, limit))
    span = data.draw(st.integers(1, len(text)))
    expected = [one for one, start in _with_starts(judged(text, dialect, limit)) if start < span]
    held = data.draw(st.integers(span, len(text)))
    boundaries = None
    while boundaries is None:
        try:
            boundaries = walk(text[:held], dialect, span=span, record_bytes_max=limit, final=held == len(text))
        except NeedsMoreError as more:
            wanted = more.wanted
        else:
            continue
        assert held < min(wanted, len(text))  # more than there was; and all there is is never too little
        held = min(wanted, len(text))
    assert found(boundaries) == expected


def _with_starts(pieces: Found) -> list[tuple[tuple[int, str | None], int]]:
    starts = [0, *(end for end, _ in pieces)]
    return list(zip(pieces, starts[: len(pieces)], strict=True))


TEN: Final = b"0123456789"
LIMITED: Final[dict[str, tuple[bytes, Found]]] = {
    "a line of just the limit": (b"1," + TEN + b"6789012\n3,4\n", [(20, None), (24, None)]),
    "a line of one byte more": (b"1," + TEN + b"67890123\n3,4\n", [(21, "limit"), (25, None)]),
    "a line of one byte more, CR LF": (b"1," + TEN + b"6789012\r\n3,4\r\n", [(21, "limit"), (26, None)]),
    "a line of twice the limit": (TEN * 3 + b"012345678\n3,4\n", [(40, "limit"), (44, None)]),
    "the last line, of just the limit, without an end": (b"1,2\n" + TEN * 2, [(4, None), (24, None)]),
    "the last line, one byte longer": (b"1,2\n" + TEN * 2 + b"0", [(4, None), (25, "limit")]),
    "a quoted record of one byte more than the limit": (
        b'1,"' + TEN + b'\n67890"\n3,4\n',
        [(14, "quote"), (21, "quote"), (25, None)],
    ),
    "a quoted record of several lines": (b'1,"' + TEN + b'\n678"\n3,4\n', [(19, None), (23, None)]),
    "a quoted record of just the limit, and a blank line": (
        b'1,"' + TEN + b'\n6789"\n\n3,4\n',
        [(20, None), (21, None), (25, None)],
    ),
    "a quote that ends beyond the limit": (
        b'1,"' + TEN + b"\n" + TEN + b'"\n3,4\n',
        [(14, "quote"), (26, "quote"), (30, None)],
    ),
    "a quoted field that ends at the limit, and the line does not": (
        b'"' + TEN + b"\n" + b'0123456"x\n3,4\n',
        [(12, "quote"), (22, "quote"), (26, None)],
    ),
    "a line beyond the limit whose quote is found within": (b'1"' + TEN * 3 + b"\n3,4\n", [(33, "quote"), (37, None)]),
    "a line beyond the limit whose quote is not": (TEN * 3 + b'"\n3,4\n', [(32, "limit"), (36, None)]),
    "two in a row": (TEN * 3 + b"\n" + TEN * 3 + b"\n3,4\n", [(31, "limit"), (62, "limit"), (66, None)]),
}


@pytest.mark.parametrize(("data", "expected"), LIMITED.values(), ids=LIMITED)
def test_a_record_beyond_the_limit_costs_its_line(data: bytes, expected: Found) -> None:
    assert judged(data, COMMA, LIMIT) == expected
    assert walked(data, limit=LIMIT) == expected


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (TEN * 3 + b"\n", "31 bytes, MAX_RECORD_BYTES=20 allows no more than that"),
        (
            b'1,"' + b"2\n" * 20,
            "at byte 2 of the record, a quoted field begins that does not end within MAX_RECORD_BYTES=20",
        ),
        (
            b'"1\n2",' + TEN * 2 + b"\n",
            "in the record, a quoted field begins that does not end within MAX_RECORD_BYTES=20",
        ),
    ],
    ids=["a line", "a quoted field", "a record of several lines"],
)
def test_details_name_the_limit(data: bytes, detail: str) -> None:
    assert walk(data, COMMA, span=1, record_bytes_max=LIMIT, final=True).flaws[0].detail == detail


@pytest.mark.parametrize("start", [b"", b"1,2\n", b'"1\n",2\r\n', b'1"\n'])
@pytest.mark.parametrize("end", [b"\n", b"\r\n3,4\r\n", b""])
def test_a_line_beyond_twice_the_limit_is_not_even_rejected(start: bytes, end: bytes) -> None:
    data = start + b"x" * (2 * LIMIT + 1) + end
    with pytest.raises(BeyondReachError) as caught:
        walked(data, limit=LIMIT)
    assert (caught.value.at, caught.value.length) == (len(start), 2 * LIMIT + 1 + len(end.partition(b"3")[0]))


@pytest.mark.parametrize(
    ("data", "span"),
    [
        pytest.param(b"1,2", 1, id="no line end"),
        pytest.param(b"1,2\r", 1, id="a CR that an LF may follow"),
        pytest.param(b'1,"2\n3', 1, id="an open quote"),
        pytest.param(b'1,"2\n3"', 1, id="a quote that may be doubled"),
        pytest.param(b'1,"2\n3"\r', 1, id="a CR behind it"),
        pytest.param(b"1,2\n3,4", 5, id="the second record"),
    ],
)
def test_more_is_needed_where_what_follows_decides(data: bytes, span: int) -> None:
    with pytest.raises(NeedsMoreError):
        walk(data, COMMA, span=span, record_bytes_max=FAR, final=False)


def test_nothing_is_read_twice_where_nothing_ever_closes() -> None:
    """Each line has an open quote: the scanner looks no further than the limit from each of them."""
    data = b'1,"2\n' * 400
    assert walked(data, limit=LIMIT) == [(5 * number, "quote") for number in range(1, 401)]


@given(st.data())
@examples(100)
def test_where_the_text_of_a_record_ends(data: st.DataObject) -> None:
    text = data.draw(messy.texts(COMMA))
    assume(text)
    boundaries = walk(text, COMMA, span=len(text), record_bytes_max=FAR, final=True)
    ends = content_ends(np.frombuffer(text, np.uint8), boundaries.starts, boundaries.ends)
    for start, end, at in zip(boundaries.starts.tolist(), boundaries.ends.tolist(), ends.tolist(), strict=True):
        assert text[at:end] in (b"", b"\n", b"\r", b"\r\n")
        assert text[at:end] == naive.lines(text[start:end])[-1][-(end - at) :] if end > at else True
        assert not text[start:at].endswith((b"\r", b"\n"))


@pytest.mark.parametrize("span", [1, 3, 4])
def test_a_return_at_the_end_of_what_is_there_may_be_half_a_line_end(span: int) -> None:
    with pytest.raises(NeedsMoreError):
        walk(b'a"b\r', COMMA, span=span, record_bytes_max=FAR, final=False)
    assert walked(b'a"b\r\n', span=span) == [(5, "quote")]
    assert walked(b'a"b\r', span=span) == [(4, "quote")]
    assert walked(b'a"b\rc', span=span) == [(4, "quote")]
