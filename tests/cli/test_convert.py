"""The command line: what it writes, what it says, how it ends."""

from __future__ import annotations

import json
import logging
import os
import pty
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import fields
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import pytest

from csv_transcode import __version__
from csv_transcode.__main__ import main
from csv_transcode.cli.convert import EPILOG
from csv_transcode.cli.options import PLACES
from csv_transcode.cli.sources import open_chunks
from csv_transcode.cli.verbs import parser
from csv_transcode.local import read_chunks
from csv_transcode.runtime import Runtime
from csv_transcode.settings import Settings
from tests.cli.commands import listen
from tests.conftest import INPUT_BUCKET, OUTPUT_BUCKET
from tests.standing import avro_records, manifest, parquet_table, put, require_truth, standing, uploads

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3 import S3Client

    from csv_transcode.s3.reader import Source

ROOT: Final = Path(__file__).parents[2]
DAY: Final = b"id,text\n1,one\n2,two\n"
ROWS: Final = [{"id": 1, "text": "one"}, {"id": 2, "text": "two"}]
BAD: Final = b"id,text\n1,one\n2,two,and more\n"
WHY: Final = (
    "1 of 2 records are rejected, which is more than MAX_REJECTED_RATIO=0.1 allows, the first is "
    "record 2 (line 3, byte 14): 3 fields, header has 2"
)
IN: Final = f"s3://{INPUT_BUCKET}/in/"
OUT: Final = f"s3://{OUTPUT_BUCKET}/out/"
SECONDS_MAX: Final = 60
LIMITS: Final = frozenset({"MAX_REJECTED_RATIO", "MAX_DECOMPRESSED_BYTES", "MAX_DECOMPRESSION_RATIO"})
CHANGE_NO_BYTE: Final = {
    item.metadata["variable"]
    for item in fields(Settings)
    if item.name == "key_template" or (item.metadata["ours"] and not item.metadata["decides_bytes"])
}


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
            r"converted: day\.csv: 2 records in \d+\.\d s: .*day\.parquet \d+ bytes, .*day\.avro \d+ bytes\n", said.err
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

    def test_a_late_bad_line_leaves_nothing_either(
        self, source: Path, target: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lines = ["id,text", *(f"{number},{'x' * 1000}" for number in range(12_000)), "x" * 5000]
        source.write_text("\n".join(lines))
        assert convert(source, target, "--set", "MAX_RECORD_BYTES=2000") == 1
        assert "line 12002, at byte" in capsys.readouterr().err
        assert not target.exists()

    def test_rejects_are_a_third_file_while_there_are_any(
        self, source: Path, target: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        day = source.read_bytes()
        source.write_bytes(BAD)
        assert convert(source, target, "--set", "MAX_REJECTED_RATIO=0.5") == 0
        assert "1 records (1 rejected)" in capsys.readouterr().err
        made = files(target)
        assert set(made) == {"day.parquet", "day.avro", "day.rejects.jsonl"}
        (told,) = map(json.loads, made["day.rejects.jsonl"].splitlines())
        assert (told["record"], told["line"], told["reason"]) == (2, 3, "field_count")
        source.write_bytes(day)
        assert convert(source, target) == 0
        assert set(files(target)) == {"day.parquet", "day.avro"}

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
        ("source_name", "target_name", "code", "why"),
        [
            ("none.csv", "out", 1, "{0}/none.csv: No such file or directory"),
            ("day.csv/none.csv", "out", 1, "{0}/day.csv/none.csv: Not a directory"),
            (".", "out", 2, "SOURCE must be a file, {0} is a folder: convert its files one by one"),
            ("day.csv", "day.csv", 2, "TARGET must be a folder, {0}/day.csv is none"),
            ("day.csv", "day.csv/a/b", 2, "TARGET must be a folder, {0}/day.csv is none"),
            ("day.csv", "/proc/out", 1, "/proc/out: No such file or directory"),
        ],
    )
    def test_files_that_are_not_what_they_should_be(
        self,
        source: Path,
        capsys: pytest.CaptureFixture[str],
        source_name: str,
        target_name: str,
        *,
        code: int,
        why: str,
    ) -> None:
        folder = source.parent
        assert convert(folder / source_name, folder / target_name) == code
        assert capsys.readouterr().err == f"error: {why.format(folder)}\n"
        assert source.read_bytes() == DAY
        assert list(folder.iterdir()) == [source]

    @pytest.mark.parametrize("name", ["day.parquet", "day.avro"])
    def test_a_folder_in_an_output_s_place_is_found_before_anything_is_written(
        self, source: Path, target: Path, capsys: pytest.CaptureFixture[str], name: str
    ) -> None:
        (target / name).mkdir(parents=True)
        assert convert(source, target) == 1
        assert capsys.readouterr().err == f"error: {target / name}: Is a directory\n"
        assert [path.name for path in target.iterdir()] == [name]

    @pytest.mark.parametrize("content", [BAD, b""])
    def test_folders_made_for_nothing_are_not_left(self, source: Path, target: Path, content: bytes) -> None:
        source.write_bytes(content)
        convert(source, target / "a" / "b")
        assert not target.exists()
        (target / "a").mkdir(parents=True)  # by somebody else, who may want it
        convert(source, target / "a" / "b")
        assert list(target.rglob("*")) == [target / "a"]

    def test_a_full_disk_is_told_of_the_output_and_leaves_nothing(self, source: Path, target: Path) -> None:
        command = shlex.join([sys.executable, "-m", "csv_transcode", "convert", str(source), str(target)])
        limited = ["/bin/sh", "-c", f"ulimit -f 0; exec {command}"]  # no file may grow
        ran = subprocess.run(limited, cwd=ROOT, capture_output=True, text=True, check=False, timeout=SECONDS_MAX)
        assert (ran.returncode, ran.stderr) == (1, f"error: {target}/day.parquet: File too large\n")
        assert not target.exists()

    @pytest.mark.parametrize(("records", "speed"), [(100_000, False), (200_000, True)])
    def test_a_speed_is_told_of_what_takes_long_enough_to_have_one(
        self, source: Path, target: Path, capsys: pytest.CaptureFixture[str], *, records: int, speed: bool
    ) -> None:
        source.write_bytes(b"id,text\n" + b"1,one\n" * records)
        assert convert(source, target) == 0
        assert (re.search(r" s, [1-9]\d* MB/s: ", capsys.readouterr().err) is not None) == speed


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
            (["day.csv", "out", "--set", "HEADER=maybe"], "HEADER='maybe'"),
            (["day.csv", "out", "--set", "PREFIX=in/"], "--set PREFIX: SOURCE and TARGET say it"),
            ([IN, OUT, "--set", "PREFIX=in/"], "--set PREFIX: SOURCE and TARGET say it"),
            ([IN, OUT, "--set", "OUTPUT_BUCKET=another"], "--set OUTPUT_BUCKET: SOURCE and TARGET say it"),
            (["day.csv", "out", "--set", "KEY_TEMPLATE=x"], "--set KEY_TEMPLATE: it is for S3 targets"),
            ([f"{IN}a.csv", "out", "--set", "USE_WRANGLER=1"], "--set USE_WRANGLER: it is for S3 targets"),
            ([f"{IN}a.csv", "out", "--set", "LOG_LEVEL=INFO"], "--set LOG_LEVEL: it is for S3 targets"),
            (["day.csv", "out", "--set", "PART_BYTES_MAX=1"], "--set PART_BYTES_MAX: it is for S3, SOURCE is a file"),
            ([IN, OUT, "--set", "CACHE_SIZE=1"], "--set CACHE_SIZE: it is for programs that call read_s3_file"),
            (["day.csv", "out", "--force"], "--force, --dry-run and --keys are for S3 targets"),
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

    @pytest.mark.parametrize("name", sorted(CHANGE_NO_BYTE - {*PLACES, *LIMITS}))
    def test_none_is_ignored_where_it_would_change_nothing(
        self, source: Path, target: Path, name: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert convert(source, target, "--set", f"{name}=1") == 2
        assert capsys.readouterr().err.startswith(f"error: --set {name}: it is for ")

    def test_a_name_that_a_terminal_would_obey(
        self, tmp_path: Path, target: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        source = tmp_path / "a\x1b[2J\nb.csv"
        source.write_bytes(DAY)
        assert convert(source, target) == 0
        (said,) = capsys.readouterr().err.splitlines()
        assert said.startswith(r"converted: a\x1b[2J\nb.csv: 2 records")

    @pytest.mark.parametrize("quietly", [False, True])
    def test_doubtful_ones_are_named(
        self, source: Path, target: Path, capsys: pytest.CaptureFixture[str], *, quietly: bool
    ) -> None:
        doubtful = ["--set", "PARQUET_COMPRESSION=brotli", *(["--quiet"] if quietly else [])]
        assert convert(source, target, *doubtful) == 0
        named = "warning: PARQUET_COMPRESSION=brotli: many Parquet readers lack this codec\n"
        assert capsys.readouterr().err.startswith(named) != quietly

    @pytest.mark.parametrize("arguments", [[], ["convert"], ["convert", "a"], ["convert", "a", "b", "--what"], ["x"]])
    def test_no_command_at_all_ends_with_two(self, arguments: list[str]) -> None:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2


class TestObjects:
    def test_rejected_records_are_said_and_where_they_are(
        self, s3: S3Client, capsys: pytest.CaptureFixture[str]
    ) -> None:
        put(s3, DAY + b"3\n4\n")
        assert convert(IN, OUT, "--set", "MAX_REJECTED_RATIO=1") == 0
        said = capsys.readouterr().err.splitlines()
        assert re.fullmatch(r"converted: in/day\.csv, 2 records \(2 rejected\) in \d+\.\d s", said[0])
        assert re.fullmatch(r"1 converted; 2 records \(2 rejected: the verb rejects lists them\) in \d+\.\d s", said[1])

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

    @pytest.mark.parametrize("given", ["--set", "environment", None])
    def test_a_log_is_written_where_its_level_is_given(
        self, s3: S3Client, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, given: str | None
    ) -> None:
        put(s3, DAY)
        if given == "environment":
            monkeypatch.setenv("LOG_LEVEL", "INFO")
        assert convert(IN, OUT, *(["--set", "LOG_LEVEL=INFO"] if given == "--set" else [])) == 0
        logged = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
        assert [line["event"] for line in logged] == (["object.converted"] if given else [])

    @pytest.mark.parametrize("to_s3", [False, True])
    def test_column_types_that_lie_in_a_bucket(self, s3: S3Client, target: Path, *, to_s3: bool) -> None:
        put(s3, DAY)
        s3.put_object(Bucket=INPUT_BUCKET, Key="types.json", Body=b'{"id": "string"}')
        types = f"COLUMN_TYPES=s3://{INPUT_BUCKET}/types.json"
        assert convert(f"{IN}day.csv", OUT if to_s3 else target, "--set", types) == 0
        written = standing(s3)["out/day.parquet"] if to_s3 else files(target)["day.parquet"]
        assert parquet_table(written)["id"].to_pylist() == ["1", "2"]

    def test_column_types_that_do_not(self, s3: S3Client, target: Path, capsys: pytest.CaptureFixture[str]) -> None:
        put(s3, DAY)
        assert convert(f"{IN}day.csv", target, "--set", f"COLUMN_TYPES=s3://{INPUT_BUCKET}/none.json") == 2
        assert "the object cannot be read: GetObject s3://input-bucket/none.json: 404" in capsys.readouterr().err

    @pytest.mark.parametrize("options", [[], ["--dry-run"], ["--set", "PREFIX=in/"]])
    def test_a_prefix_without_its_slash_is_asked_about_and_has_not_failed(
        self, s3: S3Client, capsys: pytest.CaptureFixture[str], options: list[str]
    ) -> None:
        put(s3, DAY, "in/sub/day.csv")
        assert convert(f"{IN}sub", OUT, *options) == 1
        expected = f"error: {IN}sub: there is no such object; for every object under a prefix, write {IN}sub/\n"
        assert capsys.readouterr().err == expected
        assert convert(f"{IN}su", OUT, *options) == 1
        assert capsys.readouterr().err == f"error: {IN}su: there is no such object\n"
        assert standing(s3) == {}

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
        [
            [f"{IN}none.csv", "{out}"],
            ["s3://no-such-bucket/day.csv", "{out}"],
            ["s3://no-such-bucket/", OUT],
            ["s3://no-such-bucket/day.csv", OUT],
        ],
    )
    def test_what_is_not_there(
        self, s3: S3Client, target: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
    ) -> None:
        assert s3.list_buckets()["Buckets"]
        assert convert(*(argument.format(out=target) for argument in arguments)) == 1
        assert " 404 NoSuch" in capsys.readouterr().err
        assert files(target) == {}

    @pytest.mark.parametrize(("step", "backlog"), [("READ", 8), ("CONNECT", 0)])
    def test_time_limits_hold_for_local_targets_too(
        self, target: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, step: str, backlog: int
    ) -> None:
        with ExitStack() as sockets:
            silent = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=backlog))
            if not backlog:  # one more waits to be accepted than the backlog says, and then nobody gets through
                sockets.enter_context(socket.create_connection(silent.getsockname()))
            monkeypatch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*silent.getsockname()))
            begun = time.monotonic()
            limit = f"{step}_TIMEOUT_SECONDS=0.2"
            assert convert(f"{IN}day.csv", target, "--set", limit, "--set", "RETRIES_MAX=0") == 1
        assert time.monotonic() - begun < 2.5
        assert f"{step.capitalize()} timeout" in capsys.readouterr().err

    def test_parts_are_of_the_size_that_is_given(self, s3: S3Client) -> None:
        put(s3, DAY)  # one that would show it in its requests takes seconds
        given = Settings.of(INPUT_BUCKET, OUTPUT_BUCKET, part_bytes=5 << 20)
        with ExitStack() as stack:
            chunks, _ = open_chunks((INPUT_BUCKET, "in/day.csv"), given, Runtime(), stack)
        source = cast("Source", chunks.__self__)  # type: ignore[attr-defined]  # a method, by its type any function
        assert source._part_bytes == 5 << 20

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

    def test_a_pipe_is_read_as_it_comes(self, tmp_path: Path) -> None:
        """To fill a buffer takes several reads, and an interrupt between two of them would wait for the second."""
        pipe = tmp_path / "day.csv"
        os.mkfifo(pipe)
        arrived = threading.Event()
        patience: list[bool] = []

        def write() -> None:
            with pipe.open("wb", buffering=0) as out:
                out.write(DAY)
                patience.append(arrived.wait(5))

        writer = threading.Thread(target=write)
        writer.start()
        chunks = read_chunks(pipe)
        assert next(chunks) == DAY
        arrived.set()
        writer.join(SECONDS_MAX)
        assert patience == [True]
        assert list(chunks) == []


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
        assert re.fullmatch(r"[█░]{24} +\d+% of 2 MB, \d+ s left, [\d,]+ MB/s", lines[1])
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
            assert parser().parse_args(shlex.split(line)[3:]).source

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
