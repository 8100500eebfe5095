"""``verify``: whether outputs say what their source says, cell by cell, and are those that the manifest names."""

from __future__ import annotations

import argparse
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from csv_transcode.cli.call import FAILED, OK
from csv_transcode.cli.comparison import Column
from csv_transcode.cli.listed_rejects import ListedReject, read_rejects
from csv_transcode.cli.options import NOWHERE, add_common, add_keys, asked_of, given, location, require_use, settings_of
from csv_transcode.cli.rows import teach_codecs
from csv_transcode.cli.sources import ObjectReader, open_chunks, store_of
from csv_transcode.cli.survey import survey
from csv_transcode.cli.verification import (
    DIFFERENT,
    SKIPPED,
    UNVERIFIED,
    VERIFIED,
    Comparing,
    Verdict,
    Verification,
    metered,
    outcome_of,
)
from csv_transcode.conversion import plan_of
from csv_transcode.errors import SettingsError
from csv_transcode.formats.avro.schema import avro_names
from csv_transcode.keys import SIDECARS
from csv_transcode.local import read_chunks
from csv_transcode.pipeline import Pools

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from csv_transcode.cli.call import Call
    from csv_transcode.cli.options import Asked
    from csv_transcode.s3.store import ObjectStore

UNLISTED: Final = -1  # a size

DESCRIPTION: Final = """\
Read the outputs again, with pyarrow and fastavro, and the source, with the product's decoder and Python's csv module,
and hold them against each other: names, types, counts and every cell, which must be the source's text again once it is
written by the column's spelling. In S3 the manifest says what is expected: ETags, sizes, counts, spelling, rejects.
What was rejected must stand in the rejects object, byte for byte, and nowhere else. Nothing is written.
"""
EPILOG: Final = """\
examples
  python -m csv_transcode verify s3://landing/in/day.csv s3://lake/processed/
      one conversion
  python -m csv_transcode verify s3://landing/in/ s3://lake/processed/
      every source under the prefix, and every manifest that stands for one
  python -m csv_transcode verify day.csv out/day.parquet out/day.avro
      local files; rejects are looked for beside them (day.rejects.jsonl), or --rejects FILE
  python -m csv_transcode verify s3://landing/in/ s3://lake/processed/ --json | jq '.results[] | select(.differences)'

An object is verified, in the formats that are said, different (what differs is said; convert it again with --force, for
by its manifest it stands converted), or unverified: it is not converted, its source has changed and the version that
was converted cannot be read any more, or S3 refuses a request.

exit codes
  0  all are verified                1    something is different, or could not be verified
  2  the command or a setting is     130  interrupted
     wrong                           141  nobody reads standard output any more
"""


def register(verbs: Any) -> None:  # noqa: ANN401 -- argparse gives its type no public name
    """Add this verb's parser."""
    parser = verbs.add_parser(
        "verify",
        help="hold outputs against their source, cell by cell, and against their manifest",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="SOURCE", help="a local file, s3://bucket/key, or s3://bucket/prefix/")
    parser.add_argument(
        "target", metavar="OUTPUT", nargs="+", help="the output files, or s3://bucket/prefix/ that it is converted to"
    )
    parser.add_argument("--rejects", metavar="FILE", help="the rejects of a local conversion")
    add_keys(parser)
    add_common(parser)
    parser.set_defaults(run=run)


def run(call: Call) -> int:
    """Verify, and say so."""
    options = call.options
    teach_codecs()
    if any(target.startswith("s3://") for target in options.target):
        (options.target,) = _one_place(options.target)
        verdicts = _in_s3(call)
    else:
        verdicts = _local(call)
    counts, records, cells, results = Counter[str](), 0, 0, []
    for verdict in verdicts:
        for line in verdict.lines():
            call.screen.say(line)
        counts[verdict.outcome] += 1
        records, cells = records + verdict.findings.records, cells + verdict.findings.cells
        results.append(verdict.to_dict())
    said = (
        ", ".join(f"{count:,} {outcome}" for outcome, count in counts.items())
        or f"nothing to verify at {options.source}"
    )
    call.screen.say(f"{said}; {cells:,} cells of {records:,} records")
    if options.json:
        described = {outcome: counts[outcome] for outcome in (VERIFIED, DIFFERENT, UNVERIFIED, SKIPPED)}
        call.screen.print_json({"objects": described, "records": records, "cells": cells, "results": results})
    return FAILED if counts[DIFFERENT] or counts[UNVERIFIED] else OK


def _one_place(targets: Sequence[str]) -> Sequence[str]:
    if len(targets) > 1:
        message = "outputs in S3 are named by one place, s3://bucket/prefix/, as for convert"
        raise SettingsError(message)
    return targets


# --- local files


def _local(call: Call) -> Iterator[Verdict]:
    options = call.options
    source = location(options.source)
    if options.keys or (isinstance(source, tuple) and source[1][-1:] in ("", "/")):
        message = "to verify objects, write SOURCE and OUTPUT as for convert: s3://bucket/prefix/ twice"
        raise SettingsError(message)
    chosen = given(options.set, one_object=False)
    require_use(chosen, from_s3=isinstance(source, tuple), to_s3=False, writes=False)
    bucket = source[0] if isinstance(source, tuple) else NOWHERE
    settings = settings_of(call, chosen, INPUT_BUCKET=bucket, OUTPUT_BUCKET=f"{NOWHERE}-out")
    paths = [Path(target) for target in options.target]
    rejects = _rejects_beside(paths, options.rejects)
    with ExitStack() as stack:
        chunks, size = open_chunks(source, settings, call.runtime, stack)
        meter = stack.enter_context(call.screen.meter(2 * size))
        pool = stack.enter_context(call.runtime.executor(call.runtime.cores, "decode"))
        plan = plan_of(settings)
        found = survey(metered(meter, chunks)(), plan, Pools(pool, pool, window=call.runtime.cores + 1))
        if found is None:
            yield Verdict(options.source, SKIPPED, "empty: it holds no record, and no header")
            return
        avro = avro_names([column.name for column in found.schema.columns])
        columns = tuple(
            Column(column.name, name, str(column.type), column.spelling)
            for column, name in zip(found.schema.columns, avro, strict=True)
        )
        files = [(str(path), stack.enter_context(path.open("rb"))) for path in paths]
        comparing = Comparing(found.dialect, columns, plan.reading.limits)
        comparing.run(metered(meter, chunks)(), _listed(rejects), files)
    outcome = outcome_of(comparing.findings)
    yield Verdict(options.source, outcome, findings=comparing.findings, formats=comparing.formats)


def _rejects_beside(outputs: Sequence[Path], named: str | None) -> Path | None:
    if named:
        return Path(named)
    beside = (path.with_name(f"{path.stem}.rejects.jsonl") for path in outputs)
    return next((path for path in beside if path.exists()), None)


def _listed(rejects: Path | None) -> Iterator[ListedReject]:
    return read_rejects(read_chunks(rejects)) if rejects else iter(())


# --- objects


def _in_s3(call: Call) -> Iterator[Verdict]:
    if call.options.rejects:
        message = "--rejects is for local files: the manifest says where an object's rejects are"
        raise SettingsError(message)
    asked = asked_of(call)
    with ExitStack() as stack:
        pool = stack.enter_context(call.runtime.executor(call.runtime.cores, "io"))
        store = store_of(asked.settings, call.runtime)
        reader = ObjectReader(store, asked.settings, pool)
        found = _keys(asked, store)
        meter = stack.enter_context(call.screen.meter(sum(max(size, 0) for size in found.values())))
        verification = Verification(reader, store, asked.settings, meter, _shorter(asked, call))
        for number, (key, size) in enumerate(found.items(), start=1):
            meter.what = f"{number:,} of {len(found):,} objects"
            verdict = verification.of(key, max(size, 0))
            if not (verdict.is_another_s and size == UNLISTED):
                yield verdict


def _shorter(asked: Asked, call: Call) -> str:
    """Return what to ask where the one key that is given lies in nested folders, and has no manifest."""
    prefix = asked.settings.prefix
    first, _, nested = prefix.partition("/")
    is_one = asked.keys is not None and not call.options.keys
    if not (is_one and nested and "/" not in call.options.source.rpartition(prefix)[2]):
        return ""
    return f"; was it converted under a shorter prefix? --set PREFIX={first}/"


def _keys(asked: Asked, store: ObjectStore) -> dict[str, int]:
    """Return the keys to verify, in order, and their sources' sizes: sources, and what manifests stand for.

    A manifest without a source (UNLISTED) may be that of a source under another prefix, with the same target.
    """
    settings = asked.settings
    if asked.keys is not None:
        heads = {key: store.head(settings.input_bucket, key) for key in asked.keys}
        return {key: (head.size or 0) if head else 0 for key, head in heads.items()}
    listed = store.list_objects(settings.input_bucket, settings.prefix)
    found = {one.key: one.size for one in listed if settings.key_map.skip_reason(one.key) is None}
    folder, suffix = SIDECARS["manifest"]
    folder = f"{settings.output_prefix}{folder}"
    for one in store.list_objects(settings.output_bucket, folder):
        key = settings.prefix + one.key.removeprefix(folder).removesuffix(suffix)
        found.setdefault(key, UNLISTED)
    return dict(sorted(found.items()))
