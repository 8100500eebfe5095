"""The ``_failed/`` records in the output bucket, and whether they still hold."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from csv_transcode.cli.listed_rejects import ListedReject
from csv_transcode.commit import read_manifest
from csv_transcode.errors import ManifestError, ObjectNotFoundError
from csv_transcode.keys import SIDECARS
from csv_transcode.manifest import fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from csv_transcode.cli.options import Asked
    from csv_transcode.s3.store import ObjectStore

RECORD_BYTES_MAX: Final = 64 << 20  # the first 1,000 rejects, 4 MiB of text in all, as JSON

FAILED: Final = "failed"  # and nothing has changed since
CHANGED: Final = "changed"  # the source has another version by now, which nobody has converted
CONVERTED: Final = "converted"  # since, from the version that stands now
GONE: Final = "gone"  # the source
STANDING: Final = (FAILED, CHANGED)


class Failure(Struct, frozen=True):
    """One ``_failed/`` record: why, and of which version, if that was known; ``state`` is what has come of it."""

    key: str
    state: str
    reason: str
    error: str
    etag: str | None
    version_id: str | None
    fingerprint: str | None  # of the settings that it failed under
    records: Mapping[str, int] | None
    rejects: tuple[ListedReject, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it for a program."""
        described = {"key": self.key, "state": self.state, "error": self.error, "reason": self.reason}
        return described | {"source_etag": self.etag, "records": self.records}


def failed_keys(asked: Asked, store: ObjectStore) -> Iterable[str]:
    """Return the keys that are asked for: those named, or all of which a failure stands recorded."""
    return asked.keys if asked.keys is not None else _keys(asked, store)


def failure_of(key: str, asked: Asked, store: ObjectStore) -> Failure | None:
    """Return what stands recorded of one key, and not of one under another prefix; ManifestError for a damaged one."""
    settings = asked.settings
    place = settings.key_map.map(key).failed
    try:
        body = store.get(settings.output_bucket, place).body
    except ObjectNotFoundError:
        return None
    try:
        content = body.read(RECORD_BYTES_MAX)
    finally:
        body.close()
    try:
        told = json.loads(content)
        reason, error, source = str(told["reason"]), str(told["error"]), dict(told["source"])
        rejects = tuple(map(ListedReject.of, told["rejects"]))
        etag, records, settings_then = source.get("etag"), told["records"], told.get("settings_fingerprint")
    except (KeyError, TypeError, ValueError) as damage:
        message = f"s3://{settings.output_bucket}/{place} is damaged: {type(damage).__name__}"
        raise ManifestError(message) from None
    if source.get("key") != key or source.get("bucket", settings.input_bucket) != settings.input_bucket:
        return None
    state = _state(key, etag, {settings_then, fingerprint(settings)}, asked, store)
    return Failure(key, state, reason, error, etag, source.get("version_id"), settings_then, records, rejects)


def _keys(asked: Asked, store: ObjectStore) -> Iterator[str]:
    settings = asked.settings
    folder, suffix = SIDECARS["failed"]
    folder = f"{settings.output_prefix}{folder}"
    for found in store.list_objects(settings.output_bucket, folder):
        yield settings.prefix + found.key.removeprefix(folder).removesuffix(suffix)


def _state(key: str, etag: str | None, fingerprints: set[str | None], asked: Asked, store: ObjectStore) -> str:
    """Say what has come of a failure of the version ``etag`` (None: it was never seen)."""
    settings = asked.settings
    source = store.head(settings.input_bucket, key)
    if source is None:
        return GONE
    manifest = read_manifest(store, settings.output_bucket, settings.key_map.map(key).manifest).manifest
    is_converted = manifest is not None and manifest.is_committed and manifest.source.etag == source.etag
    if is_converted and manifest is not None and manifest.settings_fingerprint in fingerprints:
        return CONVERTED
    return FAILED if etag in (None, source.etag) else CHANGED
