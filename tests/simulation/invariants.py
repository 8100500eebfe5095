"""What must be true after everything that S3 has carried out, and what of it is counted."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tests.simulation import faults
from tests.simulation.server import OWNER, WRITES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from csv_transcode.keys import KeyMap, MappedKeys
    from tests.simulation.corpus import Converted, Source
    from tests.simulation.faults import Call
    from tests.simulation.scheduler import Life
    from tests.simulation.server import Answer, Held, Request, Server

INPUT_BUCKET: Final = "input-bucket"
OUTPUT_BUCKET: Final = "output-bucket"
KMS_KEY: Final = "arn:aws:kms:us-east-1:111122223333:key/simulated"
OUTPUTS: Final = ("parquet", "avro")
# docs/decisions, commit protocol, "the known gap": a writer that had been overtaken has put something that no condition
# held back, and has not come to look again: it runs still, was killed, or could not reach S3.
EQUAL_ETAGS: Final = (
    "known gap: an output replaced on the ETag of equal bytes, by a writer that is gone before it looks"
)
REJECTS: Final = "known gap: rejects put where none stood, by a writer that is gone before it looks"
TOO_SLOW: Final = "needs about "
NO_SUCH_OBJECT: Final = ("404", "there is no such object")
KNOWN_GAPS: Final = (EQUAL_ETAGS, REJECTS)


class BrokenError(AssertionError):
    """An invariant does not hold."""


@dataclass(frozen=True)
class Rules:
    """What every request of a world must say."""

    owners: bool = False
    kms: bool = False


@dataclass
class _Overtaken:
    """Something that may stand beside another's manifest, until whoever has put it has looked."""

    gap: str
    serial: int
    life: Life
    faults_before: int


@dataclass
class Invariants:
    """Looks at every request and every change; the first thing that is broken ends the run."""

    server: Server
    key_map: KeyMap
    rules: Rules
    oracle: Callable[[Source, str], Converted]
    variant_of: Mapping[str, str]  # by fingerprint
    fail: Callable[[str], None]
    is_late: Callable[[Life], bool]  # so that an invocation answers before all of its threads have ended
    trace: Callable[[str], None] | None = None
    counts: Counter[str] = field(default_factory=Counter)
    befallen: Counter[str] = field(default_factory=Counter)
    asked: Counter[Life] = field(default_factory=Counter)  # objects that an invocation was asked for
    faults_met: Counter[Life] = field(default_factory=Counter)
    _sources: dict[str, tuple[str, MappedKeys]] = field(default_factory=dict)  # source key by output key
    _versions: dict[tuple[str, str], Source] = field(default_factory=dict)  # by source key and ETag
    _deleted: set[str] = field(default_factory=set)  # sources that have once been gone
    _seen: dict[tuple[Life, str], int] = field(default_factory=dict)  # serial that an invocation's HEAD saw
    _overtaken: dict[str, _Overtaken] = field(default_factory=dict)  # by output key
    _unabortable: set[Life] = field(default_factory=set)
    _uploads: dict[str, Life] = field(default_factory=dict)
    _last: dict[str, int] = field(default_factory=dict)  # serial of what stands, by key

    # ------------------------------------------------------------------ what the world tells

    def overwritten(self, key: str, source: Source, held: Held) -> None:
        """Take note of a new version of a source."""
        keys = self.key_map.map(key)
        self._versions[key, held.etag] = source
        for mapped in keys:
            self._sources[mapped] = (key, keys)
        if self.trace:
            self.trace(f"              {key} is now {source.name!r} (ETag {held.etag[:8]})")

    def deleted(self, key: str) -> None:
        """Take note that a source is gone."""
        self._deleted.add(key)
        if self.trace:
            self.trace(f"              {key} is gone")

    def adopt(self, other: Invariants) -> None:
        """Take over what another world has come to."""
        self._sources.update(other._sources)
        self._versions.update(other._versions)
        self._deleted |= other._deleted
        self._last.update(other._last)

    def ended(self, life: Life) -> None:
        """Look at what an invocation leaves that has come to its end alive."""
        for key, overtaken in list(self._overtaken.items()):
            if overtaken.life is life and self.faults_met[life] == overtaken.faults_before and self._is_untrue(key):
                self.fail(f"{life.name} has ended, and left {key} under a manifest that is not its own")
        if life not in self._unabortable and not self.is_late(life):
            left = [one for one, owner in self._uploads.items() if owner is life and self._stands(one)]
            if left:
                self.fail(f"{life.name} has ended, and left the uploads {left}")

    # ------------------------------------------------------------------ what the network tells

    def target_of(self, request: Request) -> str:
        """Return what kind of key a request is for."""
        if request.bucket == INPUT_BUCKET:
            return "source" if request.key else "listing"
        key = request.key or request.query.get("prefix", "")
        if key not in self._sources:
            return "unknown"
        _, keys = self._sources[key]
        named = {**{path: name for name, path in keys.outputs.items()}}
        return named.get(key) or next(name for name in ("manifest", "rejects", "failed") if getattr(keys, name) == key)

    def sent(self, call: Call) -> None:
        """Check that a request stays where it belongs, and says what it must."""
        self.counts["requests"] += 1
        request = call.request
        if request.bucket == INPUT_BUCKET:
            inside = (request.key or request.query.get("prefix", "")).startswith(self.key_map.prefix)
            right = inside and call.operation in ("GetObject", "HeadObject", "ListObjectsV2")
        else:
            right = request.bucket == OUTPUT_BUCKET and call.target != "unknown"
        if not right:
            self.fail(f"a request that is nobody's: {call}")
        if self.rules.owners and request.headers.get("x-amz-expected-bucket-owner") != OWNER:
            self.fail(f"does not say whose the bucket is: {call}")
        if self.rules.kms and call.operation in ("PutObject", "CreateMultipartUpload"):
            self._require_kms(call)

    def befell(self, call: Call, kind: str) -> None:
        """Count a fault."""
        self.befallen[kind] += 1
        if call.operation in ("CreateMultipartUpload", "AbortMultipartUpload"):
            self._unabortable.add(call.life)  # it may not know the upload, or not have reached it
        self.faults_met[call.life] += 1
        if call.operation == "ListObjectsV2" and call.is_further_page and kind not in faults.CRASHES:
            self.befallen[faults.PAGE_2] += 1
        if self.trace:
            self.trace(f"{call.number:4} {kind.upper()}: {call}")

    def carried_out(self, call: Call, answer: Answer) -> None:
        """Check everything after a request that S3 has answered."""
        if self.trace:
            self.trace(f"{call.number:4} {answer.status} {call}")
        key, life = call.request.key, call.life
        if call.operation == "HeadObject" and call.request.bucket == OUTPUT_BUCKET:
            held = self._held(key)
            self._seen[life, key] = held.serial if held else 0
        if call.operation == "CreateMultipartUpload" and answer.status == 200:
            self._uploads[list(self.server.buckets[OUTPUT_BUCKET].uploads)[-1]] = life
        if call.operation in WRITES and answer.status == 200:
            self._written(call)

    # ------------------------------------------------------------------ at rest

    def require_newest(self, newest: Mapping[str, tuple[Source, str]], variant: str) -> None:
        """Check that the newest version of every source stands converted, or failed where it can only fail."""
        for key, (source, etag) in newest.items():
            self.require_true(key)
            gap = self._gap(key)
            if gap:
                self.counts[gap] += 1
                continue
            told = self._manifest(self.key_map.map(key))
            if source.good and not source.empty:
                self._require_converted(key, told, etag, variant)
            if not source.good:
                self._require_failed(key, etag)
            self._require_rightly_failed(key)

    def manifest(self, key: str) -> Any:
        """Return the manifest of a source; None where none stands."""
        return self._manifest(self.key_map.map(key))

    def keys_with_uploads(self) -> set[str]:
        """Return the sources at whose outputs multipart uploads stand."""
        return {self._sources[upload.key][0] for upload in self.server.buckets[OUTPUT_BUCKET].uploads.values()}

    def require_no_uploads(self, keys: set[str]) -> None:
        """Check that no multipart upload stands at the outputs of these sources."""
        left = self.keys_with_uploads() & keys
        if left:
            self.fail(f"uploads are left of {left}")

    @property
    def gaps(self) -> set[str]:
        """The sources that the known gap has left with a manifest that is not true."""
        return {key for key, _ in self._versions if self._gap(key)}

    def versions(self) -> list[tuple[Source, str]]:
        """Return every version that there has been of any source."""
        return [(source, key) for (key, _), source in self._versions.items()]

    def require_true(self, key: str) -> None:
        """Check the manifest of one source against what stands."""
        keys = self.key_map.map(key)
        told = self._manifest(keys)
        if told is None or told["state"] != "committed":
            return
        source = self._versions.get((key, told["source"]["etag"]))
        variant = self.variant_of.get(told["settings_fingerprint"])
        if source is None or variant is None:
            self.fail(f"the manifest of {key} names a version that never was: {told['source']}")
            return
        expected = self.oracle(source, variant)
        if told["records"] != expected.records or told["source"]["size"] != len(source.content):
            self.fail(f"the manifest of {key} counts {told['records']}, not {expected.records}")
        named = {output["format"]: output for output in told["outputs"]}
        if told["rejects"]:
            named["rejects"] = told["rejects"]
        wrong = [name for name in (*OUTPUTS, "rejects") if not self._is_as_named(keys, name, named.get(name), expected)]
        if wrong and not all(self._is_overtaken(_path(keys, name)) for name in wrong):
            self.fail(f"the manifest of {key} ({source.name}, {variant}) does not name the {wrong} that stand")
        self.counts["steps in a known gap"] += bool(wrong)

    # ------------------------------------------------------------------ inside

    def _written(self, call: Call) -> None:
        key, life = call.request.key, call.life
        if key not in self._sources:
            return
        source_key, _ = self._sources[key]
        held = self._held(key)
        assert held is not None
        if call.target == "manifest":
            self._count_manifest(held)
        elif call.target in (*OUTPUTS, "rejects"):
            self._overtaken.pop(key, None)
            gap = self._gap_of(call)
            if gap is not None:
                self._overtaken[key] = _Overtaken(gap, held.serial, life, self.faults_met[life])
            self._require_whole(source_key, call.target, held)
        self._last[key] = held.serial
        self.require_true(source_key)

    def _gap_of(self, call: Call) -> str | None:
        """Return the known gap that a write may open: its condition held for something else than what was seen."""
        seen = self._seen.get((call.life, call.request.key))
        if "if-match" in call.request.headers and seen is not None and self._last.get(call.request.key, 0) != seen:
            return EQUAL_ETAGS
        return REJECTS if call.target == "rejects" and "if-none-match" in call.request.headers else None

    def _count_manifest(self, held: Held) -> None:
        told = json.loads(held.content)
        step = held.metadata.get("attempt-id", "").rpartition("-")[2]
        names = {"claim": "claims", "withdraw": "withdrawals", "commit": "commits"}
        self.counts[names.get(step, "commits" if told["state"] == "committed" else "claims")] += 1

    def _require_whole(self, source_key: str, target: str, held: Held) -> None:
        """Check that what stands at an output's key is the whole of some conversion of some version."""
        known = [source for (key, _), source in self._versions.items() if key == source_key]
        whole = (
            self.oracle(source, variant).bodies.get(target, b"")
            for source in known
            if source.good and not source.empty
            for variant in dict.fromkeys(self.variant_of.values())
        )
        if held.content not in whole:
            self.fail(f"{target} of {source_key}: {len(held.content)} bytes that are no version's whole conversion")

    def _is_as_named(self, keys: MappedKeys, name: str, told: Any, expected: Converted) -> bool:
        held = self._held(_path(keys, name))
        if told is None:  # rejects, of which there are none: nothing stands, or an empty object in the place of others
            return name not in expected.bodies and (held is None or not held.content)
        size = told["bytes"]
        return (
            held is not None
            and (told["key"], told["bucket"], told["etag"]) == (_path(keys, name), OUTPUT_BUCKET, held.etag)
            and held.content == expected.bodies.get(name)
            and size == len(held.content)
        )

    def _is_overtaken(self, key: str) -> bool:
        held, overtaken = self._held(key), self._overtaken.get(key)
        return held is not None and overtaken is not None and overtaken.serial == held.serial

    def _is_untrue(self, output_key: str) -> bool:
        """Say whether an output of an overtaken writer stands under a committed manifest of another's."""
        _, keys = self._sources[output_key]
        told = self._manifest(keys)
        if told is None or told["state"] != "committed" or not self._is_overtaken(output_key):
            return False
        named = [
            one["etag"]
            for one in (*told["outputs"], *([told["rejects"]] if told["rejects"] else []))
            if one["key"] == output_key
        ]
        held = self._held(output_key)
        is_nothing = not named and held is not None and not held.content  # in the place of rejects
        return held is not None and held.etag not in named and not is_nothing

    def _gap(self, key: str) -> str | None:
        left = [mapped for mapped in self.key_map.map(key) if mapped in self._overtaken and self._is_untrue(mapped)]
        return self._overtaken[left[0]].gap if left else None

    def _require_converted(self, key: str, told: Any, etag: str, variant: str) -> None:
        if told is None or told["state"] != "committed":
            self.fail(f"{key} is not converted, though all events have been delivered again")
        elif told["source"]["etag"] != etag:
            self.fail(f"{key} stands converted from {told['source']['etag'][:8]}, the newest version is {etag[:8]}")
        elif self.variant_of.get(told["settings_fingerprint"]) != variant:
            self.fail(f"{key} stands converted under other settings than the last")

    def _require_failed(self, key: str, etag: str) -> None:
        held = self._held(self.key_map.map(key).failed)
        if held is None or json.loads(held.content)["source"].get("etag") != etag:
            self.fail(f"{key} cannot be converted, and nothing says so")

    def _require_rightly_failed(self, key: str) -> None:
        held = self._held(self.key_map.map(key).failed)
        if held is None:
            return
        told = json.loads(held.content)
        if told["reason"].startswith(TOO_SLOW) and self.befallen:
            self.counts["too slow for the function's timeout"] += 1  # at the rate measured, which stalls made so slow
            return
        if key in self._deleted and any(words in told["reason"] for words in NO_SUCH_OBJECT):
            return
        source = self._versions.get((key, told["source"].get("etag", "")))
        if source is None or source.good:
            self.fail(f"a failure of {key} is recorded, and nothing was wrong with its data: {told['reason']}")

    def _require_kms(self, call: Call) -> None:
        headers = call.request.headers
        said = (
            headers.get("x-amz-server-side-encryption"),
            headers.get("x-amz-server-side-encryption-aws-kms-key-id"),
        )
        if said != ("aws:kms", KMS_KEY):
            self.fail(f"does not say the key to encrypt with: {call}")

    def _manifest(self, keys: MappedKeys) -> Any:
        held = self._held(keys.manifest)
        return None if held is None else json.loads(held.content)

    def _held(self, key: str) -> Held | None:
        return self.server.buckets[OUTPUT_BUCKET].objects.get(key)

    def _stands(self, upload_id: str) -> bool:
        return upload_id in self.server.buckets[OUTPUT_BUCKET].uploads


def _path(keys: MappedKeys, name: str) -> str:
    return keys.rejects if name == "rejects" else keys.outputs[name]
