"""``verify``: whether outputs say what their source says, cell by cell, and are those that the manifest names."""

from __future__ import annotations

import argparse
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from msgspec import Struct, field
from msgspec.structs import asdict

from csv_transcode.cli.call import FAILED, OK
from csv_transcode.cli.comparison import Column, Comparison, Findings, RecordNumbers
from csv_transcode.cli.listed_rejects import ListedReject, MismatchError, read_rejects, without
from csv_transcode.cli.options import NOWHERE, add_common, add_keys, asked_of, given, location, require_use, settings_of
from csv_transcode.cli.rows import UnreadableError, open_rows, teach_codecs
from csv_transcode.cli.screen import shown
from csv_transcode.cli.source_records import SourceRecords, text_of
from csv_transcode.cli.sources import ObjectReader, open_chunks, store_of
from csv_transcode.cli.survey import survey
from csv_transcode.commit import read_manifest
from csv_transcode.conversion import plan_of
from csv_transcode.decode.dialect import Dialect
from csv_transcode.decode.reader import read_head
from csv_transcode.errors import ConservationError, ManifestError, SettingsError, SourceError, TranscodeError
from csv_transcode.formats.avro.schema import avro_names
from csv_transcode.keys import SIDECARS
from csv_transcode.local import read_chunks
from csv_transcode.manifest import SourceRef
from csv_transcode.pipeline import REJECTS, Pools

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from csv_transcode.cli.call import Call
    from csv_transcode.cli.options import Asked
    from csv_transcode.cli.screen import Meter
    from csv_transcode.decode.compression import DecompressionLimits
    from csv_transcode.manifest import Manifest, OutputRef
    from csv_transcode.s3.store import ObjectStore
    from csv_transcode.settings import Settings

VERIFIED: Final = "verified"
DIFFERENT: Final = "different"
UNVERIFIED: Final = "unverified"
SKIPPED: Final = "skipped"
UNLISTED: Final = -1  # a size
AGAIN: Final = "convert it again with --force"

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


class Verdict(Struct):
    """What became of one verification; ``reason`` says why there was none, ``note`` what else there is to know."""

    name: str
    outcome: str
    reason: str | None = None
    findings: Findings = field(default_factory=Findings)
    note: str | None = None
    formats: tuple[str, ...] = ()  # of the outputs that have been read
    is_another_s: bool = False  # the manifest is that of a source under another prefix

    def to_dict(self) -> dict[str, Any]:
        """Return it for a program."""
        found = self.findings
        described: dict[str, Any] = {"key": self.name, "outcome": self.outcome}
        described |= {name: text for name, text in (("reason", self.reason), ("note", self.note)) if text}
        described |= {"records": found.records, "cells": found.cells, "formats": list(self.formats)}
        if not found.are_none:
            described |= {"problems": found.problems, "cells_differing": found.cells_differing}
            described |= {"differences": found.differences}
        return described

    def lines(self) -> Iterator[str]:
        """Yield it for a person."""
        found, read = self.findings, " and ".join(self.formats)
        what = f", {found.cells:,} cells of {found.records:,} records in {read}" if read else ""
        why = f": {self.reason}" if self.reason else ""
        yield shown(f"{self.outcome}: {self.name}{what}{why}" + (f" ({self.note})" if self.note else ""))
        for sentence in found.sentences():
            yield shown(f"{self.outcome}:   {sentence}")


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


# --- in both places


class _Comparing:
    """One comparison: what it finds, also before and behind the cells."""

    def __init__(self, dialect: Dialect, columns: Sequence[Column], limits: DecompressionLimits) -> None:
        self.numbers = RecordNumbers()
        self._comparison = Comparison(columns, self.numbers, dialect.decimal_separator)
        self.findings = self._comparison.findings
        self.note = self._comparison.note
        self._dialect = dialect
        self._names = [column.name for column in columns]
        self._limits = limits
        self.formats: tuple[str, ...] = ()

    def run(
        self, chunks: Iterable[bytes], rejects: Iterable[ListedReject], outputs: Sequence[tuple[str, IO[bytes]]]
    ) -> None:
        """Compare the outputs, each with a name for what cannot be read, with the source that ``chunks`` hold."""
        opened = []
        for name, file in outputs:
            try:
                opened.append(open_rows(file))
            except UnreadableError as error:
                self.note(f"{name}: {error}")
        self.formats = tuple(dict.fromkeys(rows.format for rows in opened))
        try:
            left = without(text_of(chunks, self._dialect, self._limits), self.numbers.noting(rejects))
            records = SourceRecords(left, self._dialect, self._names, self._limits)
            self._comparison.run(records.batches(), opened)
            self._comparison.require_originals(records.header, opened)
        except (MismatchError, SourceError) as error:
            self.note(f"source: {error}")
        except ManifestError as error:  # of the rejects
            self.note(str(error))


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
        found = survey(_told(meter, chunks)(), plan, Pools(pool, pool, window=call.runtime.cores + 1))
        if found is None:
            yield Verdict(options.source, SKIPPED, "empty: it holds no record, and no header")
            return
        avro = avro_names([column.name for column in found.schema.columns])
        columns = tuple(
            Column(column.name, name, str(column.type), column.spelling)
            for column, name in zip(found.schema.columns, avro, strict=True)
        )
        files = [(str(path), stack.enter_context(path.open("rb"))) for path in paths]
        comparing = _Comparing(found.dialect, columns, plan.reading.limits)
        comparing.run(_told(meter, chunks)(), _listed(rejects), files)
    outcome = _outcome(comparing.findings)
    yield Verdict(options.source, outcome, findings=comparing.findings, formats=comparing.formats)


def _outcome(findings: Findings) -> str:
    return VERIFIED if findings.are_none else DIFFERENT


def _told(meter: Meter, chunks: Callable[[], Iterable[bytes]]) -> Callable[[], Iterator[bytes]]:
    """Return ``chunks``, each byte told to the meter."""

    def told() -> Iterator[bytes]:
        for chunk in chunks():
            meter.add(len(chunk))
            yield chunk

    return told


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
        verification = _Verification(reader, store, asked.settings, meter, _shorter(asked, call))
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


class _Verification:
    """One object's manifest, outputs and source."""

    def __init__(self, reader: ObjectReader, store: ObjectStore, settings: Settings, meter: Meter, hint: str) -> None:
        self._hint = hint  # where there is no manifest
        self._reader = reader
        self._store = store
        self._settings = settings
        self._meter = meter

    def of(self, key: str, size: int) -> Verdict:
        """Return what becomes of one object's verification; what S3 refuses is in it, too."""
        keys = self._settings.key_map.map(key)
        place = f"s3://{self._settings.output_bucket}/{keys.manifest}"
        try:
            standing = read_manifest(self._store, self._settings.output_bucket, keys.manifest)
            manifest = standing.manifest
            if standing.etag is None:
                return self._unconverted(key, size, keys.failed, f"not converted: there is no manifest at {place}")
            if manifest is None:
                return Verdict(key, DIFFERENT, f"the manifest at {place} is damaged")
            if (manifest.source.bucket, manifest.source.key) != (self._settings.input_bucket, key):
                other = f"s3://{manifest.source.bucket}/{manifest.source.key}"
                why = f"the manifest at {place} is that of {other}: was PREFIX another?"
                return Verdict(key, UNVERIFIED, why, is_another_s=True)
            if not manifest.is_committed:
                return Verdict(key, UNVERIFIED, f"not converted: the manifest at {place} is a claim (pending)")
            return self._verified(key, manifest)
        except TranscodeError as error:
            return Verdict(key, UNVERIFIED, str(error))

    def _unconverted(self, key: str, size: int, failed: str, why: str) -> Verdict:
        standing = self._store.head(self._settings.input_bucket, key)
        if standing is not None and (size == 0 or self._is_empty(key, standing.etag)):
            return Verdict(key, SKIPPED, "empty: it holds no record, and no header")
        if self._store.head(self._settings.output_bucket, failed) is not None:
            return Verdict(key, UNVERIFIED, f"{why}; it has failed, see python -m csv_transcode failed")
        return Verdict(key, UNVERIFIED, why + self._hint)

    def _is_empty(self, key: str, etag: str) -> bool:
        """Whether a source that has bytes has no record: blank lines, an empty archive."""
        ref = SourceRef(self._settings.input_bucket, key, None, etag, 0)
        with self._reader.source(ref, None) as opened, suppress(SourceError):
            return read_head(opened.chunks(), plan_of(self._settings).reading) is None
        return False

    def _verified(self, key: str, manifest: Manifest) -> Verdict:
        if not manifest.schema:
            return Verdict(key, DIFFERENT, f"its manifest names no column: {AGAIN}")
        source = manifest.source
        standing = self._store.head(source.bucket, key)
        is_newest = standing is not None and standing.etag == source.etag
        found = "it is gone" if standing is None else f"its ETag is {standing.etag}, {source.etag} was converted"
        if not is_newest and source.version_id is None:
            why = f"the source has changed since: {found}, and no version id is known to read that by"
            return Verdict(key, UNVERIFIED, why)
        compared = self._compared(manifest, None if is_newest else source.version_id)
        findings, outcome, notes = compared.findings, _outcome(compared.findings), []
        if not is_newest:
            notes += [f"by version {source.version_id} of the source, which has changed since: {found}"]
        elif outcome == DIFFERENT:  # which a manifest that names this version would otherwise be taken for
            notes += [AGAIN]
        named = {output.format for output in manifest.outputs}
        if lacking := [form for form in self._settings.output_formats if named and form not in named]:
            notes += [f"the manifest names no {' and no '.join(lacking)}, which OUTPUT_FORMATS asks for"]
        return Verdict(key, outcome, None, findings, "; ".join(notes) or None, compared.formats)

    def _compared(self, manifest: Manifest, version_id: str | None) -> _Comparing:
        assert manifest.dialect is not None  # noqa: S101 -- a committed one has them
        assert manifest.records is not None  # noqa: S101
        columns = tuple(Column(entry.name, entry.avro_name, entry.type, entry.spelling) for entry in manifest.schema)
        comparing = _Comparing(Dialect(**asdict(manifest.dialect)), columns, plan_of(self._settings).reading.limits)
        try:
            manifest.check_counts()
        except ConservationError as error:
            comparing.note(f"manifest: {error}")
        if not manifest.outputs:
            comparing.note("manifest: it names no output")
        with ExitStack() as stack:
            opened = stack.enter_context(self._reader.source(manifest.source, version_id))
            outputs = [
                (output.format, stack.enter_context(file))
                for output in manifest.outputs
                if (file := self._output(output, comparing)) is not None
            ]
            comparing.run(_told(self._meter, opened.chunks)(), self._rejects(manifest, comparing), outputs)
        told, findings, rejected = manifest.records, comparing.findings, comparing.numbers.rejected
        counted = (findings.records + rejected, findings.records, rejected)
        if findings.are_none and counted != (told.read, told.written, told.rejected):
            said = f"{told.read:,} read, {told.written:,} written, {told.rejected:,} rejected"
            comparing.note(f"manifest: {said}; counted {counted[0]:,}, {counted[1]:,}, {counted[2]:,}")
        return comparing

    def _output(self, output: OutputRef, comparing: _Comparing) -> IO[bytes] | None:
        """Open an output as it stands, and note where that is not what the manifest names."""
        standing = self._store.head(output.bucket, output.key)
        if standing is None:
            comparing.note(f"{output.format}: s3://{output.bucket}/{output.key} is not there")
            return None
        if standing.etag != output.etag:
            comparing.note(f"{output.format}: it has the ETag {standing.etag}, the manifest names {output.etag}")
        if standing.size != output.bytes:
            comparing.note(f"{output.format}: it has {standing.size:,} bytes, the manifest says {output.bytes:,}")
        return self._reader.file(output.bucket, output.key, standing.etag, standing.size or 0)

    def _rejects(self, manifest: Manifest, comparing: _Comparing) -> Iterator[ListedReject]:
        """Yield the rejects that the manifest names, and note where others stand."""
        named = manifest.rejects
        if named is None:
            return
        standing = self._store.head(named.bucket, named.key)
        if standing is None or standing.etag != named.etag:
            found = "nothing" if standing is None else f"ETag {standing.etag}"
            comparing.note(f"{REJECTS}: {found} at {named.key}, the manifest names ETag {named.etag}")
            if standing is None:
                return
        yield from read_rejects(self._reader.chunks(named.bucket, named.key, standing.etag))
