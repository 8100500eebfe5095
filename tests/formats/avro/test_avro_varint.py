"""Single varints, held against fastavro; columns of them are held against it in test_avro_records.py."""

from __future__ import annotations

import io

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from csv_transcode.formats.avro.varint import varint


@pytest.mark.parametrize(("value", "encoded"), [(0, "00"), (-1, "01"), (1, "02"), (-64, "7f"), (64, "8001")])
def test_the_examples_of_the_specification(value: int, encoded: str) -> None:
    assert varint(value).hex() == encoded


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_long_is_as_fastavro_writes_it(value: int) -> None:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, "long", value)
    assert varint(value) == out.getvalue()
