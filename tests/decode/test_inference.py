"""The lattice, whole columns at a time: judged by section_four.py, which knows neither Arrow nor the package."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from csv_transcode.decode.casts import to_type
from csv_transcode.decode.evidence import ColumnEvidence
from csv_transcode.decode.inference import TypeRules, decide, observe
from csv_transcode.decode.texts import Texts
from csv_transcode.schema import Column, ColumnType
from tests.decode import section_four as judge
from tests.decode.near_misses import columns
from tests.profiles import examples

if TYPE_CHECKING:
    from collections.abc import Sequence

Cells = list[str | None]
RULES = st.builds(judge.Rules, st.booleans(), st.booleans())


def package_rules(rules: judge.Rules) -> TypeRules:
    return TypeRules(decimals=rules.decimals, nanoseconds=rules.nanoseconds)


def texts_of(cells: Sequence[str | None]) -> Texts:
    return Texts.of(pa.array(cells, pa.string()))


def decided(cells: Sequence[str | None], rules: judge.Rules) -> Column:
    settings = package_rules(rules)
    return decide("c", observe(texts_of(cells), ColumnEvidence(), settings).evidence, settings)


def decided_in_blocks(cells: Cells, cuts: Sequence[int], lags: Sequence[int], rules: judge.Rules) -> Column:
    """The column as decided from blocks cut at ``cuts``, each observed knowing all but the last ``lag`` before it."""
    settings = package_rules(rules)
    edges = [0, *sorted(cuts), len(cells)]
    known = [ColumnEvidence()]
    for number, (start, end) in enumerate(pairwise(edges)):
        lag = lags[number % len(lags)]
        seen = observe(texts_of(cells[start:end]), known[max(0, number - lag)], settings)
        known.append(known[-1].merged(seen.evidence.shifted(start)))
    return decide("c", known[-1], settings)


@given(columns(), RULES)
@example(["1", "100000000000000000000", "x", "1.5"], judge.Rules())
@example(["0.12345678901234567890123456789012345678"], judge.Rules())
@example(["0.123456789012345678", "0.000000000000000001"], judge.Rules(decimals=True))
@examples(150)
def test_a_column_has_the_narrowest_type_that_says_its_texts(cells: Cells, rules: judge.Rules) -> None:
    assert str(decided(cells, rules).type) == judge.column_type(cells, rules)


@given(columns(), RULES)
@example(["1", "100000000000000000000", "x", "1.5"], judge.Rules())
@examples(150)
def test_what_ruled_a_narrower_type_out_is_the_first_record_it_does_not_fit(cells: Cells, rules: judge.Rules) -> None:
    assert decided(cells, rules).ruled_out == judge.ruled_out(cells, rules)


@given(
    columns(),
    st.lists(st.integers(0, 12), max_size=5),
    st.lists(st.integers(0, 4), min_size=1, max_size=6),
    RULES,
)
@example(["1", "100000000000000000000", "x", "1.5"], [3], [0], judge.Rules())
@examples(150)
def test_blocks_however_cut_and_however_much_is_known_decide_the_same(
    cells: Cells, cuts: list[int], lags: list[int], rules: judge.Rules
) -> None:
    inside = [min(cut, len(cells)) for cut in cuts]
    assert decided_in_blocks(cells, inside, lags, rules) == decided(cells, rules)


@given(columns(), RULES)
@examples(150)
def test_every_text_is_written_again_from_value_type_and_spelling(cells: Cells, rules: judge.Rules) -> None:
    column = decided(cells, rules)
    for cell, value in zip(cells, typed(cells, column.type), strict=True):
        if value.as_py() is None if cell is None else column.type.name == "string":
            assert value.as_py() == cell
        elif not cell:
            assert value.as_py() is None
        else:
            assert again(value, column, cell) == expected(cell, column)


COMMA_FOR_POINT = str.maketrans(",.", ".,")
NUMERIC = {"int64", "double", "decimal"}


@given(columns(), RULES)
@example(["1.5", "2.25", None, ""], judge.Rules())
@example(["1,5", "1.5"], judge.Rules())
@example(["1234567890123456.75"], judge.Rules())
@example(["2020-02-29 10:20:30.5"], judge.Rules())
@examples(150)
def test_with_a_decimal_comma_numbers_are_what_they_are_with_a_point(cells: Cells, rules: judge.Rules) -> None:
    commas = replace(package_rules(rules), decimal_comma=True)
    swapped = [cell and cell.translate(COMMA_FOR_POINT) for cell in cells]
    pointed = decided(cells, rules)
    found = decide("c", observe(texts_of(swapped), ColumnEvidence(), commas).evidence, commas)
    if NUMERIC & {pointed.type.name, found.type.name}:
        assert (found.type, found.spelling) == (pointed.type, pointed.spelling)
        array = pa.array(swapped, pa.string())
        values = to_type(array, Texts.of(array), found.type, None, commas)
        assert repr(values.to_pylist()) == repr(typed(cells, pointed.type).to_pylist())  # nan is not itself
    else:  # dates, moments and booleans have no comma
        as_they_are = decide("c", observe(texts_of(cells), ColumnEvidence(), commas).evidence, commas)
        assert as_they_are.type == pointed.type or as_they_are.type.name in NUMERIC


def typed(cells: Cells, column_type: ColumnType) -> pa.Array[Any]:
    array = pa.array(cells, pa.string())
    return to_type(array, Texts.of(array), column_type, None)


def again(value: pa.Scalar[Any], column: Column, cell: str) -> str:
    if column.type.name.startswith("timestamp"):
        unit = "ns" if column.type.nanoseconds else "us"
        return judge.written_timestamp(value.cast(pa.int64()).as_py(), unit, column.spelling or {})
    if column.type.name == "double" and "e" in cell.lower():
        return repr(value.as_py())
    return judge.written(value.as_py(), str(column.type), column.spelling or {})


def expected(cell: str, column: Column) -> str:
    """The text, but where the contract says that the value is enough: exponents, and a fraction's trailing zeros."""
    if column.type.name == "double" and "e" in cell.lower():
        return repr(float(cell))
    if column.type.name.startswith("timestamp") and column.spelling and column.spelling["seconds"]:
        zone = column.spelling.get("zone", "")
        body, _, fraction = cell.removesuffix(zone).partition(".")
        return f"{body}.{fraction.ljust(9 if column.type.nanoseconds else 6, '0')}{zone}"
    return cell


PLAIN = judge.Rules()
DECIMALS = judge.Rules(decimals=True)
NANOSECONDS = judge.Rules(nanoseconds=True)


@pytest.mark.parametrize(
    ("cells", "rules", "kind", "spelling"),
    [
        pytest.param(["0", "-7", "9223372036854775807", "-9223372036854775808"], PLAIN, "int64", None, id="64 bits"),
        pytest.param(["1", None, ""], PLAIN, "int64", None, id="empty cells aside"),
        pytest.param([], PLAIN, "string", None, id="no records"),
        pytest.param([None, "", None], PLAIN, "string", None, id="nothing but empty cells"),
        pytest.param(["1", "007"], PLAIN, "string", None, id="leading zeros"),
        pytest.param(["1", "-0"], PLAIN, "string", None, id="minus zero without a point"),
        pytest.param(["+5"], PLAIN, "string", None, id="plus sign"),
        pytest.param([" 1"], PLAIN, "string", None, id="space"),
        pytest.param(["1_000"], PLAIN, "string", None, id="underscore"),
        pytest.param(["0x10"], PLAIN, "string", None, id="hexadecimal"),
        pytest.param(["1", "NA"], PLAIN, "string", None, id="NA"),
        pytest.param(["12345678901234567890"], PLAIN, "string", None, id="20 digits"),
        pytest.param(["17.00", "0.10"], PLAIN, "double", {"scale": 2}, id="one scale"),
        pytest.param(["1.9", "1.10"], PLAIN, "string", None, id="versions"),
        pytest.param(["1.9", "17", "1.25"], PLAIN, "double", {"whole": "17"}, id="whole numbers without a point"),
        pytest.param(["1.9", "17.0", "1.25"], PLAIN, "double", {"whole": "17.0"}, id="whole numbers with a lone zero"),
        pytest.param(["1", "1.0"], PLAIN, "string", None, id="whole numbers in two ways"),
        pytest.param([".5", ".25"], PLAIN, "double", {"integer_part": False}, id="no integer part"),
        pytest.param([".5", "0.5"], PLAIN, "string", None, id="integer part now and then"),
        pytest.param(["1e-05", "1.5E10"], PLAIN, "double", None, id="exponents"),
        pytest.param(["1.5", "1e5"], PLAIN, "string", None, id="an exponent like an identifier's"),
        pytest.param(["1.0e400"], PLAIN, "string", None, id="beyond doubles"),
        pytest.param(["1.5", "-inf", "nan"], PLAIN, "double", {"scale": 1, "nan": "nan", "infinity": "inf"}, id="inf"),
        pytest.param(["1.5", "nan", "NaN"], PLAIN, "string", None, id="nan in two spellings"),
        pytest.param(["nan"], PLAIN, "string", None, id="nan alone"),
        pytest.param(["-0.0", "1.5"], PLAIN, "double", {"scale": 1}, id="negative zero"),
        pytest.param(["1.50", "2.25"], DECIMALS, "decimal(18,2)", None, id="decimals asked for"),
        pytest.param(["1.50", "-0.00"], DECIMALS, "double", {"scale": 2}, id="negative zero is no decimal"),
        pytest.param(["1234567890123456.75"], PLAIN, "decimal(38,2)", None, id="more than a double says"),
        pytest.param(["2020-02-29", "0001-01-01"], PLAIN, "date", None, id="dates"),
        pytest.param(["2021-02-29"], PLAIN, "string", None, id="no real day"),
        pytest.param(["0000-01-01"], PLAIN, "string", None, id="a year that is none"),
        pytest.param(["20200229"], PLAIN, "int64", None, id="a date like a number"),
        pytest.param(
            ["2020-02-29T10:20"], PLAIN, "timestamp", {"separator": "T", "seconds": False}, id="local minutes"
        ),
        pytest.param(
            ["2020-02-29 10:20:30.5", "2020-02-29 10:20:30"],
            PLAIN,
            "timestamp",
            {"separator": " ", "seconds": True},
            id="fractions of a second",
        ),
        pytest.param(
            ["2020-02-29T10:20:30Z"],
            PLAIN,
            "timestamp_utc",
            {"separator": "T", "seconds": True, "zone": "Z"},
            id="UTC",
        ),
        pytest.param(["2020-02-29T10:20:30Z", "2020-02-29T10:20:30+00:00"], PLAIN, "string", None, id="UTC, two ways"),
        pytest.param(["2020-02-29T10:20:30+02:00"], PLAIN, "string", None, id="another offset"),
        pytest.param(["2020-02-29", "2020-02-29 10:20"], PLAIN, "string", None, id="dates beside timestamps"),
        pytest.param(["10:20:30"], PLAIN, "string", None, id="time of day"),
        pytest.param(["2020-02-29 10:20:30.1234567"], PLAIN, "string", None, id="nanoseconds not asked for"),
        pytest.param(
            ["2020-02-29 10:20:30.1234567"],
            NANOSECONDS,
            "timestamp",
            {"separator": " ", "seconds": True},
            id="nanoseconds",
        ),
        pytest.param(["true", "false"], PLAIN, "boolean", {"case": "lower"}, id="booleans"),
        pytest.param(["true", "False"], PLAIN, "string", None, id="booleans in two spellings"),
    ],
)
def test_contract_section_4(cells: Cells, rules: judge.Rules, kind: str, spelling: dict[str, Any] | None) -> None:
    column = decided(cells, rules)
    assert (str(column.type), column.spelling) == (kind, spelling)


def test_nanoseconds_are_a_unit_of_the_type() -> None:
    fine = decided(["2020-02-29 10:20:30.1234567"], NANOSECONDS).type
    coarse = decided(["2020-02-29 10:20:30.123456"], NANOSECONDS).type
    assert (fine.arrow, coarse.arrow) == (pa.timestamp("ns"), pa.timestamp("us"))


@pytest.mark.parametrize(
    ("cells", "ruled_out"),
    [
        pytest.param(["1", "2"], None, id="the narrowest of all"),
        pytest.param(["1", None, "2.5"], {"type": "int64", "record": 3}, id="a point"),
        pytest.param(["1", "2", "x"], {"type": "int64", "record": 3}, id="a text among numbers"),
        pytest.param(["1.5", "2.5", "1.50"], {"type": "double", "record": 3}, id="a second scale that ends in 0"),
        pytest.param(["2020-01-01", "n/a"], {"type": "date", "record": 2}, id="a text among dates"),
        pytest.param(["", "x"], {"type": "int64", "record": 2}, id="the first value"),
    ],
)
def test_the_first_record_that_rules_out(cells: Cells, ruled_out: dict[str, Any] | None) -> None:
    assert decided(cells, PLAIN).ruled_out == ruled_out


@pytest.mark.parametrize(
    ("rules", "kind"),
    [
        pytest.param(TypeRules(strings_only=True), "string", id="TYPES=string"),
        pytest.param(TypeRules(given={"c": ColumnType("double")}), "double", id="COLUMN_TYPES"),
        pytest.param(TypeRules(given={"C": ColumnType("double")}), "int64", id="another column's type"),
        pytest.param(
            TypeRules(strings_only=True, given={"c": ColumnType("double")}), "double", id="COLUMN_TYPES over TYPES"
        ),
    ],
)
def test_settings_decide_before_values(rules: TypeRules, kind: str) -> None:
    evidence = observe(texts_of(["1", "2"]), ColumnEvidence(), rules).evidence
    assert str(decide("c", evidence, rules).type) == kind
