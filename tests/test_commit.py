"""The commit protocol against other writers, crashes and lost answers: what a manifest says is what stands."""

from __future__ import annotations

import threading
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import pytest
from msgspec.structs import replace

from csv_transcode import errors
from csv_transcode.commit import Commit, StandingManifest
from csv_transcode.keys import KeyMap
from csv_transcode.manifest import Manifest, SourceRef, fingerprint
from csv_transcode.report import Outcome
from csv_transcode.s3.store import ObjectStore, StoredObject
from tests.conftest import INPUT_BUCKET, OUTPUT_BUCKET
from tests.imitation import Imitated
from tests.s3.faults import before, lose_answer, operations, record
from tests.standing import (
    AVRO,
    KEY,
    MANIFEST,
    PARQUET,
    REJECTS,
    inline_runtime,
    manifest,
    patient_client,
    processor,
    put,
    require_truth,
    settings,
    standing,
    uploads,
)
from tests.trouble import KilledError, Trouble, answered, doing, troubled

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3 import S3Client

    from csv_transcode.report import ObjectResult
    from csv_transcode.s3.store import Condition

ONE: Final = b"id,text\n1,one\n"
TWO: Final = b"id,text\n1,one\n2,two\n"
THREE: Final = b"id,text\n3,three\n"
VERSIONS: Final = (ONE, TWO, THREE)
PENDING: Final = Manifest.pending(SourceRef(INPUT_BUCKET, KEY, None, "0" * 32, 1), "f" * 64, "somebody").to_json()
# rejects: one record of 13, which is less than MAX_REJECTED_RATIO
RAGGED: Final = b"id,text\n" + b"".join(b"%d,x\n" % number for number in range(6)) * 2 + b"6\n"
OLD_RAGGED: Final = RAGGED + b"7,x\n"
MORE_RAGGED: Final = b'id,text\n0,"x, y"\n0,"x\n' + RAGGED.partition(b"\n")[2] * 3
CLAIMED: Final = ["GetObject", "GetObject", "PutObject", *["HeadObject"] * 4, "GetObject", *["PutObject"] * 3]


@pytest.fixture
def client(imitated: None) -> S3Client:  # noqa: ARG001 -- first the buckets
    return patient_client()


@pytest.fixture
def other(client: S3Client) -> S3Client:  # noqa: ARG001 -- first the buckets
    """Return another writer's client."""
    return patient_client()


def convert(client: S3Client, *, force: bool = False, **overrides: Any) -> ObjectResult:
    with processor(client, inline_runtime(), **overrides) as made:
        return made.convert(KEY, force=force)


def converted(client: S3Client, source: bytes) -> None:
    put(client, source)
    assert convert(client).outcome is Outcome.CONVERTED


def put_back(client: S3Client, source: bytes) -> None:
    """Make ``source`` the newest version, and convert it where it does not stand converted."""
    put(client, source)
    convert(client)


def overwrite(client: S3Client, key: str, body: bytes) -> None:
    client.put_object(Bucket=OUTPUT_BUCKET, Key=key, Body=body)


def require_committed(client: S3Client, source: bytes) -> None:
    """Check that the conversion of ``source`` stands, whole."""
    assert require_truth(client, source) == {MANIFEST: "committed"}
    assert set(standing(client)) == {PARQUET, AVRO, MANIFEST}


class TestConditions:
    """Every PUT says what it expects to stand there."""

    def test_where_nothing_stands_everything_is_put_on_that_condition(self, client: S3Client) -> None:
        put(client, ONE)
        sent = record(client)
        convert(client)
        assert operations(sent) == ["GetObject", "GetObject", "PutObject", "PutObject", "PutObject"]
        assert [one.headers.get("if-none-match") for one in sent] == [None, None, "*", "*", "*"]
        assert not [one for one in sent if "if-match" in one.headers]

    def test_what_stands_is_claimed_first_and_replaced_on_what_was_seen(self, client: S3Client) -> None:
        converted(client, ONE)
        etags = [client.head_object(Bucket=OUTPUT_BUCKET, Key=key)["ETag"] for key in (MANIFEST, PARQUET, AVRO)]
        put(client, TWO)
        sent = record(client)
        states = watch(client)
        convert(client)
        assert operations(sent) == [*CLAIMED, *["ListMultipartUploads"] * 3]
        puts = [one.headers for one in sent if one.operation == "PutObject"]
        assert [one.get("if-match") for one in puts[:3]] == etags
        assert not [one for one in puts if "if-none-match" in one]
        assert states == ["committed", "pending", "pending", "pending", "committed"]
        assert puts[3]["if-match"] not in etags  # but on the claim
        require_committed(client, TWO)

    def test_each_attempt_is_known_by_an_id(self, client: S3Client) -> None:
        converted(client, ONE)
        ids = {
            key: client.head_object(Bucket=OUTPUT_BUCKET, Key=key)["Metadata"]["attempt-id"]
            for key in (PARQUET, AVRO, MANIFEST)
        }
        assert ids[PARQUET] == ids[AVRO]
        assert ids[MANIFEST] == f"{ids[PARQUET]}-commit"


def watch(client: S3Client) -> list[str]:
    """Return a list that grows by the manifest's state just before each PUT, and at the end."""
    quiet = patient_client()
    states: list[str] = []

    def look(**_: object) -> None:
        states.append(manifest(quiet)["state"])

    client.meta.events.register_first("before-send.s3.PutObject", look)
    client.meta.events.register("before-send.s3.ListMultipartUploads", lambda **_: look() if len(states) < 5 else None)
    return states


class TestWhatStands:
    """Whatever an earlier writer has left, the next conversion ends committed, and as if nothing had been there."""

    @pytest.mark.parametrize(
        "left",
        [
            {MANIFEST: PENDING},
            {MANIFEST: PENDING, PARQUET: b"another", AVRO: b"another"},
            {PARQUET: b"another"},
            {AVRO: b"another"},
            {PARQUET: b"another", AVRO: b"another"},
            {MANIFEST: b""},
            {MANIFEST: b"{"},
            {MANIFEST: b'{"manifest_version": 2, "state": "committed"}', PARQUET: b"another"},
            {MANIFEST: b'{"manifest_version": 1, "state": "committed"}', AVRO: b"another"},
            {MANIFEST: b"\xff" * 1000},
        ],
        ids=[
            *("a dead claim", "a dead claim beside outputs", "one output", "the other", "both outputs"),
            *("an empty manifest", "a torn one", "one of another version", "one without a source", "rubbish"),
        ],
    )
    def test_is_claimed(self, client: S3Client, left: dict[str, bytes]) -> None:
        for key, body in left.items():
            overwrite(client, key, body)
        put(client, ONE)
        assert convert(client).outcome is Outcome.CONVERTED
        require_committed(client, ONE)
        assert convert(client).outcome is Outcome.SKIPPED

    def test_of_another_fingerprint_is_claimed_there_and_back(self, client: S3Client) -> None:
        converted(client, ONE)
        first = standing(client)
        assert convert(client, types="string").outcome is Outcome.CONVERTED
        assert standing(client) != first
        assert convert(client).outcome is Outcome.CONVERTED
        assert standing(client) == first

    def test_of_another_version_is_claimed_there_and_back(self, client: S3Client) -> None:
        converted(client, ONE)
        first = standing(client)
        converted(client, TWO)
        converted(client, ONE)
        assert standing(client) == first

    def test_as_a_manifest_of_the_same_version_is_skipped_only_under_the_same_fingerprint(
        self, client: S3Client
    ) -> None:
        converted(client, ONE)
        assert convert(client).outcome is Outcome.SKIPPED
        assert convert(client, avro_codec="deflate").outcome is Outcome.CONVERTED
        assert convert(client).outcome is Outcome.CONVERTED

    def test_a_committed_manifest_of_nothing_read_is_not_the_source_s(self, client: S3Client) -> None:
        """The claim of a version is no conversion of it."""
        etag = put(client, ONE)
        claim = Manifest.pending(SourceRef(INPUT_BUCKET, KEY, None, etag, 1), fingerprint(settings()), "somebody")
        overwrite(client, MANIFEST, claim.to_json())
        assert convert(client).outcome is Outcome.CONVERTED
        require_committed(client, ONE)


def at_every_request(
    client: S3Client,
    begin: Callable[[], object],
    act: Callable[[], object],
    check: Callable[[ObjectResult], object],
    **overrides: Any,
) -> int:
    """From ``begin`` on convert again and again, with ``act`` just before each request in turn; return their number.

    What is left in the same state as before is not checked again: no check knows more than outcome and objects.
    """
    begin()
    sources, outputs = (Imitated.bodies(bucket) for bucket in (INPUT_BUCKET, OUTPUT_BUCKET))
    checked: list[tuple[object, ...]] = []
    for number in count(1):
        Imitated.fill(INPUT_BUCKET, sources)
        Imitated.fill(OUTPUT_BUCKET, outputs)
        with troubled(client, Trouble(number, doing(act))) as trouble:
            result = convert(client, **overrides)
        if len(trouble.sent) < number:
            return number - 1
        left = (result.outcome, Imitated.bodies(INPUT_BUCKET), standing(client), sorted(uploads(client)))
        if left not in checked:
            check(result)
            checked.append(left)
    raise AssertionError


class TestOtherWriters:
    """Another conversion, whole, just before each of this one's requests."""

    def test_of_the_same_version(self, client: S3Client, other: S3Client) -> None:
        def check(result: ObjectResult) -> None:
            assert result.outcome in (Outcome.CONVERTED, Outcome.SKIPPED)
            require_committed(client, ONE)

        assert at_every_request(client, lambda: put(client, ONE), lambda: convert(other), check) == 5

    @pytest.mark.long
    def test_of_the_same_version_over_an_older_one(self, client: S3Client, other: S3Client) -> None:
        def begin() -> None:
            converted(client, ONE)
            put(client, TWO)

        def check(result: ObjectResult) -> None:
            assert result.outcome in (Outcome.CONVERTED, Outcome.SKIPPED)
            require_committed(client, TWO)

        assert at_every_request(client, begin, lambda: convert(other), check) == 14

    @pytest.mark.parametrize(
        "over", [pytest.param(None, id="nothing"), pytest.param(ONE, id="an older one", marks=pytest.mark.long)]
    )
    def test_of_a_newer_version(self, client: S3Client, other: S3Client, over: bytes | None) -> None:
        """Events repeat and come out of order; the last one converts what is then the newest."""

        def begin() -> None:
            if over is not None:
                converted(client, over)
            put(client, TWO)

        def check(_result: ObjectResult) -> None:
            require_truth(client, *VERSIONS)
            assert convert(client).outcome in (Outcome.CONVERTED, Outcome.SKIPPED)
            require_committed(client, THREE)

        assert at_every_request(client, begin, lambda: converted(other, THREE), check) >= 5

    @pytest.mark.long
    def test_of_a_version_that_came_back(self, client: S3Client, other: S3Client) -> None:
        """Equal bytes have equal ETags: the outputs that another has put back look as if nobody had been there."""

        def begin() -> None:
            converted(client, ONE)
            put(client, TWO)

        def check(_result: ObjectResult) -> None:
            require_truth(client, *VERSIONS)
            assert convert(client).outcome in (Outcome.CONVERTED, Outcome.SKIPPED)
            require_committed(client, ONE)

        assert at_every_request(client, begin, lambda: put_back(other, ONE), check) == 14

    @pytest.mark.long
    def test_of_a_version_that_came_back_while_its_conversion_still_stood(
        self, client: S3Client, other: S3Client
    ) -> None:
        """Its event is answered by "converted already", and nobody comes after it."""

        def begin() -> None:
            converted(client, ONE)
            put(client, TWO)

        def come_back() -> None:
            put(other, ONE)
            assert convert(other).outcome in (Outcome.CONVERTED, Outcome.SKIPPED)

        def check(_result: ObjectResult) -> None:
            require_committed(client, ONE)

        assert at_every_request(client, begin, come_back, check) == 14

    @pytest.mark.long
    def test_of_other_settings(self, client: S3Client, other: S3Client) -> None:
        """A function that is being deployed runs with old and new settings at once."""
        expected: dict[str, bytes] = {}

        def begin() -> None:
            converted(client, ONE)
            expected.update(standing(client))

        def check(_result: ObjectResult) -> None:
            require_truth(client, ONE)
            assert convert(client).outcome in (Outcome.CONVERTED, Outcome.SKIPPED)
            assert standing(client) == expected

        assert at_every_request(client, begin, lambda: convert(other, force=True), check, types="string") == 14

    @pytest.mark.parametrize("fails", [b"id,text\n1,2,3\n", None], ids=["cannot be read", "is gone"])
    def test_of_a_version_that_came_back_before_one_that(
        self, client: S3Client, other: S3Client, fails: bytes | None
    ) -> None:
        """Who has replaced another's output takes the manifest back, even where it has nothing to put in its place."""
        converted(client, ONE)
        put(client, TWO)

        def interfere() -> None:
            converted(other, ONE)
            if fails is None:
                other.delete_object(Bucket=INPUT_BUCKET, Key=KEY)
            else:
                put(other, fails)

        with troubled(client, Trouble(9, doing(interfere))):
            assert convert(client).outcome is Outcome.FAILED
        assert require_truth(client, *VERSIONS) == {MANIFEST: "pending"}

    def test_of_a_version_that_came_back_and_one_that_came_after_it(self, client: S3Client, other: S3Client) -> None:
        """A manifest is taken back only as long as it is the one that was found untrue."""
        converted(client, ONE)
        put(client, TWO)
        comes_back = Trouble(9, doing(lambda: converted(other, ONE)))
        comes_after = Trouble(15, doing(lambda: converted(other, THREE)))
        with troubled(client, comes_back), troubled(client, comes_after):
            assert convert(client).outcome is Outcome.SKIPPED
        assert comes_after.sent[11:15] == [
            "HeadObject",
            "GetObject",
            "HeadObject",
            "PutObject",
        ]  # looked, and withdraws
        require_committed(client, THREE)

    @pytest.mark.xfail(
        reason="S3 knows no condition but the ETag, so nothing holds it back, and nobody is left to look", strict=True
    )
    def test_of_a_version_that_came_back_before_one_that_dies(self, client: S3Client, other: S3Client) -> None:
        converted(client, ONE)
        put(client, TWO)
        comes_back = Trouble(9, doing(lambda: converted(other, ONE)))
        with troubled(client, comes_back), troubled(client, Trouble(11, kills=True)), pytest.raises(KilledError):
            convert(client)
        require_truth(client, *VERSIONS)

    def test_who_claims_between_our_claim_and_our_looking_again(self, client: S3Client, other: S3Client) -> None:
        converted(client, ONE)
        put(client, TWO)
        with troubled(client, Trouble(8, doing(lambda: overwrite(other, MANIFEST, PENDING)))) as trouble:
            assert convert(client).outcome is Outcome.CONVERTED
        assert trouble.sent[:11] == [*CLAIMED[:8], "GetObject", "GetObject", "PutObject"]  # nothing put: started over
        require_committed(client, TWO)

    def test_who_removes_our_claim(self, client: S3Client, other: S3Client) -> None:
        converted(client, ONE)
        put(client, TWO)
        with troubled(client, Trouble(8, doing(lambda: other.delete_object(Bucket=OUTPUT_BUCKET, Key=MANIFEST)))):
            assert convert(client).outcome is Outcome.CONVERTED
        require_committed(client, TWO)

    def test_starting_over_ends(self, client: S3Client) -> None:
        put(client, ONE)
        client.meta.events.register_first(
            "before-send.s3.PutObject", lambda request, **_: answered(412, "PreconditionFailed")(request)
        )
        sent = record(client)
        result = convert(client)
        assert isinstance(result.error, errors.ContendedError)
        assert (result.outcome, result.retryable) == (Outcome.FAILED, True)
        assert len([one for one in sent if one.operation == "PutObject"]) == 2 + 8  # two outputs, then eight claims
        assert standing(client) == {}

    def test_from_the_second_time_on_starting_over_waits(self, client: S3Client) -> None:
        put(client, ONE)
        client.meta.events.register_first(
            "before-send.s3.PutObject", lambda request, **_: answered(412, "PreconditionFailed")(request)
        )
        waits: list[float] = []
        runtime = replace(inline_runtime(), sleep=waits.append, token=lambda size: "8" * 2 * size)
        with processor(client, runtime) as made:
            made.convert(KEY)
        assert [round(wait, 1) for wait in waits] == [0.2, 0.4, 0.9, 1.7, 2.7, 2.7, 2.7]

    def test_many_at_once(self, client: S3Client) -> None:
        """Moto holds conditions on single PUTs; multipart ones are raced against a real server."""
        for round_number in range(3):
            source = b"id,text\n" + b"".join(b"%d,%d\n" % (round_number, line) for line in range(round_number + 1))
            put(client, source)
            start = threading.Barrier(4)

            def race(start: threading.Barrier = start) -> ObjectResult:
                with processor(client, max_workers=2) as made:
                    start.wait(timeout=30)
                    return made.convert(KEY)

            with ThreadPoolExecutor(4) as threads:
                results = [future.result() for future in [threads.submit(race) for _ in range(4)]]
            assert Outcome.CONVERTED in {result.outcome for result in results}
            assert {result.retryable for result in results if result.outcome is Outcome.FAILED} <= {True}
            require_committed(client, source)


class TestRejects:
    """They are published with the outputs, on conditions of their own, and named by the same manifest."""

    def test_where_nothing_stands_they_are_one_more_put(self, client: S3Client) -> None:
        put(client, RAGGED)
        sent = record(client)
        convert(client)
        assert operations(sent) == ["GetObject", "GetObject", *["PutObject"] * 4]
        assert [one.headers.get("if-none-match") for one in sent] == [None, None, *"****"]
        assert standing(client)[REJECTS].decode() == (
            '{"record": 13, "line": 14, "offset": 56, "length": 2, "reason": "field_count", '
            '"detail": "1 fields, header has 2", "raw": "6\\n"}\n'
        )
        require_rejects(client, RAGGED)
        told = manifest(client)
        assert told["records"] == {"read": 13, "written": 12, "rejected": 1}
        assert told["rejects"]["records"] == 1
        heads = {key: client.head_object(Bucket=OUTPUT_BUCKET, Key=key) for key in (PARQUET, REJECTS)}
        assert heads[REJECTS]["Metadata"]["attempt-id"] == heads[PARQUET]["Metadata"]["attempt-id"]
        assert heads[REJECTS]["ContentType"] == "application/x-ndjson"

    def test_a_later_conversion_without_any_leaves_an_empty_object(self, client: S3Client) -> None:
        converted(client, RAGGED)
        etag = client.head_object(Bucket=OUTPUT_BUCKET, Key=REJECTS)["ETag"]
        put(client, ONE)
        sent = record(client)
        convert(client)
        assert operations(sent)[:12] == [*CLAIMED, "PutObject"]
        assert etag in [one.headers.get("if-match") for one in sent if one.operation == "PutObject"]
        require_rejects(client, ONE)
        assert (standing(client)[REJECTS], manifest(client)["rejects"]) == (b"", None)
        converted(client, TWO)
        require_rejects(client, TWO)
        converted(client, RAGGED)
        require_rejects(client, RAGGED)

    def test_a_later_conversion_with_the_first_ones_puts_them_where_nothing_stood(self, client: S3Client) -> None:
        converted(client, ONE)
        put(client, RAGGED)
        sent = record(client)
        convert(client)
        assert operations(sent)[:12] == [*CLAIMED, "PutObject"]
        assert len([one for one in sent if one.headers.get("if-none-match") == "*"]) == 1
        require_rejects(client, RAGGED)

    @pytest.mark.parametrize("source", [RAGGED, ONE], ids=["some", "none"])
    @pytest.mark.parametrize("left", [{MANIFEST: PENDING}, {MANIFEST: b""}], ids=["a dead claim", "an empty manifest"])
    def test_of_somebody_else_are_replaced(self, client: S3Client, left: dict[str, bytes], source: bytes) -> None:
        for key, body in (left | {REJECTS: b"another"}).items():
            overwrite(client, key, body)
        put(client, source)
        assert convert(client).outcome is Outcome.CONVERTED
        require_rejects(client, source)

    def test_of_somebody_else_without_a_manifest_are_claimed(self, client: S3Client) -> None:
        overwrite(client, REJECTS, b"another")
        converted(client, RAGGED)
        require_rejects(client, RAGGED)

    @pytest.mark.parametrize(
        ("over", "theirs", "ours"),
        [
            pytest.param(None, MORE_RAGGED, RAGGED, id="some, over some at once", marks=pytest.mark.long),
            pytest.param(None, MORE_RAGGED, ONE, id="some, over none at once", marks=pytest.mark.long),
            pytest.param(None, THREE, RAGGED, id="none, over some at once", marks=pytest.mark.long),
            pytest.param(OLD_RAGGED, MORE_RAGGED, RAGGED, id="some, over some that stood", marks=pytest.mark.long),
            pytest.param(
                OLD_RAGGED, MORE_RAGGED, ONE, id="some, over none, over some that stood", marks=pytest.mark.long
            ),
            pytest.param(OLD_RAGGED, THREE, RAGGED, id="none, over some that stood"),
            pytest.param(OLD_RAGGED, THREE, ONE, id="none, over none, over some that stood", marks=pytest.mark.long),
        ],
    )
    def test_of_a_newer_version(
        self, client: S3Client, other: S3Client, over: bytes | None, theirs: bytes, ours: bytes
    ) -> None:
        def begin() -> None:
            if over is not None:
                converted(client, over)
            put(client, ours)

        def check(_result: ObjectResult) -> None:
            require_truth(client, *VERSIONS, RAGGED, MORE_RAGGED, OLD_RAGGED)
            assert convert(client).outcome in (Outcome.CONVERTED, Outcome.SKIPPED)
            require_rejects(client, theirs)

        assert at_every_request(client, begin, lambda: converted(other, theirs), check) >= 5

    def test_of_a_version_that_came_back_are_looked_at_before_one_that_cannot_be_read(
        self, client: S3Client, other: S3Client
    ) -> None:
        """Who has replaced another's rejects takes the manifest back, even where it has nothing to put in its place."""
        converted(client, RAGGED)
        put(client, MORE_RAGGED)

        def interfere() -> None:
            converted(other, RAGGED)
            other.delete_object(Bucket=INPUT_BUCKET, Key=KEY)

        with troubled(client, Trouble(9, doing(interfere))):
            assert convert(client).outcome is Outcome.FAILED
        assert require_truth(client, RAGGED, MORE_RAGGED) == {MANIFEST: "pending"}

    @pytest.mark.parametrize("over", [None, OLD_RAGGED], ids=["where nothing stood", "over an older one"])
    def test_are_not_put_by_who_has_lost_an_output(self, client: S3Client, other: S3Client, over: bytes | None) -> None:
        if over is not None:
            converted(client, over)
        put(client, RAGGED)
        number = 3 if over is None else 9  # the first output is put
        comes_between = Trouble(number, doing(lambda: converted(other, THREE)))
        with troubled(client, comes_between):
            assert convert(client).outcome is Outcome.SKIPPED
        assert comes_between.sent[number - 1 : number + 4] == [*["PutObject", "HeadObject"] * 2, "GetObject"]
        require_rejects(client, THREE)

    @pytest.mark.xfail(reason="nothing stands there for a condition to hold back, and nobody looks", strict=True)
    @pytest.mark.parametrize("over", [None, ONE], ids=["where nothing stood", "over an older one"])
    def test_of_one_that_was_overtaken_just_before_them_and_dies(
        self, client: S3Client, other: S3Client, over: bytes | None
    ) -> None:
        if over is not None:
            converted(client, over)
        put(client, RAGGED)
        number = 5 if over is None else 11  # the rejects are put
        comes_between = Trouble(number, doing(lambda: converted(other, THREE)))
        dies = Trouble(number + 1, kills=True)
        with troubled(client, comes_between), troubled(client, dies), pytest.raises(KilledError):
            convert(client)
        require_rejects(client, THREE)

    @pytest.mark.parametrize("number", [1, 2, 3, 4])
    def test_whose_answer_was_lost(self, client: S3Client, number: int) -> None:
        put(client, RAGGED)
        lose_nth(client, number)
        sent = record(client)
        assert convert(client).outcome is Outcome.CONVERTED
        assert operations(sent).count("PutObject") == 5
        require_rejects(client, RAGGED)


def require_rejects(client: S3Client, source: bytes) -> None:
    """Check that the conversion of ``source`` stands, whole, with a rejects object that is perhaps empty."""
    assert require_truth(client, source) == {MANIFEST: "committed"}
    assert set(standing(client)) - {REJECTS} == {PARQUET, AVRO, MANIFEST}


class TestLostAnswers:
    """The SDK repeats a PUT whose answer was lost, and S3 says 412 to it: that was ourselves."""

    @pytest.mark.parametrize("number", [1, 2, 3])
    def test_of_a_first_conversion(self, client: S3Client, number: int) -> None:
        put(client, ONE)
        lose_nth(client, number)
        sent = record(client)
        assert convert(client).outcome is Outcome.CONVERTED
        assert operations(sent).count("PutObject") == 4
        require_committed(client, ONE)

    @pytest.mark.parametrize("number", [1, 2, 3, 4])
    def test_of_a_later_one(self, client: S3Client, number: int) -> None:
        converted(client, ONE)
        put(client, TWO)
        lose_nth(client, number)
        sent = record(client)
        assert convert(client).outcome is Outcome.CONVERTED
        assert operations(sent).count("PutObject") == 5
        require_committed(client, TWO)

    def test_and_then_another_writer(self, client: S3Client, other: S3Client) -> None:
        """Our manifest was there, and is not any more: that is not ours to repair, but to do again."""
        put(client, ONE)
        lose_nth(client, 3, then=lambda: converted(other, TWO))
        assert convert(client).outcome in (Outcome.CONVERTED, Outcome.SKIPPED)
        require_committed(client, TWO)

    def test_a_conflict_is_repeated(self, client: S3Client) -> None:
        put(client, ONE)
        client.meta.events.register_first("before-send.s3.PutObject", conflicts(2))
        assert convert(client).outcome is Outcome.CONVERTED
        require_committed(client, ONE)


def lose_nth(client: S3Client, number: int, then: Callable[[], object] = lambda: None) -> None:
    """Lose the answer to PutObject ``number`` (from 1)."""
    before(client, "PutObject", number, lambda: lose_answer(client, "PutObject", then))


def conflicts(number: int) -> Callable[..., Any]:
    left = [answered(409, "ConditionalRequestConflict")] * number
    return lambda request, **_: left.pop()(request) if left else None


class Forgetful(Executor):
    """Runs its first task in a thread, and is interrupted by a person at the second."""

    def __init__(self) -> None:
        self.threads = ThreadPoolExecutor(1)
        self.submitted = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.submitted += 1
        if self.submitted > 1:
            raise KeyboardInterrupt
        return self.threads.submit(fn, *args, **kwargs)


class Slow:
    """An upload that takes a while to publish."""

    key = "out"
    bytes_written = 1

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.ended = False

    def publish(self, condition: Condition) -> StoredObject:
        assert condition.if_none_match == "*"
        self.begun.wait(0.2)
        self.ended = True
        return StoredObject("etag", None)


def test_nothing_is_being_published_any_more_once_an_interrupt_gets_through(client: S3Client) -> None:
    """Else the abort that follows would empty an upload under the hands of who publishes it."""
    keys = KeyMap("in/", "processed/", "{output_prefix}{stem}.{format}", INPUT_BUCKET, OUTPUT_BUCKET).map(KEY)
    source = SourceRef(INPUT_BUCKET, KEY, None, "0" * 32, 1)
    commit = Commit(ObjectStore(client, inline_runtime()), OUTPUT_BUCKET, keys, source, "f", "attempt", Forgetful())
    first, second = Slow(), Slow()
    with pytest.raises(KeyboardInterrupt):
        commit.publish(StandingManifest(None, None), {"parquet": first, "avro": second}, _never, claim=False)
    assert {first.ended, second.ended} == {True, False}


def _never(_stored: object) -> Manifest:
    pytest.fail("described what was not published")
