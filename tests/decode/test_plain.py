"""The proof over quote positions: what says so of all quotes at once agrees with what says it of each."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from csv_transcode.decode.plain import are_in_place, positions, quotes_in_place
from tests.profiles import examples

if TYPE_CHECKING:
    from collections.abc import Sequence

BYTES = st.lists(st.sampled_from([b'"', b'"', b'""', b",", b"\n", b"\r", b"a"]), max_size=14).map(b"".join)


@given(BYTES)
@example(b'"a"b,"c"')
@example(b'a"b"')
@example(b'"a" ')
@example(b'"a""b"')
@example(b'"a"\r"b"')
@examples(2_000)
def test_all_are_in_place_where_each_is(data: bytes) -> None:
    view, quotes = np.frombuffer(data, np.uint8), positions(data, '"')
    quotes = quotes[: len(quotes) // 2 * 2]
    expected = len(quotes) == 0 or bool(quotes_in_place(view, quotes, ord(",")).all())
    assert are_in_place(view, quotes, ord(",")) is expected


@given(st.lists(st.lists(st.text(st.sampled_from('",\n\r ab'), max_size=4), min_size=1, max_size=4), max_size=4))
@examples(300)
def test_what_pythons_csv_writes_is_in_place(rows: Sequence[Sequence[str]]) -> None:
    target = io.StringIO()
    csv.writer(target, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    data = target.getvalue().encode()
    assert are_in_place(np.frombuffer(data, np.uint8), positions(data, '"'), ord(","))
