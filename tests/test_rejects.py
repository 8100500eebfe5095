"""Rejects as they are written: one line of JSON each, exact, and never more of them kept than there is room for."""

from __future__ import annotations

import base64
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csv_transcode.rejects import KEPT_BYTES_MAX, KEPT_MAX, PREAMBLE, FirstRejects, Reject, RejectsWriter
from tests.profiles import examples

RAGGED = Reject(17, 18, 1203, "field_count", "6 fields, header has 5", b'a,"b\nc",d\r\n')


@pytest.mark.parametrize(
    ("reject", "line"),
    [
        (
            RAGGED,
            (
                r'{"record": 17, "line": 18, "offset": 1203, "length": 11, "reason": "field_count", '
                r'"detail": "6 fields, header has 5", "raw": "a,\"b\nc\",d\r\n"}'
            ),
        ),
        (
            Reject(1, 2, 8, "encoding", "at byte 0", b"\xff\n"),
            (
                '{"record": 1, "line": 2, "offset": 8, "length": 2, "reason": "encoding", '
                '"detail": "at byte 0", "raw_base64": "/wo="}'
            ),
        ),
        (
            Reject(0, 1, 0, PREAMBLE, "a line before the header", "Größe 漢\n".encode()),
            (
                '{"record": 0, "line": 1, "offset": 0, "length": 12, "reason": "preamble", '
                '"detail": "a line before the header", "raw": "Größe 漢\\n"}'
            ),
        ),
        (
            Reject(1, 2, 8, "quote", "at byte 2", b'\0,"\x7f\n'),
            (
                '{"record": 1, "line": 2, "offset": 8, "length": 5, "reason": "quote", '
                '"detail": "at byte 2", "raw": "\\u0000,\\"\x7f\\n"}'
            ),
        ),
    ],
    ids=["text", "bytes that are no text", "text beyond ASCII", "control characters"],
)
def test_its_line(reject: Reject, line: str) -> None:
    assert reject.to_json() == f"{line}\n".encode()


@given(st.binary(max_size=40) | st.text(max_size=20).map(str.encode))
@examples(150)
def test_every_byte_is_in_it_and_it_is_one_line(raw: bytes) -> None:
    written = Reject(1, 2, 3, "quote", "why", raw).to_json()
    assert written.split(b"\n")[1:] == [b""]
    told = json.loads(written)
    assert told["length"] == len(raw)
    assert (told["raw"].encode() if "raw" in told else base64.b64decode(told["raw_base64"])) == raw


def test_its_record_is_counted_from_where_its_stripe_begins() -> None:
    counted = RAGGED.counted_from(100)
    assert counted.record == 117
    assert counted.to_dict() == RAGGED.to_dict() | {"record": 117}


def test_a_writer_counts_lines_and_records_apart() -> None:
    target = io.BytesIO()
    writer = RejectsWriter(target)
    preamble = Reject(0, 1, 0, PREAMBLE, "a line before the header", b"x\n")
    writer.write([preamble])
    writer.write([])
    writer.write([RAGGED, RAGGED])
    assert (writer.lines, writer.records) == (3, 2)
    assert target.getvalue() == preamble.to_json() + 2 * RAGGED.to_json()


def test_the_first_are_kept_up_to_a_number() -> None:
    first = FirstRejects()
    for record in range(0, 3 * KEPT_MAX, 3):
        first.add(Reject(record + step, 1, 0, "quote", "", b"x\n") for step in range(3))
    assert [reject.record for reject in first.rejects] == list(range(KEPT_MAX))


def test_and_up_to_a_size_without_gaps() -> None:
    """One that is too large ends it: what is kept is the first ones, and not those that fit."""
    large = Reject(1, 1, 0, "limit", "", b"x" * (KEPT_BYTES_MAX - 1))
    first = FirstRejects()
    first.add([large])
    first.add([RAGGED])
    first.add([Reject(3, 1, 0, "quote", "", b"x")])
    assert first.rejects == [large]


def test_one_of_just_the_size_is_kept() -> None:
    first = FirstRejects()
    first.add([Reject(1, 1, 0, "limit", "", b"x" * KEPT_BYTES_MAX)])
    assert len(first.rejects) == 1
