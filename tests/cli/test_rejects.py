"""rejects and failed: what was set aside is listed, exported, repaired and converted; what failed is tried again."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.cli.commands import IN, OUT, call
from tests.conftest import INPUT_BUCKET, OUTPUT_BUCKET
from tests.standing import FAILED, KEY, REJECTS, parquet_cells, parquet_table, put, standing

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    Capture = pytest.CaptureFixture[str]

DAY: Final = b'id;"a ;name"\n1;one\n2\n3;three\n4;fo\x1bur;and\n5;\xff\n6'
TEXT: Final = DAY.replace(b"\xff", b"\x1b;")  # with which the encoding is not in doubt
REPAIRED: Final = b'id;"a ;name"\n2;two\n4;four\n5;five\n6;six\n'
SETTINGS: Final = ("--set", "MAX_REJECTED_RATIO=1")
FINE: Final = b"when,b\n2026-11-24T12:00:05.123456789,3\n"


def advice(said: str) -> list[str]:
    """Return the settings that an export says, as a shell would hand them over."""
    (line,) = [line for line in said.splitlines() if line.startswith("exported: ")]
    words = line.partition("; convert it with ")[2]
    shell = subprocess.run(["/bin/bash", "-c", f"printf '%s\\0' {words}"], capture_output=True, text=True, check=True)
    return shell.stdout.split("\0")[:-1]


@pytest.fixture
def converted(s3: S3Client, capsys: Capture) -> S3Client:
    put(s3, DAY)
    put(s3, b"id,text\n1,fine\n", "in/fine.csv")
    assert call(capsys, "convert", IN, OUT, *SETTINGS).code == 0
    return s3


class TestRejects:
    @pytest.mark.usefixtures("converted")
    def test_are_listed_with_their_place_and_reason(self, capsys: Capture) -> None:
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

    @pytest.mark.usefixtures("converted")
    def test_of_an_object_without_any(self, capsys: Capture) -> None:
        ended = call(capsys, "rejects", f"{IN}fine.csv", OUT)
        assert (ended.code, ended.out) == (0, "")
        ended = call(capsys, "rejects", f"{IN}none.csv", OUT)
        assert (ended.code, "it is not converted" in ended.err) == (1, True)

    @pytest.mark.usefixtures("converted")
    def test_are_exported_repaired_and_converted(self, capsys: Capture, tmp_path: Path) -> None:
        place = tmp_path / "repair.csv"
        ended = call(capsys, "rejects", f"{IN}day.csv", OUT, "--export", place)
        assert place.read_bytes() == b'id;"a ;name"\n2\n4;fo\x1bur;and\n5;\xff\n6\n'
        assert "--set ENCODING=utf-8 --set 'DELIMITER=;'" in ended.err
        place.write_bytes(REPAIRED)
        assert call(capsys, "convert", place, tmp_path, *advice(ended.err)).code == 0
        repaired = parquet_cells((tmp_path / "repair.parquet").read_bytes())
        assert repaired == [("2", "two"), ("4", "four"), ("5", "five"), ("6", "six")]

    @pytest.mark.parametrize(
        "case",
        [
            (b"zip,n\n02134,1\n10002\n", (), b"zip,n\n10002,2\n", [("10002", "2")]),
            (b"a,b;c\nx,y\nz\n", ("DELIMITER=,",), b"a,b;c\n1,2;2\n", [("1", "2;2")]),
            (b'a,b\n"x",y\nz\n', ("QUOTE_CHAR=none",), b'a,b\n"x",2\n', [('"x"', "2")]),
            (b"a\tb\nNA\ty\nz\n", ('NULL_VALUES=["NA"]',), b"a\tb\nNA\t7\n", [("None", "7")]),
            (b"a;b\n1,50;x\n2\n", ("DECIMAL_SEPARATOR=,",), b"a;b\n2,25;1\n", [("2.25", "1")]),
            (b"a;b\n'it\\'s';x\nz\n", ("QUOTE_CHAR='", "ESCAPE_CHAR=\\"), b"a;b\n'o\\'c';1\n", [("o'c", "1")]),
            (b"1,x\n2,y\n3\n", ("HEADER=false",), b"2,3\n", [("2", "3")]),
            (
                b"when,b\n2026-11-23T12:00:05.123456789,x\n2\n",
                ("NANOSECONDS=true",),
                FINE,
                [(FINE[7:36].decode().replace("T", " "), "3")],
            ),
            (b"it's,a,a\n17.00,x,y\n2\n", (), b"it's,a,a_2\n3.25,4,5\n", [("3.25", "4", "5")]),
            (b"a\x1fb\nx\x1fy\nz\n", ("DELIMITER=\x1f",), b"a\x1fb\n1\x1f2\n", [("1", "2")]),
        ],
    )
    def test_become_the_types_of_their_table(
        self, s3: S3Client, capsys: Capture, tmp_path: Path, case: tuple[bytes, tuple[str, ...], bytes, Any]
    ) -> None:
        """By the settings that are said, whatever the few repaired records look like by themselves."""
        content, settings, repaired, cells = case
        put(s3, content)
        given = [argument for setting in settings for argument in ("--set", setting)]
        assert call(capsys, "convert", IN, OUT, *SETTINGS, *given).code == 0
        place = tmp_path / "repair.csv"
        ended = call(capsys, "rejects", f"{IN}day.csv", OUT, "--export", place)
        header = repaired.splitlines(keepends=True)[0] if "HEADER=false" not in settings else b""
        assert place.read_bytes().startswith(header)
        place.write_bytes(repaired)
        assert call(capsys, "convert", place, tmp_path, *advice(ended.err)).code == 0
        made = (tmp_path / "repair.parquet").read_bytes()
        assert parquet_table(made).schema == parquet_table(standing(s3)["processed/day.parquet"]).schema
        assert parquet_cells(made) == cells

    @pytest.mark.usefixtures("converted")
    def test_no_file_is_overwritten(self, capsys: Capture, tmp_path: Path) -> None:
        place = tmp_path / "repair.csv"
        place.write_bytes(REPAIRED)
        ended = call(capsys, "rejects", f"{IN}day.csv", OUT, "--export", place)
        assert (ended.code, ended.err) == (2, f"error: {place} stands: remove it, or name another\n")
        assert place.read_bytes() == REPAIRED

    def test_no_file_of_a_folder_is_overwritten_and_none_written(
        self, converted: S3Client, capsys: Capture, tmp_path: Path
    ) -> None:
        put(converted, DAY, "in/also.csv")
        call(capsys, "convert", IN, OUT, *SETTINGS)
        (tmp_path / "day.csv").write_bytes(REPAIRED)
        ended = call(capsys, "rejects", IN, OUT, "--export", tmp_path)
        assert (ended.code, "day.csv stands" in ended.err) == (2, True)
        assert [path.name for path in tmp_path.iterdir()] == ["day.csv"]
        assert (tmp_path / "day.csv").read_bytes() == REPAIRED

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

    @pytest.mark.parametrize("versioned", [False, True])
    def test_of_a_file_that_failed_and_has_changed_since(
        self, s3: S3Client, capsys: Capture, tmp_path: Path, *, versioned: bool
    ) -> None:
        """The header is that of the version whose records they are, or there is none to be had."""
        if versioned:
            s3.put_bucket_versioning(Bucket=INPUT_BUCKET, VersioningConfiguration={"Status": "Enabled"})
        put(s3, TEXT)
        assert call(capsys, "convert", IN, OUT).code == 1
        put(s3, b"other,names,of,columns\n1,2,3,4\n")
        assert len(call(capsys, "rejects", IN, OUT, "--json").lines) == 4  # which takes no header
        place = tmp_path / "repair.csv"
        ended = call(capsys, "rejects", f"{IN}day.csv", OUT, "--export", place)
        if versioned:
            assert (ended.code, "'DELIMITER=;'" in ended.err) == (0, True)
            assert place.read_bytes().startswith(b'id;"a ;name"\n2\n')
        else:
            assert (ended.code, "the source has changed since: " in ended.err) == (1, True)
            assert not place.exists()

    def test_of_a_file_that_failed_under_other_settings(self, s3: S3Client, capsys: Capture, tmp_path: Path) -> None:
        put(s3, TEXT)
        assert call(capsys, "convert", IN, OUT).code == 1
        export = ("rejects", f"{IN}day.csv", OUT, "--export", tmp_path / "repair.csv")
        assert "failed under other settings" in call(capsys, *export, "--set", "HEADER=false").err
        (tmp_path / "repair.csv").unlink()
        assert "failed under other settings" not in call(capsys, *export).err

    def test_of_a_local_file(self, capsys: Capture, tmp_path: Path) -> None:
        (tmp_path / "day.csv").write_bytes(DAY)
        call(capsys, "convert", tmp_path / "day.csv", tmp_path, *SETTINGS)
        rejects = tmp_path / "day.rejects.jsonl"
        assert len(call(capsys, "rejects", rejects).out.splitlines()) == 4
        assert call(capsys, "rejects", rejects, "--export", "x").code == 2
        rejects.write_text("{}\n")
        ended = call(capsys, "rejects", rejects)
        assert (ended.code, "the rejects are damaged: KeyError" in ended.err) == (1, True)

    @pytest.mark.parametrize(
        ("key", "damage"),
        [
            (REJECTS, (b"{}\n", "has the ETag")),
            (FAILED, (b"{bad", "is damaged: JSONDecodeError")),
        ],
    )
    def test_of_one_key_that_cannot_be_read_stop_no_other(
        self, converted: S3Client, capsys: Capture, tmp_path: Path, key: str, damage: tuple[bytes, str]
    ) -> None:
        content, why = damage
        put(converted, DAY, "in/later.csv")
        call(capsys, "convert", IN, OUT, *SETTINGS)
        converted.put_object(Bucket=OUTPUT_BUCKET, Key=key, Body=content)
        ended = call(capsys, "rejects", IN, OUT)
        said = [line for line in ended.err.splitlines() if line.startswith(f"error: {KEY}: ") and why in line]
        assert (ended.code, len(said)) == (1, 1)
        assert [line.partition(":")[0] for line in ended.out.splitlines()] == ["in/later.csv"] * 4
        lines = call(capsys, "rejects", IN, OUT, "--json").lines
        assert (len(lines), lines[0].keys()) == (5, {"key", "error"})
        ended = call(capsys, "rejects", IN, OUT, "--export", tmp_path / "out", "--json")
        assert (ended.code, ended.json) == (1, {"files": 1, "records": 4, "errors": [KEY]})
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["later.csv"]


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
        ended = call(capsys, "failed", IN, OUT)
        assert (ended.code, ended.out.splitlines()[0][:10]) == (0, "converted:")

    def test_one_that_is_damaged_is_said_and_the_others_go_on(self, failed: S3Client, capsys: Capture) -> None:
        failed.put_object(Bucket=OUTPUT_BUCKET, Key=FAILED, Body=b"{bad")
        ended = call(capsys, "failed", IN, OUT)
        assert (ended.code, f"error: {KEY}: s3://{OUTPUT_BUCKET}/{FAILED} is damaged: JSON" in ended.err) == (1, True)
        assert ended.out.startswith(r"failed: in/no\x1btext.csv: ")
        assert set(call(capsys, "failed", IN, OUT, "--json").lines[0]) == {"key", "error"}

    def test_one_that_is_damaged_stops_no_retry(self, failed: S3Client, capsys: Capture) -> None:
        put(failed, REPAIRED, "in/no\x1btext.csv")
        failed.put_object(Bucket=OUTPUT_BUCKET, Key=FAILED, Body=b"{bad")
        ended = call(capsys, "failed", IN, OUT, "--retry", "--json")
        assert (ended.code, ended.json["files"]["converted"]) == (1, 1)

    @pytest.mark.usefixtures("s3")
    def test_nothing_has(self, capsys: Capture) -> None:
        ended = call(capsys, "failed", IN, OUT)
        assert (ended.code, ended.out, ended.err) == (
            0,
            "",
            f"0 recorded, 0 of them stand as failed or changed: {IN}\n",
        )

    @pytest.mark.usefixtures("failed")
    def test_no_permission(self, capsys: Capture) -> None:
        ended = call(capsys, "failed", "s3://no-such-bucket/in/", "s3://nor-such-another/out/")
        assert (ended.code, "404 NoSuchBucket" in ended.err) == (1, True)


@pytest.mark.usefixtures("converted")
def test_the_whole_is_accounted_for(capsys: Capture) -> None:
    """What was written and what was rejected is all that was read, by the listing, the manifest and verify."""
    counts: Any = call(capsys, "verify", f"{IN}day.csv", OUT, *SETTINGS, "--json").json
    rejected = len(call(capsys, "rejects", f"{IN}day.csv", OUT, "--json").lines)
    assert counts["records"] + rejected == 6


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
