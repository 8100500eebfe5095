"""One object's conversion under every trouble: afterwards it is converted, or it is not and nothing says that it is."""

from __future__ import annotations

import gc
import json
import random
from itertools import count
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import pytest

from csv_transcode.decode.records import Stripe
from csv_transcode.errors import ContendedError, RejectedError
from csv_transcode.manifest import RecordCounts
from csv_transcode.rejects import Reject
from csv_transcode.report import Outcome
from csv_transcode.s3.reader import _Stream, open_source
from csv_transcode.s3.upload import ObjectUpload
from csv_transcode.schema import ColumnType
from tests.conftest import INPUT_BUCKET, OUTPUT_BUCKET
from tests.imitation import Imitated
from tests.s3.faults import SentRequest, answer, before, operations, record
from tests.standing import (
    AVRO,
    FAILED,
    KEY,
    MANIFEST,
    PARQUET,
    REJECTS,
    failure,
    inline_runtime,
    manifest,
    patient_client,
    processor,
    put,
    require_truth,
    standing,
    uploads,
)
from tests.trouble import KINDS, KilledError, troubled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_s3 import S3Client

    from csv_transcode.report import ObjectResult

PART: Final = 20_000
OLD: Final = b"id,text\n1,old\n"


def table(seed: int, records: int) -> bytes:
    """Return a CSV that hardly compresses."""
    chance = random.Random(seed)
    return "".join(["id,text\n", *(f"{i},{chance.randbytes(40).hex()}\n" for i in range(records))]).encode()


SMALL: Final = table(1, 20)
LARGE: Final = table(2, 300)  # two ranges, and two parts of each output
MESSY: Final = SMALL + b'20,"x,y"\n20,x,y\n' + table(3, 20).partition(b"\n")[2] + b'20,"x\n'
BAD: Final = SMALL + b"20,x,y\n" * 3  # more than MAX_REJECTED_RATIO
SOURCES: Final = (OLD, SMALL, LARGE, MESSY)
# Of a small object every request is refused, of a large one every request that states a condition.
REFUSED_CONDITIONS: Final = ("overtaken", "in conflict")
SITUATIONS: Final[dict[str, tuple[bytes, bytes | None, tuple[str, ...]]]] = {
    "small": (SMALL, None, tuple(KINDS)),
    "small over old": (SMALL, OLD, tuple(KINDS)),
    "messy over old": (MESSY, OLD, ("overtaken", "in conflict", "answer lost", "killed")),
    "old over messy": (OLD, MESSY, ("overtaken", "in conflict", "answer lost", "killed")),
    "large": (LARGE, None, ("throttled", "overtaken", "in conflict", "answer lost", "killed")),
    "large over old": (LARGE, OLD, ("overtaken", "in conflict", "answer lost", "killed")),
}
# The rest is marked long: `make test` goes through all of it.
SHORT: Final = ("small, unreachable", "small, answer lost", "small, killed", "small over old, overtaken")


@pytest.fixture
def others(client: S3Client) -> S3Client:  # noqa: ARG001 -- first the buckets
    """Return the client of somebody else."""
    return patient_client()


@pytest.fixture
def client(imitated: None, monkeypatch: pytest.MonkeyPatch) -> S3Client:  # noqa: ARG001 -- first the buckets
    """Return a client that repeats nothing; parts may be as small as the tests need them, and each is a range."""
    monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 1)
    monkeypatch.setattr(open_source, "__kwdefaults__", {**(open_source.__kwdefaults__ or {}), "range_parts": 1})
    return patient_client()


def convert(client: S3Client, source: bytes | None = None, **overrides: Any) -> ObjectResult:
    """Convert KEY, as one request after the other; the listing said its size."""
    obj: dict[str, Any] = {"Key": KEY} if source is None else {"Key": KEY, "Size": len(source)}
    with processor(client, inline_runtime(), part_bytes=PART, **overrides) as made:
        return made.convert(obj)


def prepared(client: S3Client, source: bytes, old: Mapping[str, bytes]) -> None:
    """Make ``source`` the version to be converted, and ``old`` what stands of an earlier one."""
    Imitated.fill(INPUT_BUCKET, {})
    Imitated.fill(OUTPUT_BUCKET, old)
    put(client, source)


def converted(client: S3Client, source: bytes, old: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return what stands after an undisturbed conversion."""
    prepared(client, source, old)
    assert convert(client, source).outcome is Outcome.CONVERTED
    assert require_truth(client, *SOURCES) == {MANIFEST: "committed"}
    return standing(client)


class TestTrouble:
    """Every kind of trouble at every request, and then the conversion once more without any."""

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Arrow's writers, killed
    @pytest.mark.parametrize(
        ("source", "earlier", "kind"),
        [
            pytest.param(
                *(source, earlier, kind),
                id=f"{name}, {kind}",
                marks=() if f"{name}, {kind}" in SHORT else pytest.mark.long,
            )
            for name, (source, earlier, kinds) in SITUATIONS.items()
            for kind in kinds
        ],
    )
    def test_outputs_are_whole_and_manifests_true(
        self, client: S3Client, source: bytes, earlier: bytes | None, kind: str
    ) -> None:
        old = converted(client, earlier, {}) if earlier else {}
        sent = record(client)
        expected = converted(client, source, old)
        recovered: list[tuple[dict[str, bytes], list[str]]] = [(dict(old), [])]
        pointless = self._pointless(sent) if kind in REFUSED_CONDITIONS and source == LARGE else set()
        for number in count(1):
            if number in pointless:
                continue
            prepared(client, source, old)
            with troubled(client, KINDS[kind](number)) as trouble:
                result = self._survive(client, source)
            if len(trouble.sent) < number:
                break  # there is no request of that number
            self._require_sound(client, kind, result)
            left = (standing(client), sorted(uploads(client)))
            if left in recovered:
                continue  # a conversion knows no more of what was than this
            again = convert(client, source)
            assert again.outcome in (Outcome.CONVERTED, Outcome.SKIPPED), again
            assert {key: body for key, body in standing(client).items() if key != FAILED} == expected
            assert uploads(client) == []
            recovered.append(left)
        assert number > 5

    @staticmethod
    def _pointless(sent: list[SentRequest]) -> set[int]:
        """Return the numbers of the requests of a conversion that state no condition: S3 can refuse none of them."""
        conversion = sent[operations(sent).index("GetObject") :]
        return {
            number for number, one in enumerate(conversion, 1) if not {"if-match", "if-none-match"} & set(one.headers)
        }

    @staticmethod
    def _survive(client: S3Client, source: bytes) -> ObjectResult | None:
        """Return the result, or None where the process was killed."""
        try:
            return convert(client, source)
        except KilledError:
            return None

    @staticmethod
    def _require_sound(client: S3Client, kind: str, result: ObjectResult | None) -> None:
        require_truth(client, *SOURCES)
        if result is None:
            return
        assert result.outcome in (Outcome.CONVERTED, Outcome.FAILED)
        if result.outcome is Outcome.FAILED:
            assert result.retryable == (kind != "refused"), result.reason
        assert (FAILED in standing(client)) == (result.outcome is Outcome.FAILED and not result.retryable)
        if kind != "answer lost":  # an upload whose creation nobody heard of stands until the next conversion
            assert uploads(client) == []

    @pytest.mark.parametrize("kind", ["unreachable", "throttled", "refused", "killed"])
    def test_a_bad_source_changes_nothing_whatever_happens(self, client: S3Client, kind: str) -> None:
        old = converted(client, OLD, {})
        prepared(client, BAD, old)
        for number in count(1):
            with troubled(client, KINDS[kind](number)) as trouble:
                TestTrouble._survive(client, BAD)
            if len(trouble.sent) < number:
                break
            after = standing(client)
            after.pop(FAILED, None)
            assert after == old
        assert number == 4  # the manifest, the source, the record of the failure


class TestRequests:
    """What a conversion asks of S3, and on which conditions."""

    def test_a_large_object_comes_in_pinned_ranges_and_goes_up_in_parts(self, client: S3Client) -> None:
        etag = put(client, LARGE)
        sent = record(client)
        assert convert(client, LARGE).outcome is Outcome.CONVERTED
        ranges = [request.headers for request in sent if "range" in request.headers]
        starts = range(0, len(LARGE), PART)
        assert [one["range"] for one in ranges] == [
            f"bytes={start}-{min(start + PART, len(LARGE)) - (start > 0) - (start == 0)}" for start in starts
        ]
        assert [one.get("if-match") for one in ranges] == [None, *[f'"{etag}"'] * (len(starts) - 1)]
        operations = [request.operation for request in sent]
        assert operations.count("CreateMultipartUpload") == operations.count("CompleteMultipartUpload") == 2
        assert operations.count("UploadPart") == 4
        assert [request.headers.get("if-none-match") for request in sent if "Complete" in request.operation] == [
            "*"
        ] * 2
        assert operations[-4:] == ["PutObject", *["ListMultipartUploads"] * 3]

    def test_awswrangler_downloads_nothing_before_there_is_room_for_it(self, client: S3Client) -> None:
        put(client, SMALL)
        sent = record(client)
        assert convert(client, use_wrangler=True).outcome is Outcome.CONVERTED
        assert operations(sent)[:5] == ["GetObject", *["HeadObject"] * 3, "GetObject"]

    def test_a_size_that_is_wrong_by_now_does_no_harm(self, client: S3Client) -> None:
        for source, told in [(LARGE, SMALL), (SMALL, LARGE), (b"id,text\n", LARGE)]:
            prepared(client, source, {})
            assert convert(client, told).outcome is Outcome.CONVERTED
            require_truth(client, *SOURCES, b"id,text\n")

    def test_an_empty_object_that_was_said_to_be_large_is_skipped(self, client: S3Client) -> None:
        prepared(client, b"", {})
        assert convert(client, LARGE).outcome is Outcome.SKIPPED
        assert standing(client) == {}


class TestNewerVersions:
    """The newest version wins, and no output mixes two."""

    def test_a_source_overwritten_between_two_ranges(self, client: S3Client, others: S3Client) -> None:
        put(client, LARGE)
        newer = table(3, 400)
        before(client, "GetObject", 3, lambda: put(others, newer))
        result = convert(client, LARGE)
        assert (result.outcome, result.records and result.records.written) == (Outcome.CONVERTED, 400)
        assert require_truth(client, newer) == {MANIFEST: "committed"}
        assert uploads(client) == []

    def test_a_source_deleted_between_two_ranges_fails(self, client: S3Client, others: S3Client) -> None:
        put(client, LARGE)
        before(client, "GetObject", 3, lambda: others.delete_object(Bucket=INPUT_BUCKET, Key=KEY))
        result = convert(client, LARGE)
        assert (result.outcome, result.retryable) == (Outcome.FAILED, False)
        assert list(standing(client)) == [FAILED]
        assert uploads(client) == []

    def test_a_source_that_keeps_changing_is_given_up_for_now(self, client: S3Client, others: S3Client) -> None:
        versions = count()

        def change(**_: object) -> None:
            put(others, table(next(versions), 300))

        put(client, LARGE)
        client.meta.events.register_first("before-send.s3.GetObject", change)
        result = convert(client, LARGE)
        assert isinstance(result.error, ContendedError)
        assert (result.outcome, result.retryable) == (Outcome.FAILED, True)
        assert standing(others) == {}
        assert uploads(client) == []


class TestTheUnforeseen:
    """An exception that is none of ours costs its own object, and is told without its own words."""

    @pytest.mark.parametrize(
        ("error", "retryable"), [(ZeroDivisionError("a cell"), False), (MemoryError("a cell"), True)]
    )
    def test_costs_its_object_alone(self, client: S3Client, error: Exception, *, retryable: bool) -> None:
        put(client, SMALL)
        put(client, SMALL, "in/other.csv")

        def fail() -> None:
            raise error

        before(client, "PutObject", 1, fail)
        with processor(client, inline_runtime()) as made:
            report = made.run([KEY, "in/other.csv"])
        failed, other = report.results
        assert (failed.outcome, other.outcome) == (Outcome.FAILED, Outcome.CONVERTED)
        assert failed.retryable is retryable
        assert failed.reason is not None
        assert type(error).__name__ in failed.reason
        assert "test_conversion.py:" in failed.reason
        told = standing(client)
        assert (FAILED in told) is not retryable
        assert b"a cell" not in b"".join(told.values()) + failed.reason.encode()
        assert uploads(client) == []


class TestRecords:
    """What is written about a failure."""

    def test_where_why_and_of_which_version(self, client: S3Client) -> None:
        etag = put(client, BAD)
        result = convert(client)
        told = failure(client)
        assert told["reason"] == result.reason
        assert result.reason == (
            "3 of 23 records are rejected, which is more than MAX_REJECTED_RATIO=0.1 allows, "
            f"the first is record 21 (line 22, byte {len(SMALL)}): 3 fields, header has 2"
        )
        assert (told["source"]["etag"], told["source"]["size"]) == (etag, len(BAD))
        assert (told["error"], told["records"]) == ("RejectedError", {"read": 23, "written": 20, "rejected": 3})
        assert told["rejects"] == [
            {
                "record": 21 + number,
                "line": 22 + number,
                "offset": len(SMALL) + 7 * number,
                "length": 7,
                "reason": "field_count",
                "detail": "3 fields, header has 2",
                "raw": "20,x,y\n",
            }
            for number in range(3)
        ]
        assert list(standing(client)) == [FAILED]

    def test_of_many_rejects_the_first_thousand(self, client: S3Client) -> None:
        put(client, SMALL + b"x\n" * 1500)
        assert convert(client, delimiter=",").outcome is Outcome.FAILED
        told = failure(client)
        assert told["records"] == {"read": 1520, "written": 20, "rejected": 1500}
        assert [reject["record"] for reject in told["rejects"]] == list(range(21, 1021))

    def test_another_kind_of_failure_counts_nothing(self, client: S3Client) -> None:
        put(client, b"")
        assert convert(client).outcome is Outcome.SKIPPED
        put(client, b"\x1f\x8b" + SMALL)
        assert convert(client).outcome is Outcome.FAILED
        told = failure(client)
        assert (told["error"], told["records"], told["rejects"]) == ("CompressionError", None, [])

    def test_a_file_within_the_ratio_is_converted_and_one_of_any_share_where_1_allows_it(
        self, client: S3Client
    ) -> None:
        put(client, MESSY)
        assert convert(client).outcome is Outcome.CONVERTED
        assert require_truth(client, *SOURCES) == {MANIFEST: "committed"}
        assert manifest(client)["records"] == {"read": 43, "written": 41, "rejected": 2}
        put(client, b"id,text\n" + b"x\n" * 5)
        assert convert(client, delimiter=",", max_rejected_ratio=1.0).records == RecordCounts(
            read=5, written=0, rejected=5
        )
        assert require_truth(client, b"id,text\n" + b"x\n" * 5) == {MANIFEST: "committed"}

    def test_a_value_that_a_given_type_does_not_say(self, client: S3Client) -> None:
        put(client, SMALL + b"n,x\n")
        types = MappingProxyType({"id": ColumnType.parse("int64")})
        result = convert(client, column_types=types)
        assert result.records == RecordCounts(read=21, written=20, rejected=1)
        (told,) = map(json.loads, standing(client)[REJECTS].splitlines())
        assert (told["record"], told["line"], told["offset"]) == (21, 22, len(SMALL))
        assert (told["reason"], told["raw"]) == ("type", "n,x\n")
        assert "'id' does not fit int64" in told["detail"]
        assert require_truth(client, SMALL + b"n,x\n") == {MANIFEST: "committed"}

    def test_no_cell_is_in_a_reason(self, client: S3Client) -> None:
        """What a failure says goes into logs; what was rejected only into the bucket."""
        put(client, BAD.replace(b"20,x,y", b"20,secret,y"))
        assert "secret" not in str(convert(client).reason)

    @pytest.mark.long
    def test_a_kept_failure_keeps_nothing_of_the_source(self, client: S3Client) -> None:
        """Results of a long run are collected: frames of a traceback would hold stripes, buffers and answers."""
        put(client, LARGE + b"x" * 3000)
        gc.collect()
        result = convert(client, max_record_bytes=1 << 10)
        assert result.outcome is Outcome.FAILED
        chain = [result.error]
        while chain[-1] is not None:
            assert chain[-1].__traceback__ is None
            chain.append(chain[-1].__cause__ or chain[-1].__context__)
        assert len(chain) > 2
        assert [found for found in gc.get_objects() if isinstance(found, Stripe | _Stream)] == []

    def test_a_kept_failure_keeps_no_rejects(self, client: S3Client) -> None:
        """They are recorded, and may be megabytes for each of thousands of files."""
        put(client, BAD)
        gc.collect()
        result = convert(client)
        assert len(failure(client)["rejects"]) == 3
        assert isinstance(result.error, RejectedError)
        assert [found for found in gc.get_objects() if isinstance(found, Reject)] == []

    @pytest.mark.long
    def test_who_starts_over_keeps_nothing_of_the_attempt_before(self, client: S3Client) -> None:
        put(client, LARGE)
        kept: list[object] = []

        def look() -> None:
            gc.collect()
            kept.extend(found for found in gc.get_objects() if isinstance(found, Stripe | _Stream | ObjectUpload))

        answer(client, "GetObject", None, None, (412, "PreconditionFailed"))  # the second range
        before(client, "GetObject", 4, look)  # the manifest, once more
        assert convert(client).outcome is Outcome.CONVERTED
        assert [type(found).__name__ for found in kept] == []

    def test_a_failure_that_cannot_be_recorded_is_still_one(self, client: S3Client) -> None:
        put(client, BAD)
        answer(client, "PutObject", (403, "AccessDenied"))
        assert convert(client).outcome is Outcome.FAILED

    def test_an_archived_object_is_skipped(self, client: S3Client) -> None:
        client.put_object(Bucket=INPUT_BUCKET, Key=KEY, Body=SMALL, StorageClass="DEEP_ARCHIVE")
        result = convert(client)
        assert (result.outcome, str(result.reason)[:9]) == (Outcome.SKIPPED, "archived:")
        assert standing(client) == {}

    def test_an_archived_manifest_does_not_hide_a_new_version(self, client: S3Client) -> None:
        """A rule of the output bucket may have moved it; skipped, the event would be acknowledged and forgotten."""
        put(client, SMALL)
        client.put_object(Bucket=OUTPUT_BUCKET, Key=MANIFEST, Body=b"{}", StorageClass="GLACIER")
        result = convert(client)
        assert (result.outcome, result.retryable) == (Outcome.FAILED, False)
        assert f"cannot be read, restore it: GetObject s3://{OUTPUT_BUCKET}/{MANIFEST}" in str(result.reason)


class TestSameBytes:
    """The same source and settings give the same objects, manifest included."""

    @pytest.fixture
    def expected(self, client: S3Client) -> dict[str, bytes]:
        converted(client, LARGE, {})
        return self._outputs(client)

    @staticmethod
    def _outputs(client: S3Client) -> dict[str, bytes]:
        objects = standing(client)
        assert set(objects) == {AVRO, PARQUET, MANIFEST}
        return {key: objects[key] for key in (AVRO, PARQUET)}

    @pytest.mark.parametrize(
        "overrides",
        [{"part_bytes": 7_001}, {"part_bytes": 5 << 20}, {"max_workers": 1}, {"use_wrangler": True}, {"cache_size": 0}],
        ids=str,
    )
    def test_whatever_the_machinery(
        self, client: S3Client, expected: dict[str, bytes], overrides: dict[str, Any]
    ) -> None:
        prepared(client, LARGE, {})
        with processor(client, **overrides) as made:
            assert made.convert(KEY).outcome is Outcome.CONVERTED
        assert self._outputs(client) == expected

    def test_once_more(self, client: S3Client, expected: dict[str, bytes]) -> None:
        before_it = standing(client)
        with processor(client, inline_runtime(), part_bytes=PART) as made:
            assert made.convert(KEY, force=True).outcome is Outcome.CONVERTED
        assert standing(client) == before_it
        assert self._outputs(client) == expected

    @pytest.mark.parametrize("codec", ["none", "zstd"])
    def test_in_one_pass_or_two(self, client: S3Client, codec: str) -> None:
        """A last cell that contradicts all before it asks for a second pass, unless the type is given."""
        put(client, "\n".join(["c,filler", *(f"{i},{'x' * 5000}" for i in range(1000)), "no number,"]).encode())
        text = MappingProxyType({"c": ColumnType.parse("string")})
        inferred, read_twice = self._converted_in_ranges(client, {}, codec)
        given, read_once = self._converted_in_ranges(client, text, codec)
        assert (read_twice, read_once) == (10, 5)
        assert inferred == given

    def _converted_in_ranges(
        self, client: S3Client, types: Mapping[str, ColumnType], codec: str
    ) -> tuple[dict[str, bytes], int]:
        """Return the outputs, and how many ranges of the source were asked for."""
        sent = record(client)
        with processor(client, part_bytes=1 << 20, column_types=types, parquet_compression=codec) as made:
            made.run(made.list_s3_objects(), force=True)
        return self._outputs(client), len([one for one in sent if "range" in one.headers])
