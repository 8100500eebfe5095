"""plan: what convert would do, which it then does; and nothing is written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest

from tests.cli.commands import IN, OUT, call
from tests.conftest import INPUT_BUCKET
from tests.standing import put, standing

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    Capture = pytest.CaptureFixture[str]

DAY: Final = b"id,text\n1,one\n2,two\n"


@pytest.fixture
def sources(s3: S3Client, capsys: Capture) -> S3Client:
    """Return a bucket of which one object stands converted, two do not, and two are no sources."""
    put(s3, DAY, "in/done.csv")
    call(capsys, "convert", IN, OUT)
    for key in ("in/a.csv", "in/b\x1b.csv", "in/readme.md", "in/folder/"):
        put(s3, DAY, key)
    return s3


def test_a_prefix_and_then_it_is_so(sources: S3Client, capsys: Capture) -> None:
    before = standing(sources)
    planned = call(capsys, "plan", IN, OUT, "--json")
    assert standing(sources) == before
    assert planned.code == 0
    assert planned.json["objects"] == {"planned": 2, "skipped": 3, "failed": 0}
    assert planned.json["bytes"] == 2 * len(DAY)
    assert planned.json["skipped"] == {
        "converted already, from this version and settings": 1,
        "its suffix is not one of a CSV source": 1,
        "a folder marker (ends in /)": 1,
    }
    keys = {one["key"] for one in planned.json["results"] if one["outcome"] == "planned"}
    done = call(capsys, "convert", IN, OUT, "--json").json
    assert (
        {one["key"] for one in done["results"] if one["outcome"] == "converted"} == keys == {"in/a.csv", "in/b\x1b.csv"}
    )
    assert call(capsys, "plan", IN, OUT, "--json").json["objects"]["planned"] == 0


def test_the_table(sources: S3Client, capsys: Capture) -> None:
    assert standing(sources)
    ended = call(capsys, "plan", IN, OUT)
    lines = ended.out.splitlines()
    assert lines[:3] == ["bytes  would be converted", "   20  in/a.csv", r"   20  in/b\x1b.csv"]
    assert "1 skipped: its suffix is not one of a CSV source" in lines
    assert re.fullmatch(r"2 objects would be converted, 0\.0 MB, in about \d+ s", lines[-1])
    assert ended.err == ""


def test_some_keys_and_all_of_many(s3: S3Client, capsys: Capture, tmp_path: Path) -> None:
    for number in range(60):
        put(s3, DAY, f"in/{number:02}.csv")
    assert "and 10 more (--all lists them)" in call(capsys, "plan", IN, OUT).out
    assert "more (--all" not in call(capsys, "plan", IN, OUT, "--all").out
    keys = tmp_path / "keys.txt"
    keys.write_text("in/07.csv\nin/none.csv\n")
    ended = call(capsys, "plan", IN, OUT, "--keys", keys, "--json")
    assert (ended.code, ended.json["objects"]) == (1, {"planned": 1, "skipped": 0, "failed": 1})
    assert "failed: in/none.csv: there is no such object" in ended.err


def test_force_and_the_rate(sources: S3Client, capsys: Capture) -> None:
    put(sources, b"id,text\n" + b"1,one\n" * 500_000, "in/large.csv")
    slow, fast = (call(capsys, "plan", IN, OUT, "--force", "--json", "--rate", rate).json for rate in ("1", "10"))
    assert (slow["objects"]["planned"], slow["bytes"]) == (4, 3 * len(DAY) + 3_000_008)
    assert slow["seconds"] == pytest.approx(fast["seconds"] + 3 - 0.3, abs=0.11)
    assert slow["seconds"] == pytest.approx(3 + 0.25, abs=0.06)  # four objects, all at once
    assert call(capsys, "plan", IN, OUT, "--rate", "0").code == 2


def test_what_cannot_be_planned(s3: S3Client, capsys: Capture) -> None:
    assert s3.list_buckets()["Buckets"]
    ended = call(capsys, "plan", "s3://no-such-bucket/in/", OUT, "--json")
    assert (ended.code, "404 NoSuchBucket" in ended.json["error"]) == (1, True)
    for source, target in (("day.csv", OUT), (IN, "out"), (IN, f"s3://{INPUT_BUCKET}/in/")):
        assert call(capsys, "plan", source, target).code == 2
