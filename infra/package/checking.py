"""Does a package convert, from its unzipped folder alone? Asked of the handler, the command line and AWS's own runtime.

The package runs in processes of its own, under an isolated interpreter, against a real S3 server on loopback. What it
wrote is read here, by pyarrow and fastavro, and compared with the source cell by cell.
"""

from __future__ import annotations

import json
import subprocess
import time
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import boto3

from demo.data import large_file
from demo.verify import DisagreementError, verify
from infra.package.archives import digest
from infra.package.building import LAYER_PREFIX, Package, TooLargeError, build
from infra.package.emulator import ALONE, EmulatorError, emulated
from infra.package.image import BUILD_STAGE, DOCKERFILE, StepError, run_steps, steps_of
from infra.package.locks import ROOT, LockError, pip, wheels_of
from infra.package.target import interpreter
from tests.seaweed import NotInstalledError, SeaweedServer, seaweed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mypy_boto3_s3 import S3Client

    from infra.package.target import Target

INPUT_BUCKET: Final = "package-in"
OUTPUT_BUCKET: Final = "package-out"
HANDLER: Final = "lambda_handler.lambda_handler"
SOURCE_BYTES: Final = 300_000
RUN_SECONDS_MAX: Final = 120
NOT_WITHOUT_PANDAS: Final = "deploy a package that was built without SLIM=1"
_RUNTIME_CLIENT: Final = ("awslambdaric", "simplejson", "snapshot-restore-py")
_RUNTIME_CACHE: Final = ROOT / ".cache" / "runtime-client"
_LAMBDA: Final = {"AWS_LAMBDA_FUNCTION_NAME": "package-check", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "2048"}
_DATAFRAME: Final = """\
import sys
from s3_data_processor import S3DataProcessor
frame = S3DataProcessor({0!r}, {1!r}).read_csv_to_dataframe({0!r}, {2!r})
print(*frame.shape)
"""


class CheckError(Exception):
    """The package does not do what it must."""


_REASONS: Final = (CheckError, DisagreementError, EmulatorError, LockError, NotInstalledError, StepError, TooLargeError)


@dataclass(frozen=True)
class Unzipped:
    """A package, unzipped, beside what it is checked with."""

    package: Package
    python: Path
    whole: Path
    code: Path
    layer: Path
    runtime: Path
    server: SeaweedServer
    s3: S3Client
    source: bytes

    def alone(self, folders: Sequence[Path], *words: str) -> list[str | Path]:
        """Return the command that runs the package in ``folders`` alone; ``words`` as alone.py takes them."""
        joined = ":".join(map(str, folders))
        return [self.python, "-I", "-S", "-B", ALONE, str(self.runtime), joined, *words]

    def environment(self, **settings: str) -> dict[str, str]:
        """Return the whole environment of a run with these settings."""
        buckets = {"INPUT_BUCKET": INPUT_BUCKET, "OUTPUT_BUCKET": OUTPUT_BUCKET}
        return self.server.environment | _LAMBDA | buckets | settings

    def run(self, folders: Sequence[Path], *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run the package in ``folders`` alone, to its end."""
        return subprocess.run(
            self.alone(folders, *words),
            env=self.environment(**settings),
            cwd="/",
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS_MAX,
            check=False,
        )

    def put(self, key: str) -> None:
        """Put the source into the input bucket."""
        self.s3.put_object(Bucket=INPUT_BUCKET, Key=key, Body=self.source)

    def require_outputs(self, stem: str) -> int:
        """Compare both outputs with the source, cell by cell; return the number of records."""
        found = [
            self.s3.get_object(Bucket=OUTPUT_BUCKET, Key=f"processed/{stem}.{name}") for name in ("parquet", "avro")
        ]
        return verify(self.source, *(each["Body"].read() for each in found))


def check(target: Target, *, slim: bool) -> bool:
    """Build the package for ``target`` and check it; print each step; return whether all of them hold."""
    try:
        return _check(target, slim=slim)
    except _REASONS as error:
        print(f"the check cannot be made: {error}")
        return False


def _check(target: Target, *, slim: bool) -> bool:
    python = interpreter(target.python)
    if python is None or not target.is_here:
        message = f"there is no Python {target.python} for {target.architecture} on this machine"
        raise CheckError(message)
    with TemporaryDirectory(prefix="package-check-") as temporary:
        package = build(target, slim=slim, dist=Path(temporary) / "dist")
        print("\n".join(package.lines()), flush=True)
        with _unzipped(package, python, Path(temporary)) as unzipped:
            print(
                f"converting from the unzipped folder alone, under Python {target.python} ({_version(python)})",
                flush=True,
            )
            ends = [_step(unzipped, name, step) for name, step in _STEPS.items()]
            return all(ends)


def _version(python: Path) -> str:
    return subprocess.run([python, "-V"], capture_output=True, text=True, check=True).stdout.strip()


def _step(unzipped: Unzipped, name: str, step: Callable[[Unzipped], str]) -> bool:
    """Run one step, and say how it ended."""
    started = time.perf_counter()
    try:
        told = step(unzipped)
    except (*_REASONS, subprocess.TimeoutExpired, unzipped.s3.exceptions.NoSuchKey) as error:
        print(f"  FAILED  {name}: {error}", flush=True)
        return False
    print(f"  ok      {name}: {told} ({time.perf_counter() - started:.1f} s)", flush=True)
    return True


@contextmanager
def _unzipped(package: Package, python: Path, folder: Path) -> Iterator[Unzipped]:
    whole, code, opt = folder / "whole", folder / "task", folder / "opt"
    for archive, place in ((package.whole, whole), (package.code, code), (package.layer, opt)):
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(place)
    runtime = _runtime_client(package.target)
    (folder / "s3").mkdir()
    with seaweed(folder / "s3") as server:
        client: S3Client = boto3.client(
            "s3",
            endpoint_url=server.endpoint_url,
            aws_access_key_id=server.access_key,
            aws_secret_access_key=server.secret_key,
            region_name=server.region,
        )
        for bucket in (INPUT_BUCKET, OUTPUT_BUCKET):
            client.create_bucket(Bucket=bucket)
        layer = opt / LAYER_PREFIX.rstrip("/")
        yield Unzipped(package, python, whole, code, layer, runtime, server, client, large_file(SOURCE_BYTES))


def _runtime_client(target: Target) -> Path:
    """Return a folder with AWS's runtime client for ``target``: Lambda's runtime brings one, so no package has it."""
    folder = _RUNTIME_CACHE / target.suffix
    if not (folder / "awslambdaric").is_dir():
        lines = (ROOT / "requirements-emulators.txt").read_text(encoding="utf-8").splitlines()
        pinned = [line for line in lines if line.partition("==")[0] in _RUNTIME_CLIENT]
        pip("install", *wheels_of(target), "--no-compile", "--target", str(folder), *pinned)
    return folder


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def _handled(unzipped: Unzipped, folders: Sequence[Path], event: object, **settings: str) -> dict[str, Any]:
    """Return what the handler told; CheckError where it failed, or imported from elsewhere, or compiled, or wrote."""
    before = [_files(folder) for folder in folders]
    done = unzipped.run(folders, "handler", HANDLER, json.dumps(event), **settings)
    if done.returncode:
        raise CheckError(done.stderr[-2000:])
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if told["foreign"]:
        message = f"imported from outside of the package: {told['foreign'][:10]}"
        raise CheckError(message)
    if told["uncompiled"] and unzipped.package.compiled:
        message = f"without byte code in the package: {told['uncompiled'][:10]}"
        raise CheckError(message)
    if [_files(folder) for folder in folders] != before:
        message = "the run left files in the package, which Lambda does not allow"
        raise CheckError(message)
    return told


def _notification(key: str) -> dict[str, Any]:
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": INPUT_BUCKET}, "object": {"key": key}},
    }
    return {"Records": [record]}


def _converted(told: dict[str, Any]) -> None:
    """Raise CheckError unless exactly one object was converted."""
    if "error" in told or told["answer"].get("files", {}).get("converted") != 1:
        raise CheckError(told.get("error") or str(told["answer"]))


def _by_the_handler(unzipped: Unzipped) -> str:
    """Convert what an S3 notification names, by the package that is one zip."""
    unzipped.put("notified.csv")
    told = _handled(unzipped, [unzipped.whole], _notification("notified.csv"))
    _converted(told)
    records = unzipped.require_outputs("notified")
    return f"{records:,} records, every cell compared; import and convert {told['seconds']:.2f} s"


def _by_the_layer(unzipped: Unzipped) -> str:
    """Convert what a queue's message names, by code and layer as Lambda lays them out."""
    unzipped.put("queued.csv")
    message = {"messageId": "1", "eventSource": "aws:sqs", "body": json.dumps(_notification("queued.csv"))}
    told = _handled(unzipped, [unzipped.code, unzipped.layer], {"Records": [message]})
    if told.get("answer") != {"batchItemFailures": []}:
        raise CheckError(told.get("error") or str(told.get("answer")))
    return f"{unzipped.require_outputs('queued'):,} records, every cell compared"


def _by_the_command_line(unzipped: Unzipped) -> str:
    """Convert a local file by the command line."""
    return _convert_a_file(unzipped, unzipped.whole)


def _convert_a_file(unzipped: Unzipped, folder: Path) -> str:
    with TemporaryDirectory(prefix="package-files-") as temporary:
        source, outputs = Path(temporary) / "day.csv", Path(temporary) / "out"
        source.write_bytes(unzipped.source)
        done = unzipped.run([folder], "module", "csv_transcode", "convert", str(source), str(outputs))
        if done.returncode:
            raise CheckError(done.stderr[-2000:])
        found = [(outputs / f"day.{name}").read_bytes() for name in ("parquet", "avro")]
        return f"{verify(unzipped.source, *found):,} records, every cell compared"


def _by_the_image_s_steps(unzipped: Unzipped) -> str:
    """Run the image's install steps in a clean folder, and convert a local file as its container would.

    That is a second build of everything, elsewhere: every file must have the bytes that it has in the zip.
    """
    with TemporaryDirectory(prefix="package-image-") as temporary:
        steps = steps_of(DOCKERFILE.read_text(encoding="utf-8"), BUILD_STAGE)
        run_steps(steps, Path(temporary), unzipped.python, {"SLIM": "1"} if unzipped.package.slim else {})
        built = Path(temporary) / "function"
        count = _require_the_same(unzipped.whole, built)
        return f"{_convert_a_file(unzipped, built)}; {count:,} files, the same bytes as in the zip"


def _require_the_same(one: Path, other: Path) -> int:
    """Return how many files both folders hold; CheckError, with the first names, where their bytes differ."""
    found = [{path.relative_to(folder): digest(path) for path in _files(folder)} for folder in (one, other)]
    differing = sorted(str(path) for path in found[0].keys() | found[1] if found[0].get(path) != found[1].get(path))
    if differing:
        message = f"{len(differing)} files differ when built again: {differing[:10]}"
        raise CheckError(message)
    return len(found[0])


def _with_wrangler(unzipped: Unzipped) -> str:
    """Convert with USE_WRANGLER, or be refused in words where awswrangler is left out."""
    unzipped.put("wrangled.csv")
    told = _handled(unzipped, [unzipped.whole], _notification("wrangled.csv"), USE_WRANGLER="True")
    if unzipped.package.slim:
        error = told.get("error", "not refused")
        if not (error.startswith("SettingsError") and NOT_WITHOUT_PANDAS in error):
            raise CheckError(error)
        return "refused, with what to do"
    _converted(told)
    return f"{unzipped.require_outputs('wrangled'):,} records, every cell compared"


def _with_a_data_frame(unzipped: Unzipped) -> str:
    """Read a data frame, or be refused in words where pandas is left out."""
    unzipped.put("framed.csv")
    with TemporaryDirectory(prefix="package-module-") as temporary:
        program = _DATAFRAME.format(INPUT_BUCKET, OUTPUT_BUCKET, "framed.csv")
        (Path(temporary) / "read_a_data_frame.py").write_text(program, encoding="utf-8")
        done = unzipped.run([Path(temporary), unzipped.whole], "module", "read_a_data_frame")
    said = done.stdout.strip() or done.stderr.strip().rpartition("\n")[2]
    if unzipped.package.slim:
        if "FrameError" not in said or NOT_WITHOUT_PANDAS not in said:
            raise CheckError(said)
        return "refused, with what to do"
    if done.returncode or not said.endswith(" 11"):
        raise CheckError(said)
    return f"{said} rows and columns"


def _by_aws_own_runtime(unzipped: Unzipped) -> str:
    """Convert under AWS's runtime client and its emulator, cold and warm, and refuse what is no event."""
    unzipped.put("cold.csv")
    unzipped.put("warm.csv")
    command = unzipped.alone([unzipped.whole], "module", "awslambdaric", HANDLER)
    with emulated(command, unzipped.whole, unzipped.environment()) as function:
        cold, warm = (function.invoke(_notification(key)) for key in ("cold.csv", "warm.csv"))
        wrong = function.invoke({"keys": 1})
        for answer in (cold, warm):
            _converted({"answer": answer.body} if isinstance(answer.body, dict) else {"error": f"{answer.body}"})
        if wrong.error != "EventError":
            message = f"a wrong event was answered with {wrong.body}"
            raise CheckError(message)
    records = sum(unzipped.require_outputs(stem) for stem in ("cold", "warm"))
    return f"{records:,} records, every cell compared; cold {cold.seconds:.2f} s, warm {warm.seconds:.2f} s"


_STEPS: Final = {
    "handler, all in one zip": _by_the_handler,
    "handler, code zip and layer": _by_the_layer,
    "command line": _by_the_command_line,
    "USE_WRANGLER": _with_wrangler,
    "data frame": _with_a_data_frame,
    "AWS's own runtime": _by_aws_own_runtime,
    "install steps of the image": _by_the_image_s_steps,
}
