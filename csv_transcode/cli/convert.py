"""``convert``: a file, an object, or every object under a prefix becomes Parquet and Avro."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from msgspec.structs import replace

from csv_transcode.cli.call import FAILED, OK
from csv_transcode.cli.description import described_source
from csv_transcode.cli.interruption import Interruption, ending_as_ctrl_c
from csv_transcode.cli.options import (
    DESCRIPTION,
    NOWHERE,
    add_common,
    add_keys,
    asked_of,
    given,
    location,
    require_use,
    settings_of,
)
from csv_transcode.cli.screen import MEGABYTE, SECONDS_LEAST, shown
from csv_transcode.cli.sources import bytes_of, open_chunks, require_object, store_of
from csv_transcode.conversion import plan_of
from csv_transcode.errors import SettingsError
from csv_transcode.events import EventKind, EventObject, Invocation, Sweep
from csv_transcode.keys import FORMATS, stem_of
from csv_transcode.local import LocalTarget, folder_made
from csv_transcode.manifest import RecordCounts
from csv_transcode.pipeline import REJECTS, Pools, transcode
from csv_transcode.report import ObjectResult, Outcome, RunReport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from csv_transcode.cli.call import Call
    from csv_transcode.cli.options import Asked
    from csv_transcode.cli.screen import Meter
    from csv_transcode.pipeline import Transcoded
    from csv_transcode.settings import Settings

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
    add_keys(parser)
    add_common(parser)
    parser.set_defaults(run=run)


def run(call: Call) -> int:
    """Convert as the options say."""
    options = call.options
    source, target = location(options.source), location(options.target, folder=True)
    if isinstance(target, tuple):
        if not isinstance(source, tuple):
            message = "a local file cannot be converted into S3: copy it to a bucket first, and convert it there"
            raise SettingsError(message)
        return _convert_in_s3(asked_of(call), source, call)
    chosen = given(options.set, one_object=False)
    require_use(chosen, from_s3=isinstance(source, tuple), to_s3=False)
    if isinstance(source, tuple) and source[1][-1:] in ("", "/"):
        message = "a prefix cannot be converted to local files, only one object: s3://bucket/key"
        raise SettingsError(message)
    if options.force or options.dry_run or options.keys:
        message = "--force, --dry-run and --keys are for S3 targets: local files are always written anew"
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


def _convert_in_s3(asked: Asked, source: tuple[str, str], call: Call) -> int:
    options, screen, settings = call.options, call.screen, asked.settings
    store = store_of(settings, call.runtime)
    if asked.keys is not None and not options.keys:
        require_object(source, store)
    total = 0 if options.dry_run or not screen.moves else bytes_of(asked, store, screen)
    with screen.meter(total) as meter:
        report = converted(asked, call, meter, force=options.force, dry_run=options.dry_run)
    screen.summary(report, options.source)
    if options.json:
        screen.print_json(whole(report))
    return FAILED if report.having(Outcome.FAILED) else OK


def converted(
    asked: Asked,
    call: Call,
    meter: Meter | None = None,
    *,
    force: bool = False,
    dry_run: bool = False,
    on_result: Callable[[ObjectResult], object] | None = None,
) -> RunReport:
    """Convert what is asked for in S3, and tell ``on_result`` (the screen) as it goes.

    KeyboardInterrupt comes once what was begun has been finished or taken back, and the summary has been said.
    """
    from csv_transcode.cli.metered import MeteredProcessor  # noqa: PLC0415 -- the S3 client, which files do not need

    interruption = Interruption(asked.settings.deadline_margin_seconds)

    def told(result: ObjectResult) -> None:
        if interruption.has_come and result.outcome is Outcome.DEFERRED:
            result = replace(result, reason="interrupted")
        (on_result or call.screen.result)(result)

    with MeteredProcessor(asked.settings, meter) as processor, interruption.heard():
        report = processor.handle(
            _invocation(asked, force=force, dry_run=dry_run), interruption.deadline, on_result=told
        )
    if interruption.has_come:
        call.screen.summary(report, call.options.source)
        raise KeyboardInterrupt
    return report


def _invocation(asked: Asked, *, force: bool, dry_run: bool) -> Invocation:
    objects = tuple(map(EventObject, asked.keys or ()))
    sweep = Sweep(asked.settings.prefix) if asked.keys is None else None
    return Invocation(EventKind.DIRECT, objects, sweep=sweep, force=force, dry_run=dry_run)


def whole(report: RunReport) -> dict[str, Any]:
    """Return a report as the contract has it, whole: nothing limits its length here."""
    described = report.summary() | {"results": [result.to_dict() for result in report.results]}
    return described if report.next is None else described | {"next": report.next}


class _Written(Struct, frozen=True):
    """What a conversion to local files came to."""

    name: str
    size: int
    seconds: float
    done: Transcoded | None
    targets: Mapping[str, LocalTarget]

    @property
    def files(self) -> dict[str, LocalTarget]:
        """The files that have been published, by format."""
        return {form: target for form, target in self.targets.items() if target.bytes_written}

    def sentence(self) -> str:
        """Return what it came to, for a person."""
        if self.done is None:
            return f"skipped: {self.name} is empty: it holds no record, and no header"
        sizes = ", ".join(f"{target.path} {target.bytes_written:,} bytes" for target in self.files.values())
        speed = f", {self.size / self.seconds / MEGABYTE:.0f} MB/s" if self.size >= MEGABYTE else ""
        rejected = f" ({self.done.rejected:,} rejected)" if self.done.rejected else ""
        return (
            f"converted: {self.name}: {self.done.written:,} records{rejected} in {self.seconds:.1f} s{speed}: {sizes}"
        )

    def report(self, source: str) -> dict[str, Any]:
        """Return the report, as for S3; the one result also says what else would stand in a manifest."""
        done, files = self.done, self.files
        outcome = Outcome.SKIPPED if done is None else Outcome.CONVERTED
        counts = RecordCounts(done.written + done.rejected, done.written, done.rejected) if done else None
        parquet, avro = (files[form].bytes_written if form in files else 0 for form in FORMATS)
        reason = None if done else "empty: it holds no record, and no header"
        result = ObjectResult(
            source,
            outcome,
            reason,
            counts,
            self.seconds,
            bytes_read=self.size,
            bytes_parquet=parquet,
            bytes_avro=avro,
        )
        described = result.to_dict()
        if done is not None:
            described |= described_source(done.dialect, done.schema)
            described["outputs"] = [
                {"format": form, "path": str(target.path), "bytes": target.bytes_written, "rows": done.written}
                for form, target in files.items()
                if form != REJECTS
            ]
            rejects = files.get(REJECTS)
            described["rejects"] = rejects and {"path": str(rejects.path), "records": done.reject_lines}
        return RunReport((result,), self.seconds).summary() | {"results": [described]}


def _convert_to_files(source: tuple[str, str] | Path, folder: Path, chosen: Mapping[str, str], call: Call) -> int:
    bucket = source[0] if isinstance(source, tuple) else NOWHERE
    settings = settings_of(call, chosen, INPUT_BUCKET=bucket, OUTPUT_BUCKET=f"{NOWHERE}-out")
    with ending_as_ctrl_c():
        written = _written(source, folder, settings, call)
    call.screen.say(shown(written.sentence()))
    if call.options.json:
        call.screen.print_json(written.report(call.options.source))
    return OK


def _written(source: tuple[str, str] | Path, folder: Path, settings: Settings, call: Call) -> _Written:
    """Convert one source to files in ``folder``: all of them are there at the end, or none."""
    runtime = call.runtime
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
        meter = stack.enter_context(call.screen.meter(size))
        pools = Pools(pool, pool, window=runtime.cores + 1)
        done = transcode(meter.counting(chunks), open_targets, plan_of(settings), pools)
        for form, target in targets.items() if done else ():
            if form == REJECTS and not target.bytes_written:
                target.withdraw()
            else:
                target.publish()
        return _Written(name, size, max(runtime.clock() - begun, SECONDS_LEAST), done, targets)
