"""Numbers and dates eight characters at a time, judged by regular expressions and Python's own int, float and date."""

from __future__ import annotations

import re
from datetime import date
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from csv_transcode.decode import words
from tests.decode import near_misses
from tests.profiles import examples

if TYPE_CHECKING:
    from collections.abc import Sequence

INTEGER = re.compile(r"(0|-?[1-9][0-9]*)?", re.ASCII)
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.([0-9]+))?", re.ASCII)
EPOCH = date(1970, 1, 1)

GOOD_INTEGERS = st.sampled_from(["", "0", "7", "-7", "12345678", "-12345678", "123456789", "-12345678901234", "9" * 15])
GOOD_NUMBERS = st.sampled_from(["", "7.5", "-0.0", "1234567.25", "-0.05", "12", "0.10", "99999999.999999", "-3.0"])
NEAR_MISSES = [
    *near_misses.ALMOST_INTEGERS,
    *near_misses.ALMOST_FRACTIONS,
    *near_misses.BARE_POINTS,
    *near_misses.EXPONENTS,
    *near_misses.LONG_FRACTIONS,
    *near_misses.DATES,
    *near_misses.ALMOST_DATES,
]
ALMOST = st.sampled_from(NEAR_MISSES)
DIGITS = st.text("0123456789", max_size=16)
ODD = st.text("0123456789.-+ :/éx\x7f\0", max_size=17)
POINTED = st.builds(
    lambda sign, text, at: f"{sign}{text[:at]}.{text[at:]}", st.sampled_from(["", "-"]), DIGITS, st.integers(0, 16)
)


def fields_of(texts: Sequence[str]) -> tuple[Any, Any, Any]:
    """Return the words, starts and lengths of a line of these fields."""
    encoded = [text.encode() for text in texts]
    lengths = np.array([len(text) for text in encoded], np.int64)
    starts = np.array([0, *accumulate(len(text) + 1 for text in encoded)][:-1], np.int64)
    return words.words_of(b",".join(encoded) + b"\n" + words.PADDING), starts, lengths


def require_integers(texts: Sequence[str]) -> None:
    fit = all(INTEGER.fullmatch(text) and len(text) <= words.DIGITS_MAX for text in texts)
    found = words.integers(*fields_of(texts))
    assert (found is None) != fit
    if found is not None:
        assert found.tolist() == [int(text or "0") for text in texts]


def require_doubles(texts: Sequence[str], scale: int | None) -> None:
    there = [text for text in texts if text]
    matches = [NUMBER.fullmatch(text) for text in there]
    scales = [len(match[1] or "") for match in matches if match]
    fit = (
        all(matches)
        and all(len(text) <= words.DIGITS_MAX for text in there)
        and all(each <= words.SCALE_MAX if scale is None else each == scale for each in scales)
    )
    found = words.doubles(*fields_of(texts), scale)
    assert (found is None) != fit
    if found is not None:
        assert found.values.tobytes() == np.array([float(text or "0") for text in texts]).tobytes()
        assert found.whole == (0 in scales)
        assert found.lone_zero == any(text[-2:] == ".0" for text in there)
        assert found.trailing_zero == any(
            text[-1] == "0" and each > 1 for text, each in zip(there, scales, strict=True)
        )
        assert found.negative_zero == any(text[0] == "-" and float(text) == 0 for text in there)


def is_date(text: str) -> bool:
    try:
        return bool(re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII)) and bool(date.fromisoformat(text))
    except ValueError:
        return False


def require_dates(texts: Sequence[str]) -> None:
    found = words.dates(*fields_of(texts))
    assert (found is None) != all(is_date(text) for text in texts if text)
    if found is not None:
        assert [days for days, text in zip(found.tolist(), texts, strict=True) if text] == [
            (date.fromisoformat(text) - EPOCH).days for text in texts if text
        ]


@pytest.mark.parametrize("text", NEAR_MISSES)
def test_near_misses(text: str) -> None:
    besides = ("", "7", "7.5", "1234567.25", "123456789012", "2026-11-24")
    for texts in ([text], *([text, beside] for beside in besides), *([beside, text] for beside in besides)):
        require_integers(texts)
        require_dates(texts)
        for scale in (None, 1, 2, 3):
            require_doubles(texts, scale)


@given(st.lists(st.one_of(GOOD_INTEGERS, DIGITS), min_size=1, max_size=6), st.one_of(GOOD_INTEGERS, ALMOST, ODD))
@examples(150)
def test_integers_are_those_of_python_or_none(texts: list[str], last: str) -> None:
    require_integers([*texts, last])


@given(
    st.lists(st.one_of(GOOD_NUMBERS, GOOD_INTEGERS, POINTED), min_size=1, max_size=6),
    st.one_of(GOOD_NUMBERS, ALMOST, POINTED, ODD),
    st.sampled_from([None, 1, 2, 3]),
)
@examples(200)
def test_doubles_are_those_of_python_to_the_last_bit_or_none(texts: list[str], last: str, scale: int | None) -> None:
    require_doubles([*texts, last], scale)


@given(
    st.lists(st.one_of(st.dates().map(str), st.just("")), min_size=1, max_size=6),
    st.one_of(
        ALMOST,
        st.builds("{:04d}-{:02d}-{:02d}".format, st.integers(0, 9999), st.integers(0, 14), st.integers(0, 33)),
        st.text("0129-:/é", min_size=9, max_size=11),
    ),
)
@examples(150)
def test_dates_are_those_of_python_or_none(texts: list[str], last: str) -> None:
    require_dates([*texts, last])


@pytest.mark.parametrize("year", [1, 4, 100, 1900, 1970, 2000, 2024, 9999])
def test_every_day_of_a_year_and_none_beside(year: int) -> None:
    for month in range(14):
        for day in range(33):
            text = f"{year:04d}-{month:02d}-{day:02d}"
            assert (words.dates(*fields_of([text])) is not None) == is_date(text)


def test_no_field_at_all() -> None:
    nothing = (words.words_of(words.PADDING), np.empty(0, np.int64), np.empty(0, np.int64))
    assert words.integers(*nothing) is not None
    assert words.doubles(*nothing, None) is not None
    assert words.doubles(*nothing, 2) is not None
    assert words.dates(*nothing) is not None
