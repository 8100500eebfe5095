"""The command line: what it writes, what it says, how it ends."""

from __future__ import annotations

import logging
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import botocore.handlers
import pytest

from csv_transcode import __version__
from csv_transcode.__main__ import EPILOG, _parser, main
from csv_transcode.settings import variables
from tests.conftest import INPUT_BUCKET, OUTPUT_BUCKET
from tests.standing import avro_records, manifest, parquet_table, put, require_truth, standing, uploads

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3 import S3Client

ROOT: Final = Path(__file__).parent.parent
DAY: Final = b"id,text\n1,one\n2,two\n"
ROWS: Final = [{"id": 1, "text": "one"}, {"id": 2, "text": "two"}]
BAD: Final = b"id,text\n1,one\n2,two,and more\n"
WHY: Final = "record 2 (line 3, byte 14): 3 fields, header has 2"
IN: Final = f"s3://{INPUT_BUCKET}/in/"
OUT: Final = f"s3://{OUTPUT_BUCKET}/out/"
SECONDS_MAX: Final = 60


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in variables():
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "day.csv"
    path.write_bytes(DAY)
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "out"


def convert(*arguments: object) -> int:
    return main(["convert", *map(str, arguments)])


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


class TestLocalFiles:
    def test_both_formats_beside_each_other(
        self, source: Path, target: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert convert(source, target) == 0
        written = files(target)
        assert set(written) == {"day.parquet", "day.avro"}
        assert parquet_table(written["day.parquet"]).to_pylist() == avro_records(written["day.avro"]) == ROWS
        said = capsys.readouterr()
        assert re.match(
            r"converted: day\.csv: 2 records in \d+\.\d s, \d+ MB/s: .*day\.parquet \d+ bytes, .*", said.err
        )
        assert said.out == ""
        assert "\x1b" not in said.err

    @pytest.mark.parametrize(
        ("name", "stem"), [("day.csv", "day"), ("day.CSV", "day.CSV"), ("day.txt", "day.txt"), ("a b%+ä.csv", "a b%+ä")]
    )
    def test_names_are_those_of_a_key(self, tmp_path: Path, target: Path, name: str, stem: str) -> None:
        (tmp_path / name).write_bytes(DAY)
        assert convert(tmp_path / name, target) == 0
        assert set(files(target)) == {f"{stem}.parquet", f"{stem}.avro"}

    def test_a_folder_is_made_where_there_is_none(self, source: Path, target: Path) -> None:
        assert convert(source, target / "a" / "b") == 0
        assert set(files(target / "a" / "b")) == {"day.parquet", "day.avro"}

    def test_what_stands_there_is_replaced(self, source: Path, target: Path) -> None:
        target.mkdir()
        (target / "day.parquet").write_bytes(b"of old")
        assert convert(source, target) == 0
        assert parquet_table(files(target)["day.parquet"]).num_rows == 2

    @pytest.mark.parametrize("earlier", [False, True], ids=["nothing before", "an earlier conversion"])
    def test_a_bad_file_names_record_and_line_and_leaves_what_was_there(
        self, source: Path, target: Path, capsys: pytest.CaptureFixture[str], *, earlier: bool
    ) -> None:
        if earlier:
            convert(source, target)
        before_it = files(target)
        source.write_bytes(BAD)
        capsys.readouterr()
        assert convert(source, target) == 1
        assert capsys.readouterr().err == f"error: {source}: {WHY}\n"
        assert files(target) == before_it

    def test_a_late_bad_record_leaves_nothing_either(
        self, source: Path, target: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lines = ["id,text", *(f"{number},{'x' * 1000}" for number in range(12_000)), "1"]
        source.write_text("\n".join(lines))
        assert convert(source, target) == 1
        assert "record 12001 (line 12002" in capsys.readouterr().err
        assert files(target) == {}

    def test_a_late_contradiction_asks_for_a_second_pass_and_leaves_nothing_of_the_first(
        self, source: Path, target: Path
    ) -> None:
        cells = [*(str(number) for number in range(6000)), "n/a"]
        source.write_text("\n".join(["id,text", *(f"{cell},{'x' * 1000}" for cell in cells)]))
        assert convert(source, target) == 0
        written = files(target)
        assert set(written) == {"day.parquet", "day.avro"}
        assert parquet_table(written["day.parquet"])["id"].to_pylist() == cells

    def test_an_empty_file_is_skipped(self, source: Path, target: Path, capsys: pytest.CaptureFixture[str]) -> None:
        source.write_bytes(b"")
        assert convert(source, target) == 0
        assert capsys.readouterr().err == "skipped: day.csv is empty: it holds no record, and no header\n"
        assert files(target) == {}

    @pytest.mark.parametrize(
        ("source_name", "target_name"),
        [("none.csv", "out"), (".", "out"), ("day.csv", "day.csv"), ("day.csv", "day.csv/below")],
    )
    def test_files_that_are_not_what_they_should_be(
        self,
        source: Path,
        capsys: pytest.CaptureFixture[str],
        source_name: str,
        target_name: str,
    ) -> None:
        folder = source.parent
        assert convert(folder / source_name, folder / target_name) == 1
        said = capsys.readouterr().err
        assert said.startswith("error: ")
        assert "Traceback" not in said
        assert source.read_bytes() == DAY
        assert not list(folder.rglob("*.partial"))


class TestSettings:
    def test_of_the_command_line(self, source: Path, target: Path) -> None:
        types = 'COLUMN_TYPES={"id": "string"}'
        assert convert(source, target, "--set", "OUTPUT_FORMATS=parquet", "--set", types) == 0
        assert parquet_table(files(target)["day.parquet"])["id"].to_pylist() == ["1", "2"]
        assert set(files(target)) == {"day.parquet"}

    def test_of_the_environment_and_the_command_line_wins(
        self, source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TYPES", "string")
        monkeypatch.setenv("OUTPUT_FORMATS", "avro")
        assert convert(source, target, "--set", "OUTPUT_FORMATS=parquet") == 0
        assert parquet_table(files(target)["day.parquet"])["id"].to_pylist() == ["1", "2"]

    @pytest.mark.parametrize(
        ("arguments", "why"),
        [
            (["day.csv", "out", "--set", "AVRO_CODEC=lzma"], "AVRO_CODEC='lzma'"),
            (["day.csv", "out", "--set", "AVRO_CODECS=null"], "--set AVRO_CODECS: there is no such setting"),
            (["day.csv", "out", "--set", "avro_codec=null"], "--set avro_codec: there is no such setting"),
            (["day.csv", "out", "--set", "AVRO_CODEC"], "--set takes NAME=VALUE, found 'AVRO_CODEC'"),
            (["day.csv", "out", "--set", "HEADER=auto"], "not supported yet"),
            (["day.csv", "out", "--set", "PREFIX=in/"], "--set PREFIX: SOURCE and TARGET say it"),
            ([IN, OUT, "--set", "PREFIX=in/"], "--set PREFIX: SOURCE and TARGET say it"),
            ([IN, OUT, "--set", "OUTPUT_BUCKET=another"], "--set OUTPUT_BUCKET: SOURCE and TARGET say it"),
            (["day.csv", "out", "--force"], "--force and --dry-run are for S3 targets"),
            (["day.csv", OUT], "a local file cannot be converted into S3"),
            ([IN, "out"], "a prefix cannot be converted to local files"),
            ([f"s3://{INPUT_BUCKET}", "out"], "a prefix cannot be converted to local files"),
            ([IN, f"s3://{INPUT_BUCKET}/in/out/"], "overlaps PREFIX='in/'"),
            ([IN, f"s3://{INPUT_BUCKET}"], "overlaps PREFIX='in/'"),
            ([IN, "s3://"], "OUTPUT_BUCKET"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else None,
    )
    def test_wrong_ones_end_with_two(
        self, arguments: list[str], why: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        with pytest.MonkeyPatch.context() as environment:
            environment.chdir(tmp_path)
            assert convert(*arguments) == 2
        assert why in capsys.readouterr().err
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("arguments", [[], ["convert"], ["convert", "a"], ["convert", "a", "b", "--what"], ["x"]])
    def test_no_command_at_all_ends_with_two(self, arguments: list[str]) -> None:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2


class TestObjects:
    def test_one_object_by_the_commit_protocol(self, s3: S3Client, capsys: pytest.CaptureFixture[str]) -> None:
        put(s3, DAY)
        assert convert(f"{IN}day.csv", OUT) == 0
        assert set(standing(s3)) == {"out/_manifests/day.csv.json", "out/day.avro", "out/day.parquet"}
        assert require_truth(s3, DAY) == {"out/_manifests/day.csv.json": "committed"}
        said = capsys.readouterr().err.splitlines()
        assert re.fullmatch(r"converted: in/day\.csv, 2 records in \d+\.\d s", said[0])
        assert re.fullmatch(r"1 converted; 2 records in \d+\.\d s", said[1])
        assert convert(f"{IN}day.csv", OUT) == 0
        assert capsys.readouterr().err.startswith("skipped: in/day.csv: converted already")
        assert convert(f"{IN}day.csv", OUT, "--force") == 0
        assert capsys.readouterr().err.startswith("converted: in/day.csv")

    def test_every_object_under_a_prefix(
        self, s3: S3Client, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in (None, "csv_transcode"):  # as in a process that has set up no log: pytest has
            monkeypatch.setattr(logging.getLogger(name), "handlers", [])
        for name in ("a", "b/c"):
            put(s3, DAY, f"in/{name}.csv")
        put(s3, BAD, "in/bad.csv")
        put(s3, DAY, "elsewhere.csv")
        assert convert(IN, OUT) == 1
        said = capsys.readouterr().err.splitlines()
        assert f"failed: in/bad.csv: {WHY}" in said
        assert said[-1].startswith("2 converted, 1 failed; 4 records in ")
        assert len(said) == 4  # and no line of the log's own
        assert set(standing(s3)) == {
            *(f"out/{name}.{form}" for name in ("a", "b/c") for form in ("parquet", "avro")),
            *("out/_manifests/a.csv.json", "out/_manifests/b/c.csv.json", "out/_failed/bad.csv.json"),
        }

    def test_a_dry_run_writes_nothing(self, s3: S3Client, capsys: pytest.CaptureFixture[str]) -> None:
        put(s3, DAY)
        assert convert(IN, OUT, "--dry-run") == 0
        assert capsys.readouterr().err.startswith("planned: in/day.csv\n1 planned;")
        assert standing(s3) == {}

    @pytest.mark.parametrize(
        ("url", "prefix"),
        [
            (f"s3://{OUTPUT_BUCKET}/out/", "out/"),
            (f"s3://{OUTPUT_BUCKET}/out", "out/"),
            (f"s3://{OUTPUT_BUCKET}/", ""),
            (f"s3://{OUTPUT_BUCKET}", ""),
            (f"s3://{OUTPUT_BUCKET}/a/b//", "a/b//"),
            (f"s3://{INPUT_BUCKET}/out/", "out/"),
        ],
    )
    def test_targets_are_folders(self, s3: S3Client, url: str, prefix: str) -> None:
        put(s3, DAY)
        assert convert(f"{IN}day.csv", url) == 0
        bucket = url.split("/")[2]
        made = set(standing(s3, bucket)) - {"in/day.csv"}
        assert made == {f"{prefix}{name}" for name in ("_manifests/day.csv.json", "day.avro", "day.parquet")}

    def test_the_environment_s_places_do_not_count(self, s3: S3Client, monkeypatch: pytest.MonkeyPatch) -> None:
        put(s3, DAY)
        for name, value in {"INPUT_BUCKET": "x", "OUTPUT_BUCKET": "y", "PREFIX": "z", "OUTPUT_PREFIX": "w/"}.items():
            monkeypatch.setenv(name, value * 3)
        assert convert(f"s3://{INPUT_BUCKET}", OUT) == 0
        assert "out/in/day.parquet" in standing(s3)

    def test_one_object_where_a_sweep_of_its_prefix_would_put_it(self, s3: S3Client) -> None:
        put(s3, DAY, "in/2026/day.csv")
        assert convert(f"{IN}2026/day.csv", OUT, "--set", "PREFIX=in/") == 0
        one = standing(s3)
        assert "out/2026/day.parquet" in one
        assert convert(IN, OUT, "--force") == 0
        assert standing(s3) == one

    def test_one_object_to_local_files(
        self, s3: S3Client, target: Path, source: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        put(s3, DAY, "in/sub/day.csv")
        assert convert(f"{IN}sub/day.csv", target) == 0
        assert capsys.readouterr().err.startswith("converted: day.csv: 2 records")
        from_s3 = files(target)
        assert convert(source, target) == 0
        assert files(target) == from_s3  # wherever the bytes come from
        assert standing(s3) == {}

    def test_a_bad_object_to_local_files(self, s3: S3Client, target: Path, capsys: pytest.CaptureFixture[str]) -> None:
        put(s3, BAD)
        assert convert(f"{IN}day.csv", target) == 1
        assert capsys.readouterr().err == f"error: {IN}day.csv: {WHY}\n"
        assert files(target) == {}

    @pytest.mark.parametrize(
        "arguments",
        [[f"{IN}none.csv", "{out}"], ["s3://no-such-bucket/day.csv", "{out}"], ["s3://no-such-bucket/", OUT]],
    )
    def test_what_is_not_there(
        self, s3: S3Client, target: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
    ) -> None:
        assert s3.list_buckets()["Buckets"]
        assert convert(*(argument.format(out=target) for argument in arguments)) == 1
        assert " 404 NoSuch" in capsys.readouterr().err
        assert files(target) == {}

    def test_a_key_that_a_terminal_would_obey_is_shown_harmless(
        self, s3: S3Client, capsys: pytest.CaptureFixture[str]
    ) -> None:
        put(s3, DAY, "in/\x1b[2Jday\x07.csv")
        assert convert(IN, OUT) == 0
        said = capsys.readouterr().err
        assert r"converted: in/\x1b[2Jday\x07.csv" in said
        assert not re.search(r"[^\n\x20-\x7e]", said)

    def test_quiet_says_only_what_went_wrong(self, s3: S3Client, capsys: pytest.CaptureFixture[str]) -> None:
        put(s3, DAY, "in/a.csv")
        put(s3, BAD, "in/b.csv")
        assert convert(IN, OUT, "--quiet") == 1
        assert capsys.readouterr().err == f"failed: in/b.csv: {WHY}\n"


class TestInterrupts:
    def test_while_objects_are_converted_all_are_whole(
        self, s3: S3Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The main thread lists, and there an interrupt gets through."""
        for number in range(5):
            put(s3, DAY, f"in/{number}.csv")
        requests = count(1)

        def small_pages(params: dict[str, Any], **_: object) -> None:
            params["MaxKeys"] = 2

        def second_page(**_: object) -> None:
            if next(requests) == 2:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            listen(patch, "provide-client-params.s3.ListObjectsV2", small_pages)
            listen(patch, "before-send.s3.ListObjectsV2", second_page)
            assert convert(IN, OUT) == 130
        assert capsys.readouterr().err.splitlines()[-1].startswith("interrupted: ")
        assert set(require_truth(s3, DAY).values()) <= {"committed"}
        assert uploads(s3) == []
        assert convert(IN, OUT) == 0
        assert len(require_truth(s3, DAY)) == 5

    def test_while_a_file_is_converted_nothing_is_left(self, tmp_path: Path, target: Path) -> None:
        """The real signal, to a process that waits for the rest of its source."""
        pipe = tmp_path / "day.csv"
        os.mkfifo(pipe)
        ready = threading.Event()
        with start(pipe, target) as process:
            feeder = threading.Thread(target=feed, args=(pipe, ready))
            feeder.start()
            wait_for(lambda: target.exists() and list(target.glob(".*.partial")) != [])
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=SECONDS_MAX)[1]
            ready.set()
            feeder.join(SECONDS_MAX)
        assert (process.returncode, said) == (130, "interrupted: what was not finished has been taken back\n")
        assert files(target) == {}


def listen(monkeypatch: pytest.MonkeyPatch, event: str, handler: Callable[..., None]) -> None:
    """Hang ``handler`` into every client that is made from now on."""
    monkeypatch.setattr(botocore.handlers, "BUILTIN_HANDLERS", [*botocore.handlers.BUILTIN_HANDLERS, (event, handler)])


def start(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "csv_transcode", "convert", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, **options)


def feed(pipe: Path, ready: threading.Event) -> None:
    """Write more than one stripe, and keep the pipe open until it is ``ready``."""
    with suppress(BrokenPipeError), pipe.open("wb") as out:
        out.write(b"id,text\n" + b"".join(b"%d,%s\n" % (number, b"x" * 1000) for number in range(10_000)))
        out.flush()
        ready.wait(SECONDS_MAX)


def wait_for(holds: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(SECONDS_MAX * 20):
        if holds():
            return
        pause.wait(0.05)
    pytest.fail("waited in vain")


class TestScreen:
    def test_progress_moves_on_a_terminal(self, source: Path, target: Path) -> None:
        screen, terminal = pty.openpty()
        source.write_bytes(b"id,text\n" + b"1,one\n" * 400_000)
        command = [sys.executable, "-m", "csv_transcode", "convert", str(source), str(target)]
        with subprocess.Popen(command, cwd=ROOT, stderr=terminal) as process:
            os.close(terminal)
            said = read_all(screen)
        assert process.returncode == 0
        lines = said.split("\r\x1b[K")
        assert re.fullmatch(r" *\d+% of 2 MB, \d+ MB/s", lines[1])
        assert lines[-1].startswith("converted: day.csv: 400,000 records")

    def test_quiet_is_quiet_there_too(self, source: Path, target: Path) -> None:
        screen, terminal = pty.openpty()
        command = [sys.executable, "-m", "csv_transcode", "convert", str(source), str(target), "--quiet"]
        with subprocess.Popen(command, cwd=ROOT, stderr=terminal) as process:
            os.close(terminal)
            assert read_all(screen) == ""
        assert process.returncode == 0

    def test_help_teaches_by_examples_that_parse(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as ended:
            main(["convert", "--help"])
        assert ended.value.code == 0
        said = capsys.readouterr().out
        assert EPILOG in said
        examples = [line for line in EPILOG.splitlines() if line.startswith("  python -m csv_transcode")]
        assert len(examples) == 5
        for line in examples:
            assert _parser().parse_args(shlex.split(line)[3:]).source

    def test_the_version(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            main(["--version"])
        assert capsys.readouterr().out.strip() == __version__


def read_all(descriptor: int) -> str:
    """Return what a terminal shows until the last process has left it."""
    pieces = []
    with os.fdopen(descriptor, "rb", buffering=0) as screen:
        while True:
            try:
                piece = screen.read(65536)
            except OSError:  # how Linux says that nobody writes any more
                break
            if not piece:
                break
            pieces.append(piece)
    return b"".join(pieces).decode()


def test_a_manifest_of_the_command_line_is_one_of_the_function(s3: S3Client) -> None:
    """Either goes on where the other has ended."""
    put(s3, DAY)
    assert convert(IN, f"s3://{OUTPUT_BUCKET}/processed/") == 0
    assert manifest(s3)["state"] == "committed"
    assert convert(f"s3://{INPUT_BUCKET}/in/day.csv", f"s3://{OUTPUT_BUCKET}/processed/", "--quiet") == 0
