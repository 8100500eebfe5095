"""The names that columns get."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csv_transcode.decode.dialect import column_names
from tests.profiles import examples


@pytest.mark.parametrize(
    ("header", "names"),
    [
        pytest.param(["a", "b"], ["a", "b"], id="the header's own"),
        pytest.param(["", "b", ""], ["column_1", "b", "column_3"], id="empty"),
        pytest.param(["a", "a", "a"], ["a", "a_2", "a_3"], id="repeated"),
        pytest.param(["a", "A"], ["a", "A_2"], id="repeated ignoring case"),
        pytest.param(["a", "a", "a_2"], ["a", "a_3", "a_2"], id="a name that a column has is not made up"),
        pytest.param(["", "column_1"], ["column_1_2", "column_1"], id="nor one for an empty name"),
        pytest.param([" ", "é", "a b"], [" ", "é", "a b"], id="kept as they are"),
    ],
)
def test_column_names(header: list[str], names: list[str]) -> None:
    assert column_names(header) == names


@given(st.lists(st.sampled_from(["", "a", "A", "a_2", "A_2", "a_3", "a_2_2", "column_1", "column_2", "Column_3"])))
@examples(200)
def test_names_are_unique_ignoring_case_and_kept_where_they_can_be(header: list[str]) -> None:
    names = column_names(header)
    assert len({name.lower() for name in names}) == len(names) == len(header)
    firsts = [name for at, name in enumerate(header) if name and name.lower() not in map(str.lower, header[:at])]
    assert [name for name in names if name in firsts] == firsts
