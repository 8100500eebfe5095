"""What one attempt writes: an upload for each format and the rejects, and the manifest of them once they stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import asdict

from csv_transcode.formats.avro.schema import avro_names, field_type
from csv_transcode.manifest import (
    COMMITTED,
    Dialect,
    Manifest,
    OutputRef,
    RecordCounts,
    RejectsRef,
    SchemaEntry,
)
from csv_transcode.pipeline import REJECTS
from csv_transcode.s3.upload import ObjectUpload

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Executor

    from csv_transcode.keys import MappedKeys
    from csv_transcode.manifest import SourceRef
    from csv_transcode.memory_budget import MemoryBudget
    from csv_transcode.pipeline import Transcoded
    from csv_transcode.s3.store import ObjectStore, StoredObject
    from csv_transcode.schema import Schema
    from csv_transcode.settings import Settings

ATTEMPT_ID_BYTES: Final = 16
CONTENT_TYPES: Final = {
    "parquet": "application/vnd.apache.parquet",
    "avro": "application/avro",
    REJECTS: "application/x-ndjson",
}


class Outputs:
    """The uploads of one attempt."""

    def __init__(
        self,
        store: ObjectStore,
        settings: Settings,
        budget: MemoryBudget,
        keys: MappedKeys,
        *,
        attempt_id: str,
        executor: Executor,
    ) -> None:
        self.attempt_id = attempt_id
        self.uploads: dict[str, ObjectUpload] = {}
        self._store = store
        self._settings = settings
        self._budget = budget
        self._keys = keys
        self._executor = executor

    def open(self) -> Mapping[str, ObjectUpload]:
        """Return a fresh upload for every format, once a pass."""
        self.uploads = {name: self._upload(name) for name in (*self._settings.output_formats, REJECTS)}
        return self.uploads

    def abort(self) -> None:
        """Abort what has not been published."""
        for upload in self.uploads.values():
            upload.abort()

    @property
    def in_parts(self) -> bool:
        """Whether an output was large enough for a multipart upload."""
        return any(upload.upload_id is not None for upload in self.uploads.values())

    def manifest(
        self, stored: Mapping[str, StoredObject], source: SourceRef, fingerprint: str, done: Transcoded
    ) -> Manifest:
        """Return the committed manifest of what was published."""
        return Manifest(
            COMMITTED,
            source,
            fingerprint,
            Dialect(**asdict(done.dialect)),
            _entries(done.schema),
            RecordCounts(read=done.written + done.rejected, written=done.written, rejected=done.rejected),
            self._described(stored, done.written),
            self._described_rejects(stored, done.reject_lines),
        )

    def _described(self, stored: Mapping[str, StoredObject], rows: int) -> tuple[OutputRef, ...]:
        bucket = self._settings.output_bucket
        found = ((name, self.uploads[name], stored[name]) for name in self._settings.output_formats)
        return tuple(
            OutputRef(name, bucket, upload.key, at.etag, at.version_id, upload.bytes_written, rows)
            for name, upload, at in found
        )

    def _described_rejects(self, stored: Mapping[str, StoredObject], lines: int) -> RejectsRef | None:
        upload = self.uploads[REJECTS]
        if not lines:
            return None
        return RejectsRef(self._settings.output_bucket, upload.key, stored[REJECTS].etag, lines, upload.bytes_written)

    def _upload(self, name: str) -> ObjectUpload:
        return ObjectUpload(
            self._store,
            self._settings.output_bucket,
            self._keys.rejects if name == REJECTS else self._keys.outputs[name],
            attempt_id=self.attempt_id,
            marker=name,
            content_type=CONTENT_TYPES[name],
            executor=self._executor,
            part_bytes=self._budget.part_bytes,
            parts_in_flight=self._budget.parts_in_flight,
        )


def _entries(schema: Schema) -> tuple[SchemaEntry, ...]:
    names = avro_names([column.name for column in schema.columns])
    return tuple(
        SchemaEntry(
            column.name, name, str(column.type), field_type(column.type.arrow), column.spelling, column.ruled_out
        )
        for column, name in zip(schema.columns, names, strict=True)
    )
