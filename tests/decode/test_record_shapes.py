"""The shapes of a sample: what is counted at once, where quotes are in place, is what the reader says."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from csv_transcode.decode import record_shapes
from csv_transcode.decode.record_shapes import Quoting, RecordReader, Sample, Shapes, _in_place, _with_quotes
from tests.profiles import examples

CELLS = st.text(st.sampled_from('",\n\r ab'), max_size=5)
ROWS = st.lists(st.lists(CELLS, min_size=1, max_size=4), max_size=5)
BYTES = st.lists(st.sampled_from(['"', '"', '""', ",", "\n", "\r\n", "\r", "a", "\\"]), max_size=14).map("".join)


def listed(shapes: Shapes) -> list[tuple[int, int, int]]:
    return list(zip(shapes.start.tolist(), shapes.end.tolist(), shapes.width.tolist(), strict=True))


def one_by_one(sample: Sample, delimiter: str, quoting: Quoting) -> Shapes:
    widths = sample.lines_with(delimiter) + (sample.line_ends > sample.line_starts)
    return _with_quotes(sample, RecordReader(delimiter, quoting), widths)


def written(rows: list[list[str]], line_end: str) -> str:
    target = io.StringIO()
    csv.writer(target, lineterminator=line_end).writerows(rows)
    return target.getvalue()


def cut(text: str, size: int) -> Sample:
    """Return a sample of a file that goes on behind it."""
    return Sample(text.encode()[:size], whole=False)


@given(BYTES, st.booleans())
@example(text='"a\n', whole=False)
@example(text='"a\n', whole=True)
@example(text='a,"b\nc",d\n\n"e"\n', whole=True)
@example(text='"",""\r\n""""\r', whole=True)
@examples(2_000)
def test_any_text(text: str, whole: bool) -> None:  # noqa: FBT001 - hypothesis gives it
    sample = Sample(text.encode(), whole=whole)
    quick = _in_place(sample, ",", Quoting())
    if quick is not None:
        assert listed(quick) == listed(one_by_one(sample, ",", Quoting()))


@given(ROWS, st.sampled_from(["\n", "\r\n", "\r"]), st.integers(0, 60))
@examples(500)
def test_what_is_written_by_the_rules_is_counted_at_once(rows: list[list[str]], line_end: str, size: int) -> None:
    text = written(rows, line_end)
    sample, begun = Sample(text.encode(), whole=True), cut(text, size)
    quick, quick_begun = _in_place(sample, ",", Quoting()), _in_place(begun, ",", Quoting())
    assert (quick is not None) == bool(text)
    assert quick is None or listed(quick) == listed(one_by_one(sample, ",", Quoting()))
    assert quick_begun is None or listed(quick_begun) == listed(one_by_one(begun, ",", Quoting()))


@pytest.mark.parametrize("text", ['a,"b" c\n', 'a,b"c"\n', '"a,b\n', ""])
def test_what_is_out_of_place_is_read_one_by_one(text: str) -> None:
    assert _in_place(Sample(text.encode(), whole=True), ",", Quoting()) is None


def test_records_of_any_length_are_left_to_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_shapes, "RECORD_BYTES_MAX", 20)
    assert _in_place(Sample(b'a\n"' + b"b" * 17 + b'"\n', whole=True), ",", Quoting()) is not None
    assert _in_place(Sample(b'a\n"' + b"b" * 19 + b'"\n', whole=True), ",", Quoting()) is None
    assert _in_place(Sample(b'a\n"' + b"b" * 19 + b"\n", whole=False), ",", Quoting()) is None
