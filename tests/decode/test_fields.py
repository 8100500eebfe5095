"""Fields by their places, judged by Arrow's reader, which test_records.py holds against the naive one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from csv_transcode.decode import fields
from csv_transcode.decode.dialect import Dialect
from csv_transcode.decode.fields import Fields, split
from csv_transcode.decode.plain import is_plain
from tests.decode.test_records import columns, parsed_of, sources
from tests.profiles import examples

DIALECT = Dialect()


def fields_of(data: bytes, width: int, dialect: Dialect = DIALECT) -> Fields | None:
    plain, quoted = is_plain(data, dialect)
    assert plain
    return split(data, dialect, width, quoted=quoted)


@given(sources((2, 4)))
@example((b'a,"b""c"\r\n"",\r\n', 2))
@example((b'"x",""', 2))
@example((b',\r\n"",""\r\n', 2))
@example((b'"\r\n,""\n",a\n"""",b', 2))
@example(('"é,\n",東京\nä,""'.encode(), 2))
@examples(150)
def test_a_plain_block_has_the_cells_that_arrow_reads(source: tuple[bytes, int]) -> None:
    data, width = source
    assume(is_plain(data, DIALECT)[0])
    found = fields_of(data, width)
    if found is None:  # a blank line
        assert b"\n\n" in data or b"\n\r\n" in data or data.startswith((b"\n", b"\r\n"))
        return
    batch = found.as_batch()
    batch.validate(full=True)
    assert columns(batch) == columns(parsed_of(data, width).table)


@given(sources((2, 4)), st.lists(st.integers(0, 3), min_size=1, max_size=5), st.integers(1, 9))
@examples(150)
def test_columns_stand_one_behind_the_other_and_pieces_are_of_all_of_them(
    source: tuple[bytes, int], numbers: list[int], piece_fields: int
) -> None:
    data, width = source
    assume(is_plain(data, DIALECT)[0] and (found := fields_of(data, width)) is not None)
    found = fields_of(data, width)
    assert found is not None
    chosen = [number % width for number in numbers]
    alone = [found.texts([number]).to_pylist() for number in chosen]
    assert found.texts(chosen).to_pylist() == [text for column in alone for text in column]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fields, "PIECE_FIELDS", piece_fields)
        read: list[list[Any]] = [[] for _ in chosen]
        for piece, starts, lengths in found.pieces(chosen):
            assert len(starts) == len(range(found.rows)[piece]) * len(chosen)
            for place, (start, length) in enumerate(zip(starts.tolist(), lengths.tolist(), strict=True)):
                read[place % len(chosen)].append(found.padded[start : start + length].replace(b'""', b'"').decode())
    assert read == [[text or "" for text in column] for column in alone]


@pytest.mark.parametrize(
    "data",
    [
        b"a,b\nc\nd,e,f\n",  # as many fields as two records have
        b"a,b\n\nc,d\n",
        b"a,b\nc,d,e\n",
        b"\n\n",
        b'a,"b\n"\nc\n',
        b"a\nb,c,d\n",
    ],
)
def test_what_is_ragged_or_blank_is_left_to_others(data: bytes) -> None:
    assert fields_of(data, 2) is None


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_pieces_that_end_anywhere_find_the_same(size: int) -> None:
    data = b'a,"b,\n""c"\r\n,d\r\n"e",f\r\n'
    whole = fields_of(data, 2)
    assert whole is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fields, "PIECE_BYTES", size)
        pieces = fields_of(data, 2)
    assert pieces is not None
    assert np.array_equal(pieces.places, whole.places)
    assert columns(pieces.as_batch()) == [["a", None, "e"], ['b,\n"c', "d", "f"]]
