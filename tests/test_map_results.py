"""What became of a Distributed Map's batches, summed up from what Step Functions' ResultWriter leaves in S3."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import pytest

from csv_transcode.errors import BackfillError, EventError
from csv_transcode.events import EventKind, MapResults, parse_event
from csv_transcode.keys import KeyMap
from csv_transcode.map_results import LINE_BYTES_MAX, SUMMARY_CHARACTERS_MAX, sum_up
from lambda_handler import LambdaFunction
from s3_data_processor import S3DataProcessor
from tests.conftest import INPUT_BUCKET, OUTPUT_BUCKET

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mypy_boto3_s3 import S3Client

MANIFEST: Final = "processed/_backfills/1b2c/manifest.json"
KEY_MAP: Final = KeyMap("in/", "processed/", "{output_prefix}{stem}.{format}", INPUT_BUCKET, OUTPUT_BUCKET)
CAUSE_CHARACTERS_MAX: Final = 32_768  # of a Fail state, as Step Functions documents it


def batch(converted: int = 0, skipped: int = 0, *, failed: Iterable[tuple[str, str]] = ()) -> dict[str, Any]:
    """Return what the state machine keeps of a report."""
    failures = [{"key": key, "reason": reason} for key, reason in failed]
    return {
        "files": {"converted": converted, "skipped": skipped, "failed": len(failures), "deferred": 0},
        "records": {"read": 10 * converted, "written": 9 * converted, "rejected": converted},
        "bytes": {"read": 100 * converted, "parquet": 20 * converted, "avro": 30 * converted},
        "failures": failures,
    }


def unfinished(keys: Iterable[str], error: str, cause: str = "", status: str = "FAILED") -> dict[str, Any]:
    """Return an execution that came to no report, as ResultWriter describes it."""
    return {
        "ExecutionArn": "arn:aws:states:eu-central-1:123456789012:execution:backfill/Listing:0a",
        "Input": json.dumps({"Items": [{"Key": key, "Size": 7, "Etag": '"e"'} for key in keys]}),
        "InputDetails": {"Included": True},
        "Name": "0a",
        "Status": status,
        "Error": error,
        "Cause": cause,
    }


def exported(**files: list[list[Any]]) -> dict[str, bytes]:
    """Return what stands in the bucket: the manifest, and a file of JSON Lines for each list."""
    named = {
        status: [f"processed/_backfills/1b2c/{status}_{number}.jsonl" for number, _ in enumerate(lists)]
        for status, lists in files.items()
    }
    objects = {
        key: b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        for status, lists in files.items()
        for key, lines in zip(named[status], lists, strict=True)
    }
    listed = {
        status: [{"Key": key, "Size": len(objects[key])} for key in named.get(status, ())]
        for status in ("FAILED", "PENDING", "SUCCEEDED")
    }
    return objects | {
        MANIFEST: json.dumps({"DestinationBucket": OUTPUT_BUCKET, "MapRunArn": "arn", "ResultFiles": listed}).encode()
    }


def summed(objects: dict[str, bytes], chunk_bytes: int = 1 << 20) -> dict[str, Any]:
    def read(key: str) -> Iterator[bytes]:
        cuts = [*range(0, len(objects[key]), chunk_bytes), len(objects[key])]
        return (objects[key][begin:end] for begin, end in pairwise(cuts))

    return sum_up(MapResults(MANIFEST), read)


class TestSum:
    def test_of_all_batches_in_all_files(self) -> None:
        summary = summed(exported(SUCCEEDED=[[batch(3), batch(4, 5)], [batch(0, 9)]]))
        assert summary == {
            "statusCode": 200,
            "files": {"converted": 7, "skipped": 14, "failed": 0, "deferred": 0},
            "records": {"read": 70, "written": 63, "rejected": 7},
            "bytes": {"read": 700, "parquet": 140, "avro": 210},
            "batches": {"all": 3, "unfinished": 0},
            "results": [],
            "exported_to": MANIFEST,
        }

    @pytest.mark.parametrize("chunk_bytes", [1, 7, 100, 1 << 20])
    def test_names_every_bad_file_however_the_bytes_come(self, chunk_bytes: int) -> None:
        bad = [("in/a.csv", "3 fields, header has 2"), ("in/Größe.csv", "not UTF-8")]
        summary = summed(exported(SUCCEEDED=[[batch(3, failed=bad[:1]), batch(1, failed=bad[1:])]]), chunk_bytes)
        assert summary["statusCode"] == 500
        assert summary["files"] == {"converted": 4, "skipped": 0, "failed": 2, "deferred": 0}
        assert [(one["key"], one["outcome"], one["reason"]) for one in summary["results"]] == [
            (key, "failed", reason) for key, reason in bad
        ]

    @pytest.mark.parametrize(
        ("error", "status", "outcome"),
        [
            ("Lambda.Unknown", "FAILED", "failed"),
            ("Runtime.OutOfMemory", "FAILED", "failed"),
            ("States.DataLimitExceeded", "FAILED", "failed"),
            ("", "TIMED_OUT", "failed"),
            ("", "ABORTED", "failed"),
            ("RetryableError", "FAILED", "deferred"),
            ("", "PENDING", "deferred"),
        ],
    )
    def test_a_batch_that_did_not_end_counts_with_all_its_files(self, error: str, status: str, outcome: str) -> None:
        cause = json.dumps({"errorMessage": "why it was", "errorType": error, "stackTrace": []})
        lost = unfinished(["in/a.csv", "in/b.csv"], error, cause, status)
        summary = summed(exported(SUCCEEDED=[[batch(3)]], FAILED=[[lost]]))
        assert summary["files"] == {"converted": 3, "skipped": 0, "failed": 0, "deferred": 0, outcome: 2}
        assert summary["batches"] == {"all": 2, "unfinished": 1}
        assert summary["statusCode"] == 500
        reason = f"its batch of 2 did not end: {error or status}: why it was"
        assert summary["results"] == [
            {"key": key, "outcome": outcome, "reason": reason} for key in ("in/a.csv", "in/b.csv")
        ]

    def test_a_batch_that_did_not_start_counts_too(self) -> None:
        summary = summed(exported(PENDING=[[unfinished(["in/a.csv"], "", status="PENDING")]]))
        assert (summary["files"]["deferred"], summary["statusCode"]) == (1, 500)

    @pytest.mark.parametrize(
        "lost", [None, {}, [], "?", {"Status": "FAILED", "Input": "no JSON"}, {"files": 1}, {"Status": "SUCCEEDED"}]
    )
    def test_what_cannot_be_read_is_never_a_success(self, lost: object) -> None:
        summary = summed(exported(SUCCEEDED=[[lost]]))
        assert (summary["files"]["failed"], summary["statusCode"]) == (1, 500)

    def test_a_report_may_have_its_execution_around_it(self) -> None:
        whole = {"Status": "SUCCEEDED", "Input": "{}", "Output": json.dumps(batch(3, failed=[("in/a.csv", "bad")]))}
        assert summed(exported(SUCCEEDED=[[whole]]))["files"] == {
            "converted": 3,
            "skipped": 0,
            "failed": 1,
            "deferred": 0,
        }

    def test_without_a_result_writer_the_results_are_the_maps_output(self) -> None:
        inline = (batch(3), None, batch(1, failed=[("in/a.csv", "bad")]))
        summary = sum_up(MapResults(inline=inline), lambda _: pytest.fail("nothing to read"))
        assert summary["files"] == {"converted": 4, "skipped": 0, "failed": 2, "deferred": 0}
        assert "exported_to" not in summary


class TestBounds:
    def test_the_list_is_cut_to_what_a_cause_may_hold(self) -> None:
        bad = [(f"in/{'ü' * 400}-{number}.csv", '"' * 900) for number in range(2_000)]
        summary = summed(exported(SUCCEEDED=[[batch(failed=bad[:1_000]), batch(failed=bad[1_000:])]]))
        assert summary["files"]["failed"] == 2_000
        assert summary["results_cut"] == 2_000 - len(summary["results"])
        assert summary["results"]
        for ascii_only in (True, False):
            assert len(json.dumps(summary, ensure_ascii=ascii_only)) <= SUMMARY_CHARACTERS_MAX < CAUSE_CHARACTERS_MAX

    def test_what_the_function_itself_had_cut_is_counted(self) -> None:
        report = batch(failed=[("in/a.csv", "bad")])
        report["files"]["failed"] = 40  # of which its answer had room for one
        summary = summed(exported(SUCCEEDED=[[report]]))
        assert (summary["files"]["failed"], summary["results_cut"]) == (40, 39)

    def test_a_line_without_an_end_is_refused_and_not_held(self) -> None:
        def read(key: str) -> Iterator[bytes]:
            if key == MANIFEST:
                yield exported(SUCCEEDED=[[batch()]])[MANIFEST]
                return
            for _ in range(4):
                yield b"x" * (LINE_BYTES_MAX // 2)
            pytest.fail("all of it was read")

        with pytest.raises(BackfillError, match=r"SUCCEEDED_0\.jsonl holds more in one piece"):
            sum_up(MapResults(MANIFEST), read)

    @pytest.mark.parametrize(
        "content", [b"", b"[]", b"{}", b'{"ResultFiles": []}', b'{"ResultFiles": {"FAILED": [{}]}}']
    )
    def test_a_manifest_that_is_none_is_an_error(self, content: bytes) -> None:
        with pytest.raises(BackfillError, match="not the manifest of a map's results"):
            sum_up(MapResults(MANIFEST), lambda _: [content])

    def test_a_line_that_is_no_json_is_an_error(self) -> None:
        objects = exported(SUCCEEDED=[[batch(3)]])
        objects = {key: content if key == MANIFEST else content[:-9] for key, content in objects.items()}
        with pytest.raises(BackfillError, match="its batch cannot be counted"):
            summed(objects)


class TestEvent:
    @pytest.mark.parametrize(
        "details",
        [
            {"Bucket": INPUT_BUCKET, "Key": MANIFEST},
            {"Bucket": OUTPUT_BUCKET, "Key": "elsewhere/manifest.json"},
            {"Bucket": OUTPUT_BUCKET, "Key": 7},
            {"Bucket": OUTPUT_BUCKET},
            None,
        ],
    )
    def test_results_are_read_under_the_output_prefix_and_nowhere_else(self, details: object) -> None:
        with pytest.raises(EventError):
            parse_event({"MapResults": {"MapRunArn": "arn", "ResultWriterDetails": details}}, KEY_MAP)

    def test_names_the_manifest_or_holds_the_results(self) -> None:
        details = {"Bucket": OUTPUT_BUCKET, "Key": MANIFEST}
        event = parse_event({"MapResults": {"MapRunArn": "arn", "ResultWriterDetails": details}}, KEY_MAP)
        assert (event.kind, event.map_results) == (EventKind.MAP_RESULTS, MapResults(MANIFEST))
        assert parse_event({"MapResults": [1]}, KEY_MAP).map_results == MapResults(inline=(1,))

    def test_the_function_answers_with_the_summary(self, s3: S3Client) -> None:
        for key, content in exported(SUCCEEDED=[[batch(3)], [batch(1, failed=[("in/a.csv", "bad")])]]).items():
            s3.put_object(Bucket=OUTPUT_BUCKET, Key=key, Body=content)
        environ = {"INPUT_BUCKET": INPUT_BUCKET, "OUTPUT_BUCKET": OUTPUT_BUCKET, "PREFIX": "in/"}
        function = LambdaFunction(environ, S3DataProcessor.from_settings, lambda _: b"")
        details = {"Bucket": OUTPUT_BUCKET, "Key": MANIFEST}
        answer = function({"MapResults": {"MapRunArn": "arn", "ResultWriterDetails": details}}, None)
        assert answer["files"] == {"converted": 4, "skipped": 0, "failed": 1, "deferred": 0}
        assert answer["results"] == [{"key": "in/a.csv", "outcome": "failed", "reason": "bad"}]
