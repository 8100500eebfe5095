"""The command line: ``python -m csv_transcode convert SOURCE TARGET``, over the same code that runs in Lambda."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from csv_transcode import __version__
from csv_transcode.conversion import plan_of
from csv_transcode.errors import ObjectNotFoundError, SettingsError, TranscodeError
from csv_transcode.formats.memory import use_lean_allocators
from csv_transcode.keys import stem_of
from csv_transcode.local import LocalTarget, folder_made, read_chunks
from csv_transcode.pipeline import REJECTS, Pools, transcode
from csv_transcode.report import Outcome
from csv_transcode.runtime import Runtime
from csv_transcode.settings import COLUMN_TYPES_BYTES_MAX, Settings, expected_owners, variables
from csv_transcode.telemetry import configure_logging

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from csv_transcode.report import ObjectResult, RunReport
    from csv_transcode.s3.store import ObjectStore

OK, FAILED, MISUSED, INTERRUPTED = 0, 1, 2, 130
PROGRESS_SECONDS: Final = 0.2
MEGABYTE: Final = 1_000_000
SECONDS_LEAST: Final = 1e-3  # for a clock that has not moved
NOWHERE: Final = "local-files"  # a bucket's name, which Settings wants and local conversions do not use
PLACES: Final = ("INPUT_BUCKET", "OUTPUT_BUCKET", "PREFIX", "OUTPUT_PREFIX")  # what SOURCE and TARGET say
FOR_PROGRAMS: Final = ("CACHE_SIZE",)
FOR_LAMBDA: Final = ("DEADLINE_MARGIN_SECONDS",)
FOR_S3_TARGETS: Final = (
    *("KEY_TEMPLATE", "MAX_WORKERS", "USE_WRANGLER", "LOG_LEVEL", "SOURCE_SUFFIXES", "MEMORY_BUDGET_MB"),
    *("EXPECTED_OUTPUT_BUCKET_OWNER", "OUTPUT_KMS_KEY_ID"),
)
FOR_S3: Final = (
    *("RETRIES_MAX", "RETRY_BUDGET", "CONNECT_TIMEOUT_SECONDS", "READ_TIMEOUT_SECONDS", "PART_BYTES_MAX"),
    "EXPECTED_INPUT_BUCKET_OWNER",
)

DESCRIPTION: Final = "CSV becomes Parquet and Avro, exactly: no value is changed, no record is lost without a word."
EPILOG: Final = """\
examples
  python -m csv_transcode convert day.csv out/
      day.csv -> out/day.parquet and out/day.avro
  python -m csv_transcode convert s3://landing/in/day.csv s3://lake/processed/
      one object, by the same commit protocol as in Lambda: s3://lake/processed/day.parquet, .avro and a manifest
  python -m csv_transcode convert s3://landing/in/ s3://lake/processed/
      every CSV object under the prefix, many at once; what stands converted is skipped
  python -m csv_transcode convert s3://landing/in/day.csv out/
      one object to local files
  python -m csv_transcode convert day.csv out/ --set AVRO_CODEC=zstandard --set 'COLUMN_TYPES={"zip": "string"}'
      any setting of the function that applies, see README.md; those in the environment count too

exit codes
  0  everything was converted, or stood converted    1  something failed, standard error says what and why
  2  the command or a setting is wrong               130  interrupted: nothing is left half done
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    options = _parser().parse_args(arguments)
    screen = _Screen(quiet=options.quiet)
    use_lean_allocators()
    try:
        return _convert(options, screen)
    except SettingsError as error:
        screen.say(f"error: {error}")
        return MISUSED
    except TranscodeError as error:
        screen.say(f"error: {options.source}: {error}")
        return FAILED
    except OSError as error:
        screen.say(f"error: {error.filename or options.source}: {error.strerror or error}")
        return FAILED
    except KeyboardInterrupt:
        screen.say("interrupted: what was not finished has been taken back")
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m csv_transcode", description=DESCRIPTION, formatter_class=raw)
    parser.add_argument("--version", action="version", version=__version__)
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    convert = verbs.add_parser(
        "convert",
        help="convert a file, an object, or every object under a prefix",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=raw,
    )
    convert.add_argument("source", metavar="SOURCE", help="a local file, s3://bucket/key, or s3://bucket/prefix/")
    convert.add_argument("target", metavar="TARGET", help="a local folder, or s3://bucket/prefix/ for S3 sources")
    convert.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting; may be repeated")
    convert.add_argument("--force", action="store_true", help="convert what stands converted, too (S3 targets)")
    convert.add_argument(
        "--dry-run", action="store_true", help="say what would be converted, and write nothing (S3 targets)"
    )
    convert.add_argument("--quiet", action="store_true", help="no progress, only errors")
    return parser


def _convert(options: argparse.Namespace, screen: _Screen) -> int:
    source, target = _location(options.source), _location(options.target, folder=True)
    whole_prefix = isinstance(source, tuple) and source[1][-1:] in ("", "/")
    given = _given(options.set, one_object=isinstance(target, tuple) and not whole_prefix)
    _require_use(given, from_s3=isinstance(source, tuple), to_s3=isinstance(target, tuple))
    if isinstance(target, tuple):
        if not isinstance(source, tuple):
            message = "a local file cannot be converted into S3: copy it to a bucket first, and convert it there"
            raise SettingsError(message)
        return _convert_in_s3(source, target, given, options, screen)
    if whole_prefix:
        message = "a prefix cannot be converted to local files, only one object: s3://bucket/key"
        raise SettingsError(message)
    if options.force or options.dry_run:
        message = "--force and --dry-run are for S3 targets: local files are always written anew"
        raise SettingsError(message)
    _require_file_and_folder(source, target)
    return _convert_to_files(source, target, given, screen)


def _location(text: str, *, folder: bool = False) -> tuple[str, str] | Path:
    """Return (bucket, key or prefix) of an S3 URL, or a local path; what is a ``folder`` may lack its last slash."""
    if not text.startswith("s3://"):
        return Path(text)
    bucket, _, key = text.removeprefix("s3://").partition("/")
    return bucket, f"{key}/" if folder and key and not key.endswith("/") else key


def _given(pairs: Iterable[str], *, one_object: bool) -> dict[str, str]:
    """Return the settings given as NAME=VALUE.

    Of the places, only PREFIX can be given, for ``one_object``: which part of its key is not part of the outputs'.
    """
    unequal = [pair for pair in pairs if "=" not in pair]
    if unequal:
        message = f"--set takes NAME=VALUE, found {unequal[0]!r}"
        raise SettingsError(message)
    given = dict(pair.split("=", 1) for pair in pairs)
    if unknown := sorted(given.keys() - set(variables())):
        message = f"--set {unknown[0]}: there is no such setting"
        raise SettingsError(message)
    if places := sorted(given.keys() & {*PLACES} - ({"PREFIX"} if one_object else set())):
        message = f"--set {places[0]}: SOURCE and TARGET say it"
        raise SettingsError(message)
    return given


def _require_use(given: Iterable[str], *, from_s3: bool, to_s3: bool) -> None:
    """Refuse a setting that is given and would change nothing. The environment is the function's, and may hold any."""
    uses = dict.fromkeys(FOR_PROGRAMS, "programs that call read_s3_file")
    uses |= dict.fromkeys(FOR_LAMBDA, "the function in Lambda, which has a deadline")
    if not to_s3:
        uses |= dict.fromkeys(FOR_S3_TARGETS, "S3 targets")
    if not from_s3:
        uses |= dict.fromkeys(FOR_S3, "S3, SOURCE is a file")
    if useless := sorted(uses.keys() & given):
        message = f"--set {useless[0]}: it is for {uses[useless[0]]}"
        raise SettingsError(message)


def _require_file_and_folder(source: tuple[str, str] | Path, target: Path) -> None:
    if isinstance(source, Path) and source.is_dir():
        message = f"SOURCE must be a file, {source} is a folder: convert its files one by one"
        raise SettingsError(message)
    standing = next(path for path in (target, *target.parents, Path()) if path.exists())
    if not standing.is_dir():
        message = f"TARGET must be a folder, {standing} is none"
        raise SettingsError(message)


def _settings(given: Mapping[str, str], screen: _Screen, **places: str) -> Settings:
    """Return the environment's settings, those given on the command line over them, and the places over all."""
    mapping = {**os.environ, **places, **given}
    settings = Settings.from_mapping(mapping, lambda url: _fetch(url, expected_owners(mapping)))
    for warning in settings.warnings:
        screen.say(f"warning: {warning}")
    return settings


def _fetch(url: str, owners: Mapping[str, str]) -> bytes:
    from csv_transcode.s3.fetch import fetch  # noqa: PLC0415 -- the S3 client, which files do not need

    return fetch(url, COLUMN_TYPES_BYTES_MAX, owners)


def _convert_in_s3(
    source: tuple[str, str],
    target: tuple[str, str],
    given: Mapping[str, str],
    options: argparse.Namespace,
    screen: _Screen,
) -> int:
    from s3_data_processor import S3DataProcessor  # noqa: PLC0415 -- as above

    bucket, key = source
    folder = key[: key.rfind("/") + 1]
    places = {"INPUT_BUCKET": bucket, "PREFIX": folder, "OUTPUT_BUCKET": target[0], "OUTPUT_PREFIX": target[1]}
    settings = _settings(given, screen, **places)
    if given.get("LOG_LEVEL") or os.environ.get("LOG_LEVEL"):  # the screen says enough to who did not ask for a log
        configure_logging(settings.log_level)
    if key != folder:
        _require_object(source, _store(settings, Runtime()))
    with S3DataProcessor.from_settings(replace(settings, output_prefix=target[1])) as processor:
        report = processor.run(
            [key] if key != folder else None, force=options.force, dry_run=options.dry_run, on_result=screen.result
        )
    screen.summary(report)
    return FAILED if report.having(Outcome.FAILED) else OK


def _require_object(source: tuple[str, str], store: ObjectStore) -> None:
    """Refuse a key where nothing stands before a failed conversion is made of it: it may lack a prefix's slash."""
    bucket, key = source
    if store.head(bucket, key) is None:
        below = next(store.list_objects(bucket, f"{key}/"), None)
        hint = f"; for every object under a prefix, write s3://{bucket}/{key}/" if below else ""
        message = f"there is no such object{hint}"
        raise ObjectNotFoundError(message)


def _convert_to_files(source: tuple[str, str] | Path, folder: Path, given: Mapping[str, str], screen: _Screen) -> int:
    runtime = Runtime()
    bucket = source[0] if isinstance(source, tuple) else NOWHERE
    settings = _settings(given, screen, INPUT_BUCKET=bucket, OUTPUT_BUCKET=f"{NOWHERE}-out")
    name = source[1].rpartition("/")[2] if isinstance(source, tuple) else source.name
    targets: dict[str, LocalTarget] = {}
    with ExitStack() as stack:
        pool = stack.enter_context(runtime.executor(2 * runtime.cores, "transcode"))
        stack.enter_context(folder_made(folder))
        chunks, size = _open(source, settings, runtime, stack)

        def open_targets() -> dict[str, LocalTarget]:
            for form in (*settings.output_formats, REJECTS):
                suffix = "rejects.jsonl" if form == REJECTS else form
                target = targets[form] = LocalTarget(folder / f"{stem_of(name)}.{suffix}")
                stack.callback(target.abort)
                target.open()
            return targets

        begun = runtime.clock()
        shown = screen.counting(chunks, size, runtime.clock)
        done = transcode(shown, open_targets, plan_of(settings), Pools(pool, pool, window=runtime.cores + 1))
        if done is None:
            screen.say(f"skipped: {name} is empty: it holds no record, and no header")
            return OK
        for form, target in targets.items():
            if form == REJECTS and not target.bytes_written:
                target.withdraw()
            else:
                target.publish()
        seconds = max(runtime.clock() - begun, SECONDS_LEAST)
    sizes = ", ".join(
        f"{target.path} {target.bytes_written:,} bytes" for target in targets.values() if target.bytes_written
    )
    speed = f", {size / seconds / MEGABYTE:.0f} MB/s" if size >= MEGABYTE else ""  # less is over before it has one
    rejected = f" ({done.rejected:,} rejected)" if done.rejected else ""
    screen.say(f"converted: {name}: {done.written:,} records{rejected} in {seconds:.1f} s{speed}: {sizes}")
    return OK


def _open(
    source: tuple[str, str] | Path, settings: Settings, runtime: Runtime, stack: ExitStack
) -> tuple[Callable[[], Iterator[bytes]], int]:
    """Return (what opens the source's bytes, how many there are)."""
    if isinstance(source, Path):
        return lambda: read_chunks(source), source.stat().st_size
    from csv_transcode.s3.reader import open_source  # noqa: PLC0415 -- as above

    pool = stack.enter_context(runtime.executor(runtime.cores, "io"))
    store, part_bytes = _store(settings, runtime), settings.part_bytes
    opened = open_source(store, *source, size_hint=None, if_none_match=None, part_bytes=part_bytes, executor=pool)
    assert opened is not None  # noqa: S101 -- only If-None-Match makes it None
    stack.callback(opened.close)
    return opened.chunks, opened.size


def _store(settings: Settings, runtime: Runtime) -> ObjectStore:
    """Return the store for one object at a time."""
    from csv_transcode.s3.client import make_client  # noqa: PLC0415 -- as above
    from csv_transcode.s3.store import ObjectStore  # noqa: PLC0415

    client = make_client(
        connections_max=runtime.cores + 1,
        retries_max=settings.retries_max,
        connect_timeout_seconds=settings.connect_timeout_seconds,
        read_timeout_seconds=settings.read_timeout_seconds,
        retry_budget=settings.retry_budget,
        runtime=runtime,
    )
    return ObjectStore(client, runtime, owners=settings.owners)


class _Screen:
    """What a person sees, on standard error: a moving line on a terminal, plain lines elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._moves = sys.stderr.isatty() and not quiet

    def say(self, line: str) -> None:
        if self._quiet and not line.startswith(("error", "failed", "interrupted")):
            return
        # A key may hold what a terminal would obey.
        shown = "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in line)
        sys.stderr.write(f"\r\x1b[K{shown}\n" if self._moves else f"{shown}\n")
        sys.stderr.flush()

    def result(self, result: ObjectResult) -> None:
        why = f": {result.reason}" if result.reason else ""
        what = f", {result.records.written:,} records in {result.seconds:.1f} s" if result.records else ""
        self.say(f"{result.outcome.value}: {result.key}{what}{why}")

    def summary(self, report: RunReport) -> None:
        told = report.summary()
        files = told["files"] | {Outcome.PLANNED.value: len(report.having(Outcome.PLANNED))}
        counts = ", ".join(f"{count:,} {outcome}" for outcome, count in files.items() if count) or "nothing to convert"
        self.say(f"{counts}; {told['records']['written']:,} records in {told['seconds']['total']:.1f} s")

    def counting(
        self, chunks: Callable[[], Iterable[bytes]], size: int, clock: Callable[[], float]
    ) -> Callable[[], Iterator[bytes]]:
        """Return ``chunks`` with a line that shows how much of ``size`` has been read."""

        def counted() -> Iterator[bytes]:
            read, shown, begun = 0, 0.0, clock()
            for chunk in chunks():
                read += len(chunk)
                now = clock()
                if self._moves and now - shown > PROGRESS_SECONDS:
                    shown = now
                    speed = read / MEGABYTE / max(now - begun, SECONDS_LEAST)
                    sys.stderr.write(
                        f"\r\x1b[K{read / max(1, size):4.0%} of {size / MEGABYTE:,.0f} MB, {speed:.0f} MB/s"
                    )
                    sys.stderr.flush()
                yield chunk

        return counted


if __name__ == "__main__":
    sys.exit(main())
