"""``convert``: a file, an object, or every object under a prefix becomes Parquet and Avro."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from csv_transcode.cli.call import FAILED, OK
from csv_transcode.cli.options import DESCRIPTION, NOWHERE, add_common, given, location, require_use, settings_of
from csv_transcode.cli.screen import MEGABYTE, SECONDS_LEAST
from csv_transcode.cli.sources import open_chunks, require_object, store_of
from csv_transcode.conversion import plan_of
from csv_transcode.errors import SettingsError
from csv_transcode.keys import stem_of
from csv_transcode.local import LocalTarget, folder_made
from csv_transcode.pipeline import REJECTS, Pools, transcode
from csv_transcode.report import Outcome
from csv_transcode.telemetry import configure_logging

if TYPE_CHECKING:
    from collections.abc import Mapping

    from csv_transcode.cli.call import Call

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


def register(verbs: Any) -> None:  # noqa: ANN401 -- argparse gives its type no public name
    """Add this verb's parser."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = verbs.add_parser(
        "convert",
        help="convert a file, an object, or every object under a prefix",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=raw,
    )
    parser.add_argument("source", metavar="SOURCE", help="a local file, s3://bucket/key, or s3://bucket/prefix/")
    parser.add_argument("target", metavar="TARGET", help="a local folder, or s3://bucket/prefix/ for S3 sources")
    parser.add_argument("--force", action="store_true", help="convert what stands converted, too (S3 targets)")
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be converted, and write nothing (S3 targets)"
    )
    add_common(parser)
    parser.set_defaults(run=run)


def run(call: Call) -> int:
    """Convert as the options say."""
    options = call.options
    source, target = location(options.source), location(options.target, folder=True)
    whole_prefix = isinstance(source, tuple) and source[1][-1:] in ("", "/")
    chosen = given(options.set, one_object=isinstance(target, tuple) and not whole_prefix)
    require_use(chosen, from_s3=isinstance(source, tuple), to_s3=isinstance(target, tuple))
    if isinstance(target, tuple):
        if not isinstance(source, tuple):
            message = "a local file cannot be converted into S3: copy it to a bucket first, and convert it there"
            raise SettingsError(message)
        return _convert_in_s3(source, target, chosen, call)
    if whole_prefix:
        message = "a prefix cannot be converted to local files, only one object: s3://bucket/key"
        raise SettingsError(message)
    if options.force or options.dry_run:
        message = "--force and --dry-run are for S3 targets: local files are always written anew"
        raise SettingsError(message)
    _require_file_and_folder(source, target)
    return _convert_to_files(source, target, chosen, call)


def _require_file_and_folder(source: tuple[str, str] | Path, target: Path) -> None:
    if isinstance(source, Path) and source.is_dir():
        message = f"SOURCE must be a file, {source} is a folder: convert its files one by one"
        raise SettingsError(message)
    standing = next(path for path in (target, *target.parents, Path()) if path.exists())
    if not standing.is_dir():
        message = f"TARGET must be a folder, {standing} is none"
        raise SettingsError(message)


def _convert_in_s3(source: tuple[str, str], target: tuple[str, str], chosen: Mapping[str, str], call: Call) -> int:
    from s3_data_processor import S3DataProcessor  # noqa: PLC0415 -- the S3 client, which files do not need

    bucket, key = source
    folder = key[: key.rfind("/") + 1]
    places = {"INPUT_BUCKET": bucket, "PREFIX": folder, "OUTPUT_BUCKET": target[0], "OUTPUT_PREFIX": target[1]}
    settings = settings_of(call, chosen, **places)
    if chosen.get("LOG_LEVEL") or call.environment.get("LOG_LEVEL"):  # the screen says enough to who asks for no log
        configure_logging(settings.log_level)
    if key != folder:
        require_object(source, store_of(settings, call.runtime))
    with S3DataProcessor.from_settings(replace(settings, output_prefix=target[1])) as processor:
        report = processor.run(
            [key] if key != folder else None,
            force=call.options.force,
            dry_run=call.options.dry_run,
            on_result=call.screen.result,
        )
    call.screen.summary(report)
    return FAILED if report.having(Outcome.FAILED) else OK


def _convert_to_files(source: tuple[str, str] | Path, folder: Path, chosen: Mapping[str, str], call: Call) -> int:
    runtime = call.runtime
    bucket = source[0] if isinstance(source, tuple) else NOWHERE
    settings = settings_of(call, chosen, INPUT_BUCKET=bucket, OUTPUT_BUCKET=f"{NOWHERE}-out")
    name = source[1].rpartition("/")[2] if isinstance(source, tuple) else source.name
    targets: dict[str, LocalTarget] = {}
    with ExitStack() as stack:
        pool = stack.enter_context(runtime.executor(2 * runtime.cores, "transcode"))
        stack.enter_context(folder_made(folder))
        chunks, size = open_chunks(source, settings, runtime, stack)

        def open_targets() -> dict[str, LocalTarget]:
            for form in (*settings.output_formats, REJECTS):
                suffix = "rejects.jsonl" if form == REJECTS else form
                target = targets[form] = LocalTarget(folder / f"{stem_of(name)}.{suffix}")
                stack.callback(target.abort)
                target.open()
            return targets

        begun = runtime.clock()
        shown = call.screen.counting(chunks, size, runtime.clock)
        done = transcode(shown, open_targets, plan_of(settings), Pools(pool, pool, window=runtime.cores + 1))
        if done is None:
            call.screen.say(f"skipped: {name} is empty: it holds no record, and no header")
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
    call.screen.say(f"converted: {name}: {done.written:,} records{rejected} in {seconds:.1f} s{speed}: {sizes}")
    return OK
