"""The commit protocol: at every moment a committed manifest names exactly what stands (contract section 6).

    simple      no manifest stood:    PUT outputs (if absent), PUT manifest (if absent)
    claimed     anything else:        PUT pending manifest (on the one that was read), HEAD source: still this version?,
                                      HEAD outputs, GET manifest: still this claim?, PUT outputs (on what HEAD saw),
                                      PUT manifest (on the claim)

Rejects, if there are any, are one more output, put once the others stand: who is overtaken loses a condition before.

Every PUT is conditional. One that loses raises PreconditionFailedError, and the conversion starts over: nothing is
repaired in place. Simpler protocols that take over an output seen after a 412, or accept another writer's without
looking, end with a new manifest beside an old output (docs/decisions).

S3 tells objects apart by their ETags, and the same bytes have the same. So an attempt whose claim was overtaken may
still, late, replace an output that another has published since with the very bytes that were there before. Whoever
loses after a claim therefore looks, and takes a manifest back that no longer names what stands.
"""

from __future__ import annotations

from concurrent.futures import wait
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

from csv_transcode.errors import (
    ArchivedError,
    ManifestError,
    ObjectNotFoundError,
    PreconditionFailedError,
    TranscodeError,
)
from csv_transcode.manifest import Manifest
from csv_transcode.s3.store import Condition

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Executor, Future

    from csv_transcode.keys import MappedKeys
    from csv_transcode.manifest import SourceRef
    from csv_transcode.s3.store import ObjectStore, StoredObject

MANIFEST_BYTES_MAX: Final = 64 << 20  # 10,000 columns make about 3 MB
JSON_TYPE: Final = "application/json"


class StandingManifest(Struct, frozen=True):
    """What stood at the manifest's key when it was read: nothing (no ETag), a manifest, or (None) a damaged one."""

    etag: str | None
    manifest: Manifest | None

    def converted_etag(self, fingerprint: str) -> str | None:
        """Return the ETag of the source version that stands converted under ``fingerprint``, or None."""
        manifest = self.manifest
        if manifest is None or not manifest.is_committed or manifest.settings_fingerprint != fingerprint:
            return None
        return manifest.source.etag

    @property
    def condition(self) -> Condition:
        """That it still stands."""
        return Condition.absent() if self.etag is None else Condition.matches(self.etag)


def read_manifest(store: ObjectStore, bucket: str, key: str) -> StandingManifest:
    """Return what stands at ``key``; ManifestError where it lies in an archive."""
    try:
        got = store.get(bucket, key)
    except ObjectNotFoundError:
        return StandingManifest(None, None)
    except ArchivedError as error:  # which of a source would mean that it is skipped
        message = f"the manifest cannot be read, restore it: {error}"
        raise ManifestError(message) from error
    try:
        content = got.body.read(MANIFEST_BYTES_MAX)
    finally:
        got.body.close()
    try:
        return StandingManifest(got.etag, Manifest.from_json(content))
    except ManifestError:
        return StandingManifest(got.etag, None)  # not a conversion, whatever it is: to be claimed


class Publishable(Protocol):
    """A finished upload that nobody sees yet."""

    @property
    def bytes_written(self) -> int:
        """How long it is."""

    @property
    def key(self) -> str:
        """Where it is to be published."""

    def publish(self, condition: Condition) -> StoredObject:
        """Make it the object at its key if ``condition`` holds, else raise PreconditionFailedError or ConflictError."""


class Commit(Struct, frozen=True):
    """One attempt to publish one conversion; ``attempt_id`` is its own and nobody else's."""

    store: ObjectStore
    bucket: str
    keys: MappedKeys
    source: SourceRef
    fingerprint: str
    attempt_id: str
    executor: Executor

    def publish(
        self,
        standing: StandingManifest,
        uploads: Mapping[str, Publishable],
        describe: Callable[[Mapping[str, StoredObject]], Manifest],
        *,
        claim: bool,
        optional: frozenset[str] = frozenset(),
    ) -> Manifest:
        """Publish the uploads (one a format, and the rejects) and then the manifest that ``describe`` makes of them.

        Uploads under ``optional`` (the rejects) come after the others. One that is empty is left out, unless something
        stands in its place.

        ``claim`` asks for the claimed form even where no manifest stood. Raises PreconditionFailedError or
        ConflictError where another writer was first: what this attempt published stands under no committed manifest.
        """
        empty = {name for name in optional if uploads[name].bytes_written == 0}
        if standing.etag is None and not claim:
            absent = {name: Condition.absent() for name in uploads if name not in empty}
            first, last = _split(absent, optional)
            return self._finish(uploads, describe, self._published(uploads, first), [last], Condition.absent())
        claimed = self._claim(standing)
        self._require_newest()
        seen = {name: self._seen(upload.key) for name, upload in uploads.items()}
        first, last = _split(seen, optional)
        last = {name: at for name, at in last.items() if name not in empty or at != Condition.absent()}
        self._require_claim(claimed)
        return self._finish(uploads, describe, {}, [first, last], Condition.matches(claimed))

    def _finish(
        self,
        uploads: Mapping[str, Publishable],
        describe: Callable[[Mapping[str, StoredObject]], Manifest],
        stored: dict[str, StoredObject],
        stages: Sequence[Mapping[str, Condition]],
        expected: Condition,
    ) -> Manifest:
        """Put what has a condition, stage by stage, beside what is ``stored``; and then the committed manifest."""
        try:
            for conditions in stages:
                stored |= self._published(uploads, conditions)
            manifest = describe(stored)
            manifest.check_counts()
            self._put(manifest, expected, "commit")
        except TranscodeError:
            if any(stages):
                self._withdraw_untrue()
            raise
        return manifest

    def _published(
        self, uploads: Mapping[str, Publishable], conditions: Mapping[str, Condition]
    ) -> dict[str, StoredObject]:
        """Put some uploads, all at once."""
        published: dict[str, Future[StoredObject]] = {}
        try:
            for name, condition in conditions.items():
                published[name] = self.executor.submit(uploads[name].publish, condition)
        finally:
            wait(published.values())  # all of them end before any error is raised, and before the uploads are aborted
        return {name: future.result() for name, future in published.items()}

    def _withdraw_untrue(self) -> None:
        """Make a committed manifest pending where it does not name what stands, for that may be this attempt's."""
        standing = read_manifest(self.store, self.bucket, self.keys.manifest)
        manifest = standing.manifest
        if manifest is None or not manifest.is_committed:
            return
        named = [(output.key, output.etag) for output in manifest.outputs]
        if manifest.rejects:
            named.append((manifest.rejects.key, manifest.rejects.etag))
        if any(self._seen(key) != Condition.matches(etag) for key, etag in named) or self._has_stray_rejects(manifest):
            pending = Manifest.pending(manifest.source, manifest.settings_fingerprint, self.attempt_id)
            self._put(pending, standing.condition, "withdraw")

    def _has_stray_rejects(self, manifest: Manifest) -> bool:
        """Say whether rejects stand though the manifest names none: not an empty object in the place of others."""
        found = None if manifest.rejects else self.store.head(self.bucket, self.keys.rejects)
        return found is not None and found.size != 0

    def _claim(self, standing: StandingManifest) -> str:
        """Put the pending manifest in the place of the one that was read; return its ETag."""
        pending = Manifest.pending(self.source, self.fingerprint, self.attempt_id)
        return self._put(pending, standing.condition, "claim")

    def _seen(self, key: str) -> Condition:
        """Return the condition that what stands at ``key`` now still does."""
        found = self.store.head(self.bucket, key)
        return Condition.absent() if found is None else Condition.matches(found.etag)

    def _require_claim(self, etag: str) -> None:
        standing = read_manifest(self.store, self.bucket, self.keys.manifest)
        if standing.etag != etag or standing.manifest is None or standing.manifest.attempt_id != self.attempt_id:
            message = f"s3://{self.bucket}/{self.keys.manifest} is another writer's claim by now"
            raise PreconditionFailedError(message)

    def _require_newest(self) -> None:
        """Refuse to replace a conversion by that of a version which is no longer the newest.

        While the manifest before the claim was committed, an event of its own version, come back, may have been
        answered by "converted already". Whoever comes after the claim converts. A source that is gone has no newer one.
        """
        found = self.store.head(self.source.bucket, self.source.key)
        if found is not None and found.etag != self.source.etag:
            message = f"s3://{self.source.bucket}/{self.source.key} has another version by now"
            raise PreconditionFailedError(message)

    def _put(self, manifest: Manifest, condition: Condition, step: str) -> str:
        stored = self.store.put(
            self.bucket,
            self.keys.manifest,
            manifest.to_json(),
            condition=condition,
            attempt_id=f"{self.attempt_id}-{step}",
            marker="manifest",
            content_type=JSON_TYPE,
        )
        return stored.etag


def _split(
    conditions: Mapping[str, Condition], last: frozenset[str]
) -> tuple[dict[str, Condition], dict[str, Condition]]:
    """Return the conditions of what is put first, and of what is put ``last``, by who has lost none of the first."""
    first = {name: at for name, at in conditions.items() if name not in last}
    return first, {name: at for name, at in conditions.items() if name in last}
