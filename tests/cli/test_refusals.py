"""Every verb over S3 where S3 says no: which request it was, no traceback, and nothing written."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.cli.commands import IN, OUT, call, listen
from tests.s3.faults import _error_answer
from tests.standing import put, standing

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    Capture = pytest.CaptureFixture[str]

ROOT: Final = Path(__file__).parents[2]
DAY: Final = b"id,text\n1,one\n1,two,three\n"
SETTINGS: Final = ("--set", "MAX_REJECTED_RATIO=1")
SECONDS_MAX: Final = 60
# verb, and the operation that is refused to it
REFUSED: Final = [
    ("plan", "ListObjectsV2"),
    ("plan", "GetObject"),
    ("plan", "HeadObject"),
    ("convert", "ListObjectsV2"),
    ("convert", "GetObject"),
    ("convert", "PutObject"),
    ("verify", "ListObjectsV2"),
    ("verify", "GetObject"),
    ("verify", "HeadObject"),
    ("rejects", "ListObjectsV2"),
    ("rejects", "GetObject"),
    ("failed", "ListObjectsV2"),
    ("failed", "GetObject"),
    ("failed", "HeadObject"),
]


@pytest.fixture
def converted(s3: S3Client, capsys: Capture) -> S3Client:
    """Return a bucket with something to list for every verb."""
    put(s3, DAY, "in/failing.csv")
    assert call(capsys, "convert", IN, OUT).code == 1
    put(s3, DAY)
    assert call(capsys, "convert", f"{IN}day.csv", OUT, *SETTINGS).code == 0
    return s3


@pytest.mark.parametrize(("verb", "operation"), REFUSED)
def test_no_permission(
    converted: S3Client, capsys: Capture, monkeypatch: pytest.MonkeyPatch, verb: str, operation: str
) -> None:
    before = standing(converted)

    def refuse(request: Any, **_: object) -> Any:
        return _error_answer(request.url, 403, "AccessDenied")

    with monkeypatch.context() as patch:
        listen(patch, f"before-send.s3.{operation}", refuse)
        ended = call(capsys, verb, IN, OUT, *SETTINGS, *(["--force"] if verb == "convert" else []))
    assert ended.code == 1
    assert f"{operation} s3://" in ended.err
    assert "403" in ended.err
    assert "Traceback" not in ended.err
    if verb != "convert":  # which records why a file has failed
        assert standing(converted) == before


@pytest.mark.parametrize("place", ["SOURCE", "--export"])
def test_no_permission_for_a_file(converted: S3Client, capsys: Capture, tmp_path: Path, place: str) -> None:
    assert converted.list_buckets()["Buckets"]
    (tmp_path / "folder").mkdir()
    arguments = {
        "SOURCE": ("schema", tmp_path / "folder"),
        "--export": ("rejects", f"{IN}day.csv", OUT, "--export", tmp_path / "folder"),
    }
    ended = call(capsys, *arguments[place])
    assert (ended.code, ended.err) == (1, f"error: {tmp_path}/folder: Is a directory\n")


def test_keys_from_standard_input_and_a_report_for_programs(
    s3: S3Client, capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("a", "b", "c"):
        put(s3, b"id,text\n1,one\n", f"in/{name}.csv")
    keys = tmp_path / "keys"
    keys.write_text("in/a.csv\nin/c.csv\nin/a.csv\n")
    with keys.open() as lines:
        monkeypatch.setattr("sys.stdin", lines)
        report = call(capsys, "convert", IN, OUT, "--keys", "-", "--json").json
    assert (report["statusCode"], report["files"]["converted"]) == (200, 2)
    assert [one["key"] for one in report["results"]] == ["in/a.csv", "in/c.csv"]
    assert call(capsys, "convert", f"{IN}a.csv", OUT, "--keys", keys).code == 2


@pytest.mark.integration
def test_the_signal_that_ends_a_container_is_heard(seaweed_s3: S3Client) -> None:
    """In the middle of a sweep: what has been begun is whole, or nothing of it is there."""
    for number in range(40):
        put(seaweed_s3, b"id,text\n" + b"1,one\n" * 50_000, f"in/{number}.csv")
    command = [sys.executable, "-m", "csv_transcode", "convert", IN, OUT, "--set", "MAX_WORKERS=1"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        end = time.monotonic() + SECONDS_MAX
        while not standing(seaweed_s3) and time.monotonic() < end:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=SECONDS_MAX)[1]
    assert process.returncode == 130
    assert said.endswith("interrupted: what was not finished has been taken back\n")
    keys = set(standing(seaweed_s3))
    assert 0 < len(keys) < 3 * 40
    assert len(keys) == 3 * sum("/_manifests/" in key for key in keys)
