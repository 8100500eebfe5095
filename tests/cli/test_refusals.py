"""Every verb over S3 where S3 says no: which request it was, no traceback, and nothing written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from itertools import count
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


@pytest.mark.usefixtures("converted")
def test_no_permission_for_a_file(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    ended = call(capsys, "rejects", f"{IN}day.csv", OUT, "--export", tmp_path / "folder")
    assert (ended.code, ended.err) == (1, f"error: {tmp_path}/folder: Is a directory\n")


def test_keys_with_windows_line_ends(s3: S3Client, capsys: Capture, tmp_path: Path) -> None:
    put(s3, b"id,text\n1,one\n")
    (tmp_path / "keys").write_bytes(b"in/day.csv\r\n\r\n")
    assert call(capsys, "convert", IN, OUT, "--keys", tmp_path / "keys").code == 0
    assert len(standing(s3)) == 3


@pytest.mark.usefixtures("s3")
def test_keys_in_another_encoding(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes("in/é.csv\n".encode("latin-1"))
    ended = call(capsys, "convert", IN, OUT, "--keys", tmp_path / "keys")
    assert (ended.code, ended.err) == (2, f"error: --keys {tmp_path}/keys: it is not UTF-8\n")


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize("verb", ["plan", "convert", "verify", "rejects", "failed"])
def test_where_nothing_is_the_place_is_named(capsys: Capture, verb: str) -> None:
    """It may be mistyped."""
    ended = call(capsys, verb, f"{IN}mistyped/", OUT)
    assert (ended.code, f"{IN}mistyped/" in ended.err) == (0, True)


def test_ctrl_c_is_said_to_a_program_too(capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("csv_transcode.cli.schema.open_chunks", interrupted)
    ended = call(capsys, "schema", tmp_path / "day.csv", "--json")
    why = "interrupted: what was not finished has been taken back"
    assert (ended.code, ended.json, ended.err) == (130, {"error": why}, f"{why}\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_signals_that_end_a_process_leave_no_file(tmp_path: Path, number: signal.Signals) -> None:
    """In the middle of a conversion to local files, whose source is a pipe that nobody ends."""
    os.mkfifo(tmp_path / "day.csv")
    command = [sys.executable, "-m", "csv_transcode", "convert", str(tmp_path / "day.csv"), str(tmp_path / "out")]
    with (
        subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process,
        (tmp_path / "day.csv").open("wb", buffering=0) as source,
    ):
        end = time.monotonic() + SECONDS_MAX
        for number_of_record in count(1):
            source.write(b"%d,some text\n" % number_of_record * 4096)
            if list(tmp_path.glob("out/.*.partial")) or time.monotonic() > end:
                break
        assert list(tmp_path.glob("out/.*.partial"))
        process.send_signal(number)
        said = process.communicate(timeout=SECONDS_MAX)[1]
    assert (process.returncode, said.splitlines()[-1][:11]) == (130, "interrupted")
    assert not (tmp_path / "out").exists()


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
