"""schema: what a source would become, and the records that have decided it."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from csv_transcode.decode import grammar
from tests.cli.commands import IN, OUT, call
from tests.standing import manifest, put, standing

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    Capture = pytest.CaptureFixture[str]

DAY: Final = (
    b"order,zip,placed_on,amount,version\n1,02134,2026-11-22,17.00,1.9\n2,10001,2026-11-23,4.50,1.10\n3,10003\n"
)
SETTINGS: Final = ("--set", "MAX_REJECTED_RATIO=1")
# column: its cells; the type; each narrower type and the record, from 1, whose text is the first that it cannot say
EVIDENCE: Final[dict[str, tuple[list[str], str, dict[str, int]]]] = {
    "int64": (["1", "-2", "3"], "int64", {}),
    "double": (["1", "2", "3.5"], "double", {"int64": 3}),
    "date": (["", "2026-11-22", "2026-11-23"], "date", {"int64": 2, "double": 2, "decimal": 2}),
    "late": (["1", "2", "x"], "string", {"int64": 3, "date": 1, "timestamp": 1, "boolean": 1}),
    "zip": (["10001", "02134", "10002"], "string", {"int64": 2, "date": 1, "timestamp": 1, "boolean": 1}),
    "version": (["1.9", "2.5", "1.10"], "string", {"int64": 1, "double": 3, "decimal": 3, "date": 1}),
    "day or not": (["2026-11-22", "2026-11-23", "today"], "string", {"int64": 1, "date": 3, "boolean": 1}),
    "flag": (["true", "false", "True"], "string", {"int64": 1, "boolean": 3, "date": 1}),
    "nothing": (["", "", ""], "string", {}),
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "day.csv"
    path.write_bytes(DAY)
    return path


def test_the_table_is_for_people(source: Path, capsys: Capture) -> None:
    ended = call(capsys, "schema", source, *SETTINGS)
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert "delimiter    ',' (detected)" in lines
    assert "records      3 read, 1 would be rejected" in lines
    assert "  line 4, byte 93: field_count: 2 fields, header has 5" in lines
    amount = next(line for line in lines if "amount" in line)
    assert amount.split() == ["4", "amount", "double", "scale", "2", "int64", "1"]
    assert list(source.parent.iterdir()) == [source]


@pytest.mark.parametrize("name", EVIDENCE)
def test_every_narrower_type_has_the_record_that_ended_it(source: Path, capsys: Capture, name: str) -> None:
    cells, column_type, ruled_out = EVIDENCE[name]
    source.write_text("\n".join(["id,column", *(f"{number},{cell}" for number, cell in enumerate(cells))]))
    column = call(capsys, "schema", source, "--json").json["schema"][1]
    assert column["type"] == column_type
    assert {kind: column["ruled_out"].get(kind) for kind in ruled_out} == ruled_out
    assert set(column["ruled_out"]) >= set(ruled_out)
    fits = {"int64": grammar.is_int64, "date": grammar.is_date}  # and nothing before that record is none of the type
    for kind in column["ruled_out"].keys() & fits.keys():
        kept = cells[: column["ruled_out"][kind] - 1]
        assert all(fits[kind](cell) for cell in kept if cell), kind


def test_in_the_words_of_the_manifest(s3: S3Client, capsys: Capture, source: Path) -> None:
    """Of an object, a file, and as its conversion says: the same, but that ruled_out names one type there."""
    put(s3, DAY)
    assert call(capsys, "convert", IN, OUT, *SETTINGS).code == 0
    before = standing(s3)
    told = manifest(s3)
    shown = [call(capsys, "schema", place, *SETTINGS, "--json").json for place in (f"{IN}day.csv", source)]
    assert standing(s3) == before
    converted = call(capsys, "convert", source, source.parent / "out", *SETTINGS, "--json").json["results"][0]
    assert converted["dialect"] == told["dialect"]
    assert converted["schema"] == told["schema"]
    for one in shown:
        assert (one["dialect"], one["records"]) == (told["dialect"], told["records"])
        assert [without_ruled_out(entry) for entry in one["schema"]] == [
            without_ruled_out(entry) for entry in told["schema"]
        ]
        for entry, committed in zip(one["schema"], told["schema"], strict=True):
            longest = committed.get("ruled_out")
            assert longest is None or entry["ruled_out"][longest["type"]] == longest["record"]
            assert longest is None or max(entry["ruled_out"].values()) == longest["record"]


def without_ruled_out(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name != "ruled_out"}


def test_evidence_far_behind_the_first_stripe(source: Path, capsys: Capture) -> None:
    """In stripes that are looked at apart, by several threads."""
    cells = [*("1" for _ in range(9_000)), "2.5", *("1" for _ in range(3_000)), "x"]
    source.write_text("\n".join(["id,text", *(f"{cell},{'y' * 1000}" for cell in cells)]))
    column = call(capsys, "schema", source, "--json").json["schema"][0]
    assert column["type"] == "string"
    assert column["ruled_out"] | {"int64": 9001, "double": 12_002} == column["ruled_out"]


def test_what_the_bytes_are(source: Path, capsys: Capture) -> None:
    source.write_bytes(gzip.compress(b"\xef\xbb\xbf" + "a;b\n1;é\n".encode()))
    shown = call(capsys, "schema", source, "--json").json
    assert (shown["dialect"]["compression"], shown["dialect"]["delimiter"]) == ("gzip", ";")
    assert shown["evidence"]["encoding"] == "byte-order mark"
    given = call(capsys, "schema", source, "--json", "--set", "DELIMITER=;").json
    assert (shown["evidence"]["delimiter"], given["evidence"]["delimiter"]) == ("detected", "given")


def test_what_a_conversion_would_refuse(source: Path, capsys: Capture) -> None:
    ended = call(capsys, "schema", source)
    assert (ended.code, "version" in ended.out) == (1, True)
    assert "MAX_REJECTED_RATIO=0.1 allows: a conversion would fail" in ended.err
    source.write_bytes(b"a,b\n\x00\xff\xfe")
    ended = call(capsys, "schema", source, "--json")
    assert (ended.code, list(ended.json)) == (1, ["error"])


def test_an_empty_file_has_none(source: Path, capsys: Capture) -> None:
    source.write_bytes(b"")
    ended = call(capsys, "schema", source)
    assert (ended.code, ended.out, ended.err[:8]) == (0, "", "skipped:")


@pytest.mark.parametrize(
    "arguments", [[IN], ["."], ["day.csv", "--set", "AVRO_CODEC=null"], ["day.csv", "--set", "X=1"]]
)
def test_what_makes_no_sense(capsys: Capture, arguments: list[str]) -> None:
    assert call(capsys, "schema", *arguments).code == 2


def test_names_that_a_terminal_would_obey(source: Path, capsys: Capture) -> None:
    source.write_bytes(b"a,\x1b[2Jb\n1,2\n")
    ended = call(capsys, "schema", source)
    assert r"\x1b[2Jb" in ended.out
    assert "\x1b" not in ended.out + call(capsys, "schema", source, "--json").out
    assert json.loads(call(capsys, "schema", source, "--json").out)["schema"][1]["name"] == "\x1b[2Jb"
