"""Where a source is cut changes no byte: any generated file, any block size from 64 bytes to all of it, any chunks."""

from __future__ import annotations

import functools
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csv_transcode.decode.records import STRIPE_BYTES, Cuts
from csv_transcode.errors import TranscodeError
from fuzz import generate
from fuzz.cases import Case, Piece, Spelling, Stored, Unit
from fuzz.judge import outputs
from tests.profiles import examples

BLOCK_BYTES_LEAST = 64
SMALL_STRIPE_BYTES = 4096
NAMES = ("parquet", "avro", "rejects")

blocks = st.one_of(st.integers(BLOCK_BYTES_LEAST, 300), st.integers(BLOCK_BYTES_LEAST, STRIPE_BYTES))
chunks = st.one_of(st.integers(1, 9), st.integers(10, 1 << 20))
stripes = st.sampled_from([STRIPE_BYTES, SMALL_STRIPE_BYTES])


def made(case: Case, stripe: int, block: int, chunk: int) -> list[bytes]:
    """Return the outputs, or the words of the refusal."""
    cut = replace(case, cuts=Cuts(stripe, min(block, stripe)), chunk_bytes=chunk)
    try:
        found = outputs(cut)
    except TranscodeError as error:
        return [str(error).encode()]
    return [found[name] for name in NAMES]


@pytest.mark.long
@given(st.integers(0, 1 << 30), stripes, st.lists(st.tuples(blocks, chunks), min_size=2, max_size=3))
@examples(60)
def test_no_cut_changes_a_byte_of_a_generated_file(seed: int, stripe: int, ways: list[tuple[int, int]]) -> None:
    case = generate.case(Random(seed), small=True)
    whole = made(case, stripe, STRIPE_BYTES, 1 << 30)
    assert len(whole) == len(NAMES)
    for block, chunk in ways:
        assert made(case, stripe, block, chunk) == whole


# An open quote keeps the cutter from knowing a block's end before it has read as far as the longest record may reach.
LONG = b"9," + b"x" * 60 + b"\r\n"
LINE = b'1,x\r\n2,"a ""b""\r\nc"\n3\n4,"y\n5,\xff\n' + LONG * 3 + b'6,z"z\r7,\r\r\n8,\xc3\xa9\n'


@pytest.mark.parametrize(("record_bytes_max", "bad"), [(40, 7), (8 << 20, 4)])
@pytest.mark.parametrize(
    "block",
    [
        *range(BLOCK_BYTES_LEAST, 2 * BLOCK_BYTES_LEAST, 15),
        *(500, STRIPE_BYTES),
        *(pytest.param(size, marks=pytest.mark.long) for size in range(BLOCK_BYTES_LEAST + 5, 125, 15)),
        *(pytest.param(size, marks=pytest.mark.long) for size in range(BLOCK_BYTES_LEAST + 10, 125, 15)),
    ],
)
def test_every_cut_of_a_messy_file(block: int, record_bytes_max: int, bad: int) -> None:
    """Each block size cuts it elsewhere: in a CR LF, behind a quote that may be doubled, in a character."""
    case, whole = messy(record_bytes_max)
    assert len(whole) == len(NAMES)
    assert whole[2].count(b"\n") == 12 * bad
    for chunk in (1, 2, 5, block, 1 << 20):
        assert made(case, STRIPE_BYTES, block, chunk) == whole


@functools.cache
def messy(record_bytes_max: int) -> tuple[Case, list[bytes]]:
    """Return the messy file, and what is made of it in one piece."""
    case = replace(raw(b"n,t\n" + LINE * 12), settings={"max_record_bytes": record_bytes_max})
    return case, made(case, STRIPE_BYTES, STRIPE_BYTES, 1 << 20)


def raw(text: bytes) -> Case:
    return Case(Spelling(), Stored(given="utf-8"), ("n", "t"), ("text", "text"), (), (Unit("raw", (Piece(text),)),))
