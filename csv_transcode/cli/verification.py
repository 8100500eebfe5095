"""One verification: outputs held against their source, and an object's against their manifest."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import IO, TYPE_CHECKING, Any, Final

from msgspec import Struct, field
from msgspec.structs import asdict

from csv_transcode.cli.comparison import Column, Comparison, Findings, RecordNumbers
from csv_transcode.cli.listed_rejects import ListedReject, MismatchError, read_rejects, without
from csv_transcode.cli.rows import UnreadableError, open_rows
from csv_transcode.cli.screen import shown
from csv_transcode.cli.source_records import SourceRecords, text_of
from csv_transcode.commit import read_manifest
from csv_transcode.conversion import plan_of
from csv_transcode.decode.dialect import Dialect
from csv_transcode.decode.reader import read_head
from csv_transcode.errors import ConservationError, ManifestError, SourceError, TranscodeError
from csv_transcode.manifest import SourceRef
from csv_transcode.pipeline import REJECTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from csv_transcode.cli.screen import Meter
    from csv_transcode.cli.sources import ObjectReader
    from csv_transcode.decode.compression import DecompressionLimits
    from csv_transcode.manifest import Manifest, OutputRef
    from csv_transcode.s3.store import ObjectStore
    from csv_transcode.settings import Settings

VERIFIED: Final = "verified"
DIFFERENT: Final = "different"
UNVERIFIED: Final = "unverified"
SKIPPED: Final = "skipped"
AGAIN: Final = "convert it again with --force"


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


class Comparing:
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


def outcome_of(findings: Findings) -> str:
    """Return what a comparison with these findings comes to."""
    return VERIFIED if findings.are_none else DIFFERENT


def metered(meter: Meter, chunks: Callable[[], Iterable[bytes]]) -> Callable[[], Iterator[bytes]]:
    """Return ``chunks``, each byte told to the meter."""

    def counted() -> Iterator[bytes]:
        for chunk in chunks():
            meter.add(len(chunk))
            yield chunk

    return counted


class Verification:
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
        findings, outcome, notes = compared.findings, outcome_of(compared.findings), []
        if not is_newest:
            notes += [f"by version {source.version_id} of the source, which has changed since: {found}"]
        elif outcome == DIFFERENT:  # which a manifest that names this version would otherwise be taken for
            notes += [AGAIN]
        named = {output.format for output in manifest.outputs}
        if lacking := [form for form in self._settings.output_formats if named and form not in named]:
            notes += [f"the manifest names no {' and no '.join(lacking)}, which OUTPUT_FORMATS asks for"]
        return Verdict(key, outcome, None, findings, "; ".join(notes) or None, compared.formats)

    def _compared(self, manifest: Manifest, version_id: str | None) -> Comparing:
        assert manifest.dialect is not None  # noqa: S101 -- a committed one has them
        assert manifest.records is not None  # noqa: S101
        columns = tuple(Column(entry.name, entry.avro_name, entry.type, entry.spelling) for entry in manifest.schema)
        comparing = Comparing(Dialect(**asdict(manifest.dialect)), columns, plan_of(self._settings).reading.limits)
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
            comparing.run(metered(self._meter, opened.chunks)(), self._rejects(manifest, comparing), outputs)
        told, findings, rejected = manifest.records, comparing.findings, comparing.numbers.rejected
        counted = (findings.records + rejected, findings.records, rejected)
        if findings.are_none and counted != (told.read, told.written, told.rejected):
            said = f"{told.read:,} read, {told.written:,} written, {told.rejected:,} rejected"
            comparing.note(f"manifest: {said}; counted {counted[0]:,}, {counted[1]:,}, {counted[2]:,}")
        return comparing

    def _output(self, output: OutputRef, comparing: Comparing) -> IO[bytes] | None:
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

    def _rejects(self, manifest: Manifest, comparing: Comparing) -> Iterator[ListedReject]:
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
