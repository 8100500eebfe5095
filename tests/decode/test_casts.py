"""Strings → typed values: what is null, and what fits a type that its owner names."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from csv_transcode.decode.casts import to_type, unfit
from csv_transcode.decode.dialect_detection import Given
from csv_transcode.decode.inference import TypeRules
from csv_transcode.decode.reader import Reading
from csv_transcode.decode.texts import Texts
from csv_transcode.errors import RecordError
from csv_transcode.pipeline import Plan, read_table
from csv_transcode.schema import ColumnType

Cells = list[str | None]
COMMA = Given(delimiter=",", quote_char='"')


def texts_of(cells: Cells) -> Texts:
    return Texts.of(pa.array(cells, pa.string()))


def cast(cells: Cells, kind: str) -> pa.Array[Any]:
    array = pa.array(cells, pa.string())
    return to_type(array, Texts.of(array), ColumnType.parse(kind), None)


def table(data: bytes, null_values: tuple[str, ...] = ("",), **given: str) -> pa.Table:
    rules = TypeRules(given={name: ColumnType.parse(kind) for name, kind in given.items()})
    return read_table([data], Plan(reading=Reading(given=COMMA, null_values=null_values), rules=rules))


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("string", "x", "x"),
        ("int64", "-9223372036854775808", -(2**63)),
        ("double", "1.5", 1.5),
        (
            "decimal(38,2)",
            "-123456789012345678901234567890123456.78",
            Decimal("-123456789012345678901234567890123456.78"),
        ),
        ("boolean", "TRUE", True),
        ("boolean", "False", False),
        ("date", "0001-01-01", dt.date(1, 1, 1)),
        ("timestamp", "2020-02-29 10:20", dt.datetime(2020, 2, 29, 10, 20)),  # noqa: DTZ001 -- local
        ("timestamp_utc", "2020-02-29T10:20:30Z", dt.datetime(2020, 2, 29, 10, 20, 30, tzinfo=dt.UTC)),
    ],
)
def test_empty_cells_are_null_but_for_quoted_ones_in_a_string_column(kind: str, text: str, value: Any) -> None:
    empty = "" if kind == "string" else None
    assert cast([None, text, "", None, text], kind).to_pylist() == [None, value, empty, None, value]
    assert cast([None, "", None], kind).to_pylist() == [None, empty, None]
    assert cast([text], kind).to_pylist() == [value]
    assert cast([], kind).to_pylist() == []


def test_a_slice_is_cast_as_what_it_is() -> None:
    column = pa.array(["x", "1", "", "3", None, "y"], pa.string()).slice(1, 4)
    assert to_type(column, Texts.of(column), ColumnType("int64"), None).to_pylist() == [1, None, 3, None]


@pytest.mark.parametrize(
    ("data", "null_values", "values"),
    [
        pytest.param(b'a,b\n,1\n"",2\nx,3\n', ("",), [None, "", "x"], id="an empty cell, and a quoted one"),
        pytest.param(b'a,b\n,1\nNA,2\n"NA",3\n', ("NA",), ["", None, "NA"], id="replace the default"),
        pytest.param(b"a,b\n,1\nNA,2\nx,3\n", ("", "NA"), [None, None, "x"], id="several"),
        pytest.param(b"a,b\n,1\nx,2\n", (), ["", "x"], id="none"),
        pytest.param(b"a,b\nna,1\nNA ,2\n", ("NA",), ["na", "NA "], id="exactly so spelt"),
        pytest.param(b"a,b\n0,1\n7,2\n", ("0",), [None, 7], id="a number"),
        pytest.param(b'a,b\n"0",1\n7,2\n', ("0",), [0, 7], id="quoted, no null value"),
        pytest.param(b"a,b\n,1\n7,2\n", ("NA",), [None, 7], id="empty is null where no string can be"),
        pytest.param(b"a,b\nN\xc3\x84,1\n7,2\n", ("NÄ",), [None, 7], id="not ASCII"),
    ],
)
@pytest.mark.parametrize("strictly", [False, True])
def test_null_values(data: bytes, null_values: tuple[str, ...], values: list[Any], *, strictly: bool) -> None:
    if strictly:  # a lone CR is not for Arrow
        data = data.replace(b"\n", b"\r")
    assert table(data, null_values)["a"].to_pylist() == values


def test_a_column_of_one_has_null_values_too() -> None:
    assert table(b"a\nNA\n\n7\n", ("NA",))["a"].to_pylist() == [None, None, 7]


FITS = {
    "int64": ["0", "-1", "9223372036854775807", "-9223372036854775808"],
    "double": ["0", "17", "1.10", "1.9", ".5", "1e-05", "1.5E10", "-0.0", "nan", "NaN", "-inf", "1.0"],
    "decimal(5,2)": ["0", "1", "-1.5", "999.99", "0.05"],
    "decimal(38,0)": ["1" * 38, "-1"],
    "decimal(2,2)": ["0.99", "-0.01"],
    "boolean": ["true", "False", "TRUE"],
    "date": ["2020-02-29", "0001-01-01", "9999-12-31"],
    "timestamp": ["2020-02-29 10:20", "2020-02-29T10:20:30.123456", "0001-01-01 00:00:00"],
    "timestamp_utc": ["2020-02-29 10:20Z", "2020-02-29T10:20:30+00:00"],
    "string": ["", " ", "x"],
}
UNFIT = {
    "int64": [
        "007",
        "-0",
        "+5",
        " 1",
        "1.0",
        "0x1F",
        "1_0",
        "9223372036854775808",
        "-9223372036854775809",
        "x",
        "1" * 99,
    ],
    "double": [
        "007.5",
        "+5.0",
        "5.",
        "1e5",
        "1.0e400",
        "0.1000000000000000055511151231257827",
        " 1.5",
        "9007199254740993",
    ],
    "decimal(5,2)": ["1.234", "1000.00", "1e+1", ".5", "-0.00", "+1", "01.5", "nan", "x"],
    "decimal(38,0)": ["1" * 39, "1.0"],
    "decimal(2,2)": ["1.00"],
    "boolean": ["1", "0", "tRUE", "yes", "t"],
    "date": ["2021-02-29", "0000-01-01", "2020-1-1", "20200101", "2020-01-01 00:00"],
    "timestamp": ["2020-02-29", "10:20", "2020-02-29 10:20Z", "2020-02-29 24:00", "2020-02-29 10:20:30.1234567"],
    "timestamp_utc": ["2020-02-29 10:20", "2020-02-29 10:20+02:00", "2020-02-29 10:20z", "2020-02-29 10:20-00:00"],
}


@pytest.mark.parametrize(("kind", "cells"), FITS.items(), ids=FITS)
def test_values_that_fit_a_given_type(kind: str, cells: Cells) -> None:
    everything: Cells = [None, "", *cells]
    assert unfit(texts_of(everything), ColumnType.parse(kind), TypeRules()) == []
    cast(everything, kind)
    for cell in cells:
        assert unfit(texts_of([cell]), ColumnType.parse(kind), TypeRules()) == []


@pytest.mark.parametrize(
    ("kind", "cell"),
    [pytest.param(kind, cell, id=f"{kind} {cell[:45]}") for kind, cells in UNFIT.items() for cell in cells],
)
def test_every_value_that_does_not_fit_is_found(kind: str, cell: str) -> None:
    fitting: Cells = [None, *FITS[kind], ""]
    cells = [*fitting, cell, *fitting, cell]
    assert unfit(texts_of(cells), ColumnType.parse(kind), TypeRules()) == [len(fitting), 2 * len(fitting) + 1]


def test_a_value_that_does_not_fit_is_an_error_with_its_place() -> None:
    data = b'n,t\n1,"a\nb"\n\n,c\n"",d\n3,"e\n"\n1.5,"f"\n5,g\n'
    with pytest.raises(RecordError) as caught:
        table(data, n="int64")
    error = caught.value
    assert (error.reason, error.record, error.line, error.offset, error.length) == ("type", 5, 9, 28, 8)
    assert data[error.offset : error.offset + error.length] == b'1.5,"f"\n'
    assert "column 'n'" in error.detail
    assert "int64" in error.detail
    assert "COLUMN_TYPES" in error.detail


def test_a_given_type_is_the_column_s() -> None:
    read = table(b"n,d,s\n1,1,1\n2,2.50,2\n", n="decimal(5,2)", d="double", s="string")
    assert read.schema.types == [pa.decimal128(5, 2), pa.float64(), pa.string()]
    assert read.to_pylist() == [
        {"n": Decimal("1.00"), "d": 1.0, "s": "1"},
        {"n": Decimal("2.00"), "d": 2.5, "s": "2"},
    ]
