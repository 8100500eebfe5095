"""The command line as a terminal has it: a bar that moves, Ctrl-C from the keyboard, pipes that close."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import random
import re
import shutil
import subprocess
import sys
import termios
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.cli.commands import IN, OUT, call
from tests.conftest import INPUT_BUCKET
from tests.standing import standing, uploads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mypy_boto3_s3 import S3Client

    Capture = pytest.CaptureFixture[str]

ROOT: Final = Path(__file__).parents[2]
COMMAND: Final = (sys.executable, "-m", "csv_transcode")
CTRL_C: Final = b"\x03"
SECONDS_MAX: Final = 60
OBJECTS: Final = 8
PART_BYTES: Final = 5 << 20


class Terminal:
    """What a person sees of a command, and types to it."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process = process
        self._master = master
        self._pieces: list[bytes] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def seen(self) -> str:
        return b"".join(self._pieces).decode()

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def ended(self) -> int:
        code = self.process.wait(SECONDS_MAX)
        self._reader.join(SECONDS_MAX)
        return code

    def _read(self) -> None:
        while True:
            try:
                piece = os.read(self._master, 65536)
            except OSError:  # how Linux says that nobody writes any more
                return
            if not piece:
                return
            self._pieces.append(piece)


@contextmanager
def terminal(*arguments: object) -> Iterator[Terminal]:
    """Run the command line as the foreground job of a terminal of its own."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        cwd=ROOT,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 -- Ctrl-C is for who controls it
    )
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        process.kill()
        process.wait()
        os.close(master)


def wait_for(holds: Callable[[], object]) -> None:
    end = time.monotonic() + SECONDS_MAX
    while time.monotonic() < end:
        if holds():
            return
        time.sleep(0.02)
    pytest.fail("waited in vain")


def put_large(client: S3Client) -> None:
    """Put objects whose outputs take several parts each."""
    chance = random.Random(17)
    lines = b"".join(b"%d,%s\n" % (number, chance.randbytes(256).hex().encode()) for number in range(20_000))
    client.put_object(Bucket=INPUT_BUCKET, Key="in/0.csv", Body=b"id,text\n" + lines)
    for number in range(1, OBJECTS):
        client.copy_object(Bucket=INPUT_BUCKET, Key=f"in/{number}.csv", CopySource=f"{INPUT_BUCKET}/in/0.csv")


@pytest.mark.integration
def test_ctrl_c_in_the_middle_leaves_nothing_half_done(seaweed_s3: S3Client, capsys: Capture) -> None:
    put_large(seaweed_s3)
    settings = ("--set", "MAX_WORKERS=2", "--set", f"PART_BYTES_MAX={PART_BYTES}")
    with terminal("convert", IN, OUT, *settings) as shown:
        wait_for(lambda: uploads(seaweed_s3))  # something is half done now
        shown.type(CTRL_C)
        code = shown.ended()
    lines = re.split(r"\r\n|\r\x1b\[K", shown.seen)
    assert code == 130, shown.seen
    assert any(re.fullmatch(r"[█░]{24} +\d+% of 83 MB, \S+ \w+ left, [\d,]+ MB/s", line) for line in lines), lines
    assert any(line.startswith("deferred: in/") and line.endswith(": interrupted") for line in lines)
    assert lines[-2] == "interrupted: what was not finished has been taken back"
    assert uploads(seaweed_s3) == []
    manifests = [json.loads(body) for key, body in standing(seaweed_s3).items() if "/_manifests/" in key]
    assert len(manifests) < OBJECTS
    assert {manifest["state"] for manifest in manifests} <= {"committed"}
    assert len(standing(seaweed_s3)) == 3 * len(manifests)  # nothing but whole conversions
    assert call(capsys, "plan", IN, OUT, "--json").json["objects"]["planned"] == OBJECTS - len(manifests)


def test_ctrl_c_while_a_local_source_is_looked_at(tmp_path: Path) -> None:
    pipe = tmp_path / "day.csv"
    os.mkfifo(pipe)
    with terminal("schema", pipe) as shown, pipe.open("wb") as out:
        out.write(b"id,text\n" + b"1,one\n" * 1000)
        out.flush()
        wait_for(lambda: "MB/s" in shown.seen)
        shown.type(CTRL_C)
        assert shown.ended() == 130
    assert shown.seen.endswith("interrupted: what was not finished has been taken back\r\n")


class TestPipes:
    @pytest.fixture
    def rejects(self, tmp_path: Path, capsys: Capture) -> Path:
        source = tmp_path / "day.csv"
        source.write_bytes(b"id,text\n" + b"1,one\n1,one,and more\n" * 10_000)
        assert call(capsys, "convert", source, tmp_path, "--set", "MAX_REJECTED_RATIO=1").code == 0
        return tmp_path / "day.rejects.jsonl"

    @pytest.mark.parametrize("options", [[], ["--json"]])
    def test_head_ends_it_quietly(self, rejects: Path, options: Sequence[str]) -> None:
        ran = shell(f'"$@" rejects {rejects} {" ".join(options)} | head -2; echo "${{PIPESTATUS[0]}}"')
        assert (len(ran.stdout.splitlines()), ran.stdout.splitlines()[-1], ran.stderr) == (3, "141", "")

    def test_a_short_result_that_nobody_reads(self, rejects: Path) -> None:
        ran = shell(f'"$@" rejects {rejects} --quiet | true; echo "${{PIPESTATUS[0]}}"')
        assert (ran.stdout, ran.stderr) == ("141\n", "")

    def test_work_goes_on_where_nobody_reads_what_it_says(self, rejects: Path) -> None:
        source, out = rejects.with_name("day.csv"), rejects.with_name("out")
        ran = shell(f'{{ sleep 0.3; "$@" convert {source} {out} --set MAX_REJECTED_RATIO=1; }} 2>&1 | true')
        assert (ran.stdout, ran.stderr) == ("", "")
        assert {path.name for path in out.iterdir()} == {"day.parquet", "day.avro", "day.rejects.jsonl"}


def shell(script: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which ``"$@"`` is the command line."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash, which tells how each part of a pipe has ended")
    command = [bash, "-c", script, "bash", *COMMAND]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=SECONDS_MAX)


def test_without_a_terminal_long_work_has_plain_lines(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("csv_transcode.cli.screen.PLAIN_SECONDS", -1.0)  # as if each chunk had taken as long
    source = tmp_path / "day.csv"
    source.write_bytes(b"id,text\n" + b"1,one\n" * 400_000)
    said = call(capsys, "schema", source).err.splitlines()
    assert len(said) >= 3
    assert all(re.fullmatch(r" *\d+% of 2 MB, \d+ s left, [\d,]+ MB/s", line) for line in said), said


def test_where_only_ascii_can_be_said_the_bar_is_ascii(tmp_path: Path) -> None:
    source = tmp_path / "day.csv"
    source.write_bytes(b"id,text\n" + b"1,one\n" * 400_000)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONIOENCODING", "ascii")
        with terminal("schema", source) as shown:
            assert shown.ended() == 0
    assert re.search(r"\r\x1b\[K[#.]{24} +\d+% of 2 MB", shown.seen)
