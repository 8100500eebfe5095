"""The table of benchmarks/pollock.py: its reader of the truth, its judge, and that each verdict can come out."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from benchmarks import pollock
from benchmarks.csv_readers import Ours, attempt, peers
from benchmarks.strict_csv import Dialect, read
from benchmarks.verdicts import Judgement, Reading, Refusal, Table, Verdict, judge, says

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.csv_readers import Setting

PLAIN = "id,name\n1,tea\n2,milk\n"
RAGGED = "id,name\n1,tea\n2,milk,3\n3,salt\n"
SHORT = "id,name\n1,tea\n2\n3,salt\n"
COMMA = Dialect()


@pytest.mark.parametrize(
    ("text", "dialect", "header", "columns", "malformed"),
    [
        (PLAIN, COMMA, ("id", "name"), [["1", "2"], ["tea", "milk"]], {}),
        (RAGGED, COMMA, ("id", "name"), [["1", "3"], ["tea", "salt"]], {3: b"2,milk,3\n"}),
        ('a,b\r\n"x\r\ny","say ""hi"""\r\n\r\n1,', COMMA, ("a", "b"), [["x\r\ny", "1"], ['say "hi"', ""]], {}),
        ('a,b\n"1,2\n3,4\n', COMMA, ("a", "b"), [["3"], ["4"]], {2: b'"1,2\n'}),
        ('a,b\n"1"x,2\n3,4"\n5,6\n', COMMA, ("a", "b"), [["5"], ["6"]], {2: b'"1"x,2\n', 3: b'3,4"\n'}),
        ('a,b\n"x\ny",z,\n5,6\n', COMMA, ("a", "b"), [["5"], ["6"]], {2: b'"x\ny",z,\n'}),
        ('"a"b,c\nd,e\n1,2\n', COMMA, ("d", "e"), [["1"], ["2"]], {1: b'"a"b,c\n'}),
        ('a b\r"1 x" 2\r', Dialect(delimiter=" ", line_end="\r"), ("a", "b"), [["1 x"], ["2"]], {}),
        ('a, b\n1, "x, y"\n', Dialect(delimiter=", "), ("a", "b"), [["1"], ["x, y"]], {}),
        ("a,b\n'it''s',\"\n", Dialect(quote="'"), ("a", "b"), [["it's"], ['"']], {}),
        ('a,b\n"24\\"","\\\\"\n', Dialect(escape="\\"), ("a", "b"), [['24"'], ["\\"]], {}),
        ("1,2\n3\n", Dialect(header=False), None, [["1"], ["2"]], {2: b"3\n"}),
        ("a,b\n", COMMA, ("a", "b"), [], {}),
    ],
)
def test_the_truth_is_rfc_4180(
    text: str,
    dialect: Dialect,
    header: tuple[str, ...] | None,
    columns: list[list[str]],
    malformed: dict[int, bytes],
) -> None:
    truth = read(text, dialect)
    assert (truth.header, truth.columns, truth.malformed) == (header, columns, malformed)


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["a", ""], ["a", None]),
        (["a", ""], ["a", ""]),
        (["1", "-2"], [1, -2]),
        (["1.50", "2.25"], [1.5, 2.25]),
        (["1.9", "1.11"], [1.9, 1.11]),
        (["2", "", "3"], [2.0, None, 3.0]),
        ([".5"], [0.5]),
        (["1.5E10"], [1.5e10]),
        (["nan"], [float("nan")]),
        (["1.10"], [Decimal("1.10")]),
        (["TRUE", "FALSE"], [True, False]),
        (["2026-11-23"], [dt.date(2026, 11, 23)]),
        (["23/11/2026"], [dt.date(2026, 11, 23)]),
        (["12:30"], [dt.time(12, 30)]),
        (["2026-11-23 12:00:05.250"], [dt.datetime(2026, 11, 23, 12, 0, 5, 250000)]),  # noqa: DTZ001 - local
        (["2026-11-23T12:00:05Z"], [dt.datetime(2026, 11, 23, 12, 0, 5, tzinfo=dt.UTC)]),
    ],
)
def test_values_that_say_what_the_texts_say(texts: list[str], values: list[object]) -> None:
    assert says(texts, values)


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["a"], ["b"]),
        (["a"], [None]),
        ([""], ["a"]),
        (["NA", "1"], [None, 1]),
        (["007"], [7]),
        (["+5"], [5]),
        (["1.9", "1.10"], [1.9, 1.1]),
        (["1", "1.0"], [1.0, 1.0]),
        (["0.123456789012345678"], [0.12345678901234568]),
        (["12345678901234567890"], [1.2345678901234567e19]),
        (["nan"], [float("inf")]),
        (["-inf"], [float("inf")]),
        (["true", "TRUE"], [True, True]),
        (["1"], [True]),
        (["1", "a"], [1, "a"]),
        (["23/11/2026", "2026-11-23"], [dt.date(2026, 11, 23)] * 2),
        (["11/12/2026", "23/12/2026"], [dt.date(2026, 11, 12), dt.date(2026, 12, 23)]),
        (["2026-11-23T12:00:05"], [dt.datetime(2026, 11, 23, 12, 0, 5, tzinfo=dt.UTC)]),
    ],
)
def test_values_that_do_not(texts: list[str], values: list[object]) -> None:
    assert not says(texts, values)


GOOD = Table(["id", "name"], [[1, 3], ["tea", "salt"]])
PADDED = Table(["id", "name"], [[1, 2, 3], ["tea", None, "salt"]])


@pytest.mark.parametrize(
    ("result", "verdict", "why"),
    [
        (Reading([GOOD], {3: None}), Verdict.EXACT, ""),
        (Reading([GOOD, GOOD], {3: b"2,milk,3\n"}), Verdict.EXACT, ""),
        (Refusal("line 3 has 3 fields"), Verdict.REFUSED, "line 3"),
        (Reading([GOOD], {}), Verdict.SILENT, "1 malformed records are not reported"),
        (Reading([GOOD], {2: None, 3: None}), Verdict.SILENT, "1 well-formed records are reported"),
        (Reading([GOOD], {3: b"2,milk\n"}), Verdict.SILENT, "not what stands there"),
        (Reading([PADDED], {3: None}), Verdict.SILENT, "3 records of 2"),
        (Reading([GOOD, PADDED], {3: None}), Verdict.SILENT, "3 records of 2"),
        (Reading([Table(["id"], [[1, 3]])], {3: None}), Verdict.SILENT, "1 columns of 2"),
        (Reading([Table(["id", "Name"], GOOD.columns)], {3: None}), Verdict.SILENT, "'Name'"),
        (Reading([Table(["id", "name"], [[1, 3], ["tea", "Salt"]])], {3: None}), Verdict.SILENT, "column 2"),
    ],
)
def test_a_malformed_record_must_be_reported_and_nothing_else(
    result: Reading | Refusal, verdict: Verdict, why: str
) -> None:
    judgement = judge(result, [read(RAGGED, COMMA)])
    assert (judgement.verdict, judgement.typing_only) == (verdict, False)
    assert why in judgement.why


def test_a_difference_of_typing_alone_is_told_apart() -> None:
    truth = read("zip,name\n02134,NA\n10001,tea\n", COMMA)
    typed = Reading([Table(["zip", "name"], [[2134, 10001], [None, "tea"]])], {})
    moved = Reading([Table(["zip", "name"], [[2134, 10001], ["tea", "NA"]])], {})
    assert [judge(one, [truth]).typing_only for one in (typed, moved)] == [True, False]


@pytest.mark.parametrize(
    ("name", "dialect"),
    [
        ("x__file_field_delimiter_0x9.csv", Dialect(delimiter="\t")),
        ("x__file_field_delimiter_0x2C_0x20.csv", Dialect(delimiter=", ")),
        ("x__file_quotation_char_0x27.csv", Dialect(quote="'")),
        ("x__file_escape_char_0x5C.csv", Dialect(escape="\\")),
        ("x__file_escape_char_0x00.csv", COMMA),
        ("x__file_record_delimiter_0xD.csv", Dialect(line_end="\r")),
        ("x__file_no_header.csv", Dialect(header=False)),
        ("x__row_field_delimiter_13_0x20.csv", COMMA),
    ],
)
def test_the_name_says_how_a_file_is_written(name: str, dialect: Dialect) -> None:
    assert pollock.dialect_of(name) == dialect


def test_every_peer_is_exact_on_a_plain_file_and_none_on_a_ragged_one_without_a_report(tmp_path: Path) -> None:
    for setting in peers():
        assert judged(setting, tmp_path, PLAIN).verdict is Verdict.EXACT, setting
        reports = setting.settings == "given, with its report"
        assert (judged(setting, tmp_path, SHORT).verdict is Verdict.EXACT) == reports, setting


@pytest.mark.parametrize(
    ("text", "dialect", "verdict"),
    [
        (PLAIN, COMMA, Verdict.EXACT),
        (SHORT, COMMA, Verdict.EXACT),
        ("id, name\n1, tea\n", Dialect(delimiter=", "), Verdict.REFUSED),
        ("id;name\n1;tea\n2;milk\n", COMMA, Verdict.SILENT),  # one column, as it should have been read
    ],
)
def test_this_program_is_judged_by_what_it_publishes(
    tmp_path: Path, text: str, dialect: Dialect, verdict: Verdict
) -> None:
    with Ours() as ours:
        auto, given = ours.settings()
        setting = given if verdict is Verdict.REFUSED else auto
        assert judged(setting, tmp_path, text, dialect).verdict is verdict


def test_a_reader_can_be_silently_different(tmp_path: Path) -> None:
    pandas = next(each for each in peers() if each.reader == "pandas")
    assert judged(pandas, tmp_path, SHORT) == Judgement(Verdict.SILENT, "1 malformed records are not reported")
    assert judged(pandas, tmp_path, "zip,name\n02134,tea\n").typing_only


def test_without_the_files_there_is_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pollock.main(["--corpora", str(tmp_path / "nowhere")])
    assert capsys.readouterr().out.startswith("skipped: ")


@pytest.mark.long
def test_the_table_counts_every_file_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file_plain.csv").write_text(PLAIN)
    (tmp_path / "row_less_sep.csv").write_text(SHORT)
    pollock.main(["--corpora", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2 files: 1 well-formed throughout, 1 with malformed records."
    assert "| this program | auto | 2 | 0 | 0 | 0 | 1 / 0 / 0 |" in lines
    assert "| pandas | auto | 1 | 0 | 1 | 0 | 1 / 0 / 0 |" in lines


def judged(setting: Setting, folder: Path, text: str, dialect: Dialect = COMMA) -> Judgement:
    path = folder / "case.csv"
    path.write_text(text)
    return judge(attempt(setting, path, dialect), [read(text, dialect)])
