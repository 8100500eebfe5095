"""Columns that go on as they began: whatever is looked at together, the same comes out as of each column alone."""

from __future__ import annotations

import csv
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from csv_transcode.decode import expectations, stripes
from csv_transcode.decode.dialect import Dialect
from csv_transcode.decode.evidence import ColumnEvidence
from csv_transcode.decode.expectations import Expectation, expectation
from csv_transcode.decode.inference import TypeRules, ruled_out_each
from csv_transcode.decode.plain import is_plain
from csv_transcode.decode.records import Cuts, RecordCutter, Stripe
from csv_transcode.decode.sift import Block
from csv_transcode.decode.stripes import StripeDecoder
from tests.decode import near_misses
from tests.profiles import examples

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

Cells = list[str | None]
DIALECT = Dialect()
RULES = st.sampled_from(
    [TypeRules(), TypeRules(decimals=True), TypeRules(nanoseconds=True), TypeRules(decimal_comma=True)]
)
GOING_ON = st.sampled_from(
    [
        *(st.integers(-999, 99_999).map(str), st.integers(0, 10**17).map(str)),
        *(
            st.integers(-99_999, 99_999).map(lambda number: f"{number / 100:.2f}"),
            st.sampled_from(["1.5", "2.25", "7"]),
        ),
        *(st.dates().map(str), st.sampled_from(["x", "", "1"]), st.sampled_from(["true", "false"])),
        *(st.sampled_from(["1.5e-05", "2.5"]), st.integers(1, 99).map(lambda number: f"{number}.0")),
    ]
)


@st.composite
def tables(draw: st.DrawFn) -> list[list[Cells]]:
    """Return a table's stripes, each some columns of as many cells: mostly of one kind, now and then of another."""
    kinds = draw(st.lists(st.one_of(GOING_ON, GOING_ON, st.just(near_misses.columns())), min_size=2, max_size=5))
    made = []
    for rows in draw(st.lists(st.integers(1, 6), min_size=2, max_size=4)):
        stripe = []
        for kind in kinds:
            cell = kind if kind is not None else st.text()
            cells: Cells = []
            while len(cells) < rows:
                one: Any = draw(cell)
                cells += one if isinstance(one, list) else [one if draw(st.integers(0, 9)) else None]
            stripe.append(cells[:rows])
        made.append(stripe)
    return made


def written(columns: Sequence[Cells]) -> bytes:
    """Return records of these cells: quoted where they have to be, or are empty and not null."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_NOTNULL if hasattr(csv, "QUOTE_NOTNULL") else 0)
    for record in zip(*columns, strict=True):
        writer.writerow(record)
    return out.getvalue().encode()


def decoded(table: list[list[Cells]], rules: TypeRules, *, known: bool) -> tuple[Any, ...]:
    """Return types, what is ruled out, and values of all stripes, each read with what is known, or without."""
    names = [f"c{number}" for number in range(len(table[0]))]
    decoder = StripeDecoder(names, DIALECT, rules)
    nothing = (ColumnEvidence(),) * len(names)
    evidence, read, observed = nothing, 0, []
    for index, columns in enumerate(table):
        data = written(columns)
        plain, quoted = is_plain(data, DIALECT)
        assert plain
        stripe = Stripe(index, (Block(data, 0, 1, quoted),))
        shown = evidence if known else nothing
        seen = decoder.observe(decoder.parse(stripe, shown), shown)
        evidence = tuple(one.merged(later.shifted(read)) for one, later in zip(evidence, seen.evidence, strict=True))
        read += seen.count
        observed.append(seen)
    schema = decoder.decide(evidence)
    batches = [decoder.cast(seen, schema.types) for seen in observed]
    for batch in batches:
        assert batch is not None
        batch.validate(full=True)
    ruled_out = [ruled_out_each(*pair, rules) for pair in zip(schema.columns, evidence, strict=True)]
    return schema.columns, ruled_out, repr([batch and batch.to_pydict() for batch in batches])  # nan is not itself


@given(tables(), RULES, st.sampled_from([2, 1000]), st.sampled_from([1, 5, 1 << 15]))
@example([[["1.5", "2.5"], ["1", "2"]], [["3.25", "1"], ["3", "x"]]], TypeRules(), 2, 1 << 15)
@example([[["1.5"], ["2.5"]], [["3.5"], ["2.50"]], [["7"], ["8.5"]]], TypeRules(), 2, 1 << 15)
@example([[["1.5", "2.25"]] * 2, [["3.5", "2.50"], ["3.5", "2.5"]]], TypeRules(), 2, 1 << 15)  # 2.5 and 2.50
@example([[["1.5", "2"]] * 2, [["3.5", "3.0"], ["4.5", "3"]]], TypeRules(), 2, 1 << 15)  # 2 and 3.0
@example([[["1.0", "2.25"]] * 2, [["3.5", "7"], ["4.5", "3.0"]]], TypeRules(), 2, 1 << 15)  # 1.0 and 7
@example([[["1.50", "2.25"]] * 2, [["3.50", "-0.00"], ["4.50", "0.00"]]], TypeRules(), 2, 1 << 15)
@examples(60)
def test_what_is_expected_changes_nothing(
    table: list[list[Cells]],
    rules: TypeRules,
    many_columns: int,
    at_once: int,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(expectations, "MANY_COLUMNS", many_columns)
        patch.setattr(stripes, "VALUES_AT_ONCE", at_once)
        expected = decoded(table, rules, known=True)
    assert expected == decoded(table, rules, known=False)


def known_from(texts: Cells, rules: TypeRules) -> ColumnEvidence:
    decoder = StripeDecoder(["c", "d"], DIALECT, rules)
    parsed = decoder.parse(Stripe(0, (Block(written([texts, texts]), 0, 1, quoted=True),)))
    return decoder.observe(parsed, (ColumnEvidence(),) * 2).evidence[0]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["1", "22"], ("int64", 0)),
        (["1.5", "2.5"], ("double", 1)),
        (["1.5", "2.25"], ("double", None)),
        (["1", "2.25"], ("double", None)),
        (["2026-11-24"], ("date", None)),
        (["x"], ("string", None)),
        (["true"], None),
        (["2026-11-24 10:00:00"], None),
        ([None, None], None),
        (["0.12345678901234567890"], None),
    ],
)
def test_what_is_expected(texts: Cells, expected: tuple[str, int | None] | None) -> None:
    found = expectation(known_from(texts, TypeRules()), TypeRules())
    assert expected == (found and (found.kind, found.scale))


def test_decimals_that_are_wanted_are_looked_at_as_texts() -> None:
    rules = TypeRules(decimals=True)
    assert expectation(known_from(["1.5", "2.5"], rules), rules) is None


@pytest.mark.parametrize(
    ("columns", "favoured"),
    [
        ([Expectation("int64")] * 64, True),
        ([Expectation("int64")] * 63, False),
        ([Expectation("int64")] * 32 + [expectations.TEXT] * 32, True),
        ([Expectation("int64")] * 32 + [None] * 33, False),
        ([], False),
    ],
)
def test_tables_of_many_typed_columns_are_read_by_places(columns: list[Expectation | None], favoured: bool) -> None:  # noqa: FBT001
    assert expectations.favour_places(columns) == favoured


def test_columns_that_are_alike_are_typed_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without which the others would pass for doing nothing."""
    read: list[list[int]] = []
    whole = expectations.read_by_places

    def counted(fields: Any, columns: Sequence[int], *rest: Any) -> pa.Array[Any] | None:
        read.append(list(columns))
        return whole(fields, columns, *rest)

    monkeypatch.setattr(expectations, "read_by_places", counted)
    monkeypatch.setattr(expectations, "MANY_COLUMNS", 4)
    numbers: Cells = ["1", "-2", None]
    amounts: Cells = ["1.50", "2.25", "-0.75"]
    letters: Cells = ["a", "b", "c"]
    table = [[numbers, amounts, numbers, amounts, letters]] * 2
    schema, _, values = decoded(table, TypeRules(), known=True)
    assert [str(column.type) for column in schema] == ["int64", "double", "int64", "double", "string"]
    assert read == [[0, 2], [1, 3]]
    assert values == decoded(table, TypeRules(), known=False)[2]


@pytest.mark.parametrize(
    ("second", "reason", "kept"),
    [
        (b"3,\xff\n4,b\n", "encoding", ["4"]),
        (b"3\n4,b\n", "field_count", ["4"]),
        (b"3,a,b\n4,b\n", "field_count", ["4"]),
        (b'3,"a\n4,b\n', "quote", ["4"]),
    ],
)
def test_records_with_a_flaw_are_rejected_from_a_table_that_is_read_by_places(
    second: bytes, reason: str, kept: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expectations, "MANY_COLUMNS", 2)
    decoder = StripeDecoder(["c", "d"], DIALECT, TypeRules())
    known: Sequence[ColumnEvidence] = (ColumnEvidence(),) * 2
    read = []
    for data in (b"1,a\n2,b\n", second):
        for stripe in RecordCutter([data], DIALECT, Cuts(), width=2, offset=0, line=1).stripes():
            read.append(decoder.parse(stripe, known))
            known = decoder.observe(read[-1], known).evidence
    assert [reject.reason for reject in read[-1].rejects] == [reason]
    assert read[-1].strings.column(0).to_pylist() == kept
