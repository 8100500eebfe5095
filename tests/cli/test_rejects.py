"""rejects and failed: what was set aside is listed, exported, repaired and converted; what failed is tried again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.cli.commands import IN, OUT, call
from tests.conftest import INPUT_BUCKET, OUTPUT_BUCKET
from tests.standing import FAILED, KEY, REJECTS, csv_cells, parquet_cells, put, standing

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    Capture = pytest.CaptureFixture[str]

DAY: Final = b'id;"a ;name"\n1;one\n2\n3;three\n4;fo\x1bur;and\n5;\xff\n6'
TEXT: Final = DAY.replace(b"\xff", b"\x1b;")  # with which the encoding is not in doubt
REPAIRED: Final = b'id;"a ;name"\n2;two\n4;four\n5;five\n6;six\n'
SETTINGS: Final = ("--set", "MAX_REJECTED_RATIO=1")


@pytest.fixture
def converted(s3: S3Client, capsys: Capture) -> S3Client:
    put(s3, DAY)
    put(s3, b"id,text\n1,fine\n", "in/fine.csv")
    assert call(capsys, "convert", IN, OUT, *SETTINGS).code == 0
    return s3


class TestRejects:
    def test_are_listed_with_their_place_and_reason(self, converted: S3Client, capsys: Capture) -> None:
        assert converted.list_buckets()["Buckets"]
        ended = call(capsys, "rejects", IN, OUT)
        lines = ended.out.splitlines()
        assert (ended.code, len(lines), ended.err) == (0, 4, "4 records rejected in 1 files\n")
        assert lines[0] == f"{KEY}: record 2, line 3, byte 19: field_count: 1 fields, header has 2: 2"
        assert r"4;fo\x1bur;and" in lines[1]
        assert r"5;\xff" in lines[2]
        assert call(capsys, "rejects", f"{IN}day.csv", OUT).out == ended.out

    def test_as_json_a_line_each_as_they_stand(self, converted: S3Client, capsys: Capture) -> None:
        stands = [json.loads(line) for line in standing(converted)[REJECTS].splitlines()]
        assert call(capsys, "rejects", IN, OUT, "--json").lines == [{"key": KEY} | line for line in stands]

    def test_of_an_object_without_any(self, converted: S3Client, capsys: Capture) -> None:
        assert converted.list_buckets()["Buckets"]
        ended = call(capsys, "rejects", f"{IN}fine.csv", OUT)
        assert (ended.code, ended.out) == (0, "")
        ended = call(capsys, "rejects", f"{IN}none.csv", OUT)
        assert (ended.code, "it is not converted" in ended.err) == (1, True)

    def test_are_exported_repaired_and_converted(self, converted: S3Client, capsys: Capture, tmp_path: Path) -> None:
        assert converted.list_buckets()["Buckets"]
        place = tmp_path / "repair.csv"
        ended = call(capsys, "rejects", f"{IN}day.csv", OUT, "--export", place)
        assert place.read_bytes() == b'id;"a ;name"\n2\n4;fo\x1bur;and\n5;\xff\n6\n'
        assert "--set ENCODING=utf-8 --set 'DELIMITER=;'" in ended.err
        place.write_bytes(REPAIRED)
        assert call(capsys, "convert", place, tmp_path, "--set", "ENCODING=utf-8", "--set", "DELIMITER=;").code == 0
        repaired = parquet_cells((tmp_path / "repair.parquet").read_bytes())
        assert repaired == [("2", "two"), ("4", "four"), ("5", "five"), ("6", "six")]

    def test_of_a_prefix_are_exported_to_a_folder(self, converted: S3Client, capsys: Capture, tmp_path: Path) -> None:
        put(converted, DAY, "in/2026/more.csv")
        call(capsys, "convert", IN, OUT, *SETTINGS)
        ended = call(capsys, "rejects", IN, OUT, "--export", tmp_path / "out", "--json")
        assert ended.json == {"files": 2, "records": 8}
        made = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
        assert made == {"day.csv", "2026/more.csv"}

    def test_no_key_leads_out_of_the_folder(self, converted: S3Client, capsys: Capture, tmp_path: Path) -> None:
        put(converted, DAY, "in/../../up.csv")
        call(capsys, "convert", IN, OUT, *SETTINGS)
        ended = call(capsys, "rejects", IN, OUT, "--export", tmp_path / "out" / "here")
        assert (ended.code, "cannot be a file's path" in ended.err) == (2, True)
        assert not list(tmp_path.rglob("up.csv"))

    def test_of_a_file_that_failed(self, s3: S3Client, capsys: Capture, tmp_path: Path) -> None:
        put(s3, TEXT)
        assert call(capsys, "convert", IN, OUT).code == 1
        place = tmp_path / "repair.csv"
        assert len(call(capsys, "rejects", IN, OUT, "--json").lines) == 4
        assert call(capsys, "rejects", f"{IN}day.csv", OUT, "--export", place).code == 0
        assert place.read_bytes().startswith(b'id;"a ;name"\n2\n')

    def test_of_a_local_file(self, capsys: Capture, tmp_path: Path) -> None:
        (tmp_path / "day.csv").write_bytes(DAY)
        call(capsys, "convert", tmp_path / "day.csv", tmp_path, *SETTINGS)
        rejects = tmp_path / "day.rejects.jsonl"
        assert len(call(capsys, "rejects", rejects).out.splitlines()) == 4
        assert call(capsys, "rejects", rejects, "--export", "x").code == 2
        rejects.write_text("{}\n")
        ended = call(capsys, "rejects", rejects)
        assert (ended.code, "the rejects are damaged: KeyError" in ended.err) == (1, True)

    def test_that_another_has_replaced(self, converted: S3Client, capsys: Capture) -> None:
        converted.put_object(Bucket=OUTPUT_BUCKET, Key=REJECTS, Body=b"{}\n")
        ended = call(capsys, "rejects", IN, OUT)
        assert (ended.code, "has the ETag" in ended.err) == (1, True)


class TestFailed:
    @pytest.fixture
    def failed(self, s3: S3Client, capsys: Capture) -> S3Client:
        put(s3, TEXT)
        put(s3, b"\x00\x01\xff", "in/no\x1btext.csv")
        put(s3, b"id,text\n1,fine\n", "in/fine.csv")
        assert call(capsys, "convert", IN, OUT).code == 1
        return s3

    def states(self, capsys: Capture, *arguments: str) -> dict[str, str]:
        lines = call(capsys, "failed", IN, OUT, *arguments, "--json").lines
        return {line["key"]: line["state"] for line in lines}

    def test_are_listed_with_their_reasons(self, failed: S3Client, capsys: Capture) -> None:
        before = standing(failed)
        ended = call(capsys, "failed", IN, OUT)
        lines = ended.out.splitlines()
        assert (ended.code, len(lines)) == (1, 2)
        assert lines[0].startswith(f"failed: {KEY}: 4 of 6 records are rejected")
        assert lines[1].startswith(r"failed: in/no\x1btext.csv: ")
        assert ended.err == "2 recorded, 2 of them stand as failed or changed\n"
        (told, _) = call(capsys, "failed", IN, OUT, "--json").lines
        assert (told["records"], told["error"]) == ({"read": 6, "written": 2, "rejected": 4}, "RejectedError")
        assert standing(failed) == before

    def test_are_tried_again(self, failed: S3Client, capsys: Capture) -> None:
        ended = call(capsys, "failed", IN, OUT, "--retry", *SETTINGS, "--json")
        assert ended.code == 1  # the other is no text whatever is set
        assert {one["key"]: one["outcome"] for one in ended.json["results"]} == {
            KEY: "converted",
            "in/no\x1btext.csv": "failed",
        }
        assert parquet_cells(standing(failed)["processed/day.parquet"]) == [("1", "one"), ("3", "three")]
        assert self.states(capsys) == {KEY: "converted", "in/no\x1btext.csv": "failed"}
        assert FAILED in standing(failed)  # nothing is deleted

    def test_what_has_come_of_them(self, failed: S3Client, capsys: Capture) -> None:
        put(failed, REPAIRED)
        failed.delete_object(Bucket=INPUT_BUCKET, Key="in/no\x1btext.csv")
        assert self.states(capsys) == {KEY: "changed", "in/no\x1btext.csv": "gone"}
        ended = call(capsys, "failed", IN, OUT, "--retry")
        assert (ended.code, "1 converted" in ended.err) == (0, True)
        assert csv_cells(REPAIRED.replace(b";", b","))  # it is one
        ended = call(capsys, "failed", IN, OUT)
        assert (ended.code, ended.out.splitlines()[0][:10]) == (0, "converted:")

    def test_one_that_is_damaged_is_said(self, failed: S3Client, capsys: Capture) -> None:
        failed.put_object(Bucket=OUTPUT_BUCKET, Key=FAILED, Body=b"{}")
        ended = call(capsys, "failed", IN, OUT)
        assert (ended.code, f"{FAILED} is damaged: KeyError" in ended.err) == (1, True)

    def test_nothing_has(self, s3: S3Client, capsys: Capture) -> None:
        assert s3.list_buckets()["Buckets"]
        ended = call(capsys, "failed", IN, OUT)
        assert (ended.code, ended.out, ended.err) == (0, "", "0 recorded, 0 of them stand as failed or changed\n")

    def test_no_permission(self, failed: S3Client, capsys: Capture) -> None:
        ended = call(capsys, "failed", "s3://no-such-bucket/in/", "s3://nor-such-another/out/")
        assert (ended.code, "404 NoSuchBucket" in ended.err) == (1, True)
        assert failed.list_buckets()["Buckets"]


def test_the_whole_is_accounted_for(converted: S3Client, capsys: Capture) -> None:
    """What was written and what was rejected is all that was read, by the listing, the manifest and verify."""
    counts: Any = call(capsys, "verify", f"{IN}day.csv", OUT, *SETTINGS, "--json").json
    rejected = len(call(capsys, "rejects", f"{IN}day.csv", OUT, "--json").lines)
    assert counts["records"] + rejected == 6
    assert converted.list_buckets()["Buckets"]


def test_nothing_is_said_of_sources_under_another_prefix(s3: S3Client, capsys: Capture) -> None:
    """With the same target: their manifests, rejects and failures stand beside those that are asked for."""
    put(s3, TEXT, "in/failing.csv")
    call(capsys, "convert", IN, OUT)
    put(s3, TEXT, "in/day.csv")
    call(capsys, "convert", f"{IN}day.csv", OUT, *SETTINGS)
    put(s3, b"id,text\n1,one\n", "elsewhere/other.csv")
    elsewhere = f"s3://{INPUT_BUCKET}/elsewhere/"
    call(capsys, "convert", elsewhere, OUT)
    assert call(capsys, "verify", elsewhere, OUT, "--json").json["objects"]["verified"] == 1
    assert call(capsys, "verify", elsewhere, OUT).code == 0
    assert call(capsys, "failed", elsewhere, OUT).out == ""
    assert call(capsys, "rejects", elsewhere, OUT).out == ""
    put(s3, TEXT, "elsewhere/day.csv")  # and one whose place is taken
    ended = call(capsys, "verify", elsewhere, OUT)
    assert (ended.code, "is that of s3://input-bucket/in/day.csv: was PREFIX another?" in ended.err) == (1, True)
